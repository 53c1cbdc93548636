import json
import math

import numpy as np
import pytest

from treeroll.errors import ConfigError, DataError
from treeroll.sinks import RunFolder, provenance, read_json, read_metrics, scan_metrics, tree_steps, trees_file
from treeroll.tree import Node, RolloutTree, Task
from treeroll.treefile import load_trees


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run", {"method": "trace", "env": {"name": "atlas"}}, {"treeroll": "0.1.0"})


@pytest.fixture
def tree():
    prompt = Node(-1, np.arange(2, dtype=np.int32), np.zeros(2, dtype=np.bool_), np.zeros(2, dtype=np.float32))
    return RolloutTree(Task("a", "Where?"), (prompt,))


def test_a_new_folder_holds_config_and_provenance(folder):
    assert json.loads((folder.path / "config.json").read_text()) == {"method": "trace", "env": {"name": "atlas"}}
    assert json.loads((folder.path / "run.json").read_text()) == {"treeroll": "0.1.0"}
    assert folder.read_metrics() == []
    assert folder.last_step is None


def test_a_run_never_overwrites_another(folder):
    with pytest.raises(ConfigError, match=r"holds a run already .*--resume .*--out"):
        RunFolder.create(folder.path, {})


def test_a_folder_with_other_files_may_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder.create(tmp_path, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_cannot_be_a_run_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        RunFolder.create(tmp_path / "run", {})
    with pytest.raises(ConfigError, match="cannot be used"):
        RunFolder.create(tmp_path / "run" / "below", {})


def test_metrics_come_back_with_numpy_and_nan_as_json(folder):
    folder.append_metrics({"step": 0, "heldout": {"success": np.float64(0.5), "low": math.nan}})
    folder.append_metrics({"step": 1, "counts": np.array([1, 2]), "loss": math.inf})
    assert folder.read_metrics() == [
        {"step": 0, "heldout": {"success": 0.5, "low": None}},
        {"step": 1, "counts": [1, 2], "loss": None},
    ]


@pytest.mark.parametrize("step", [1, 0, None, "2", 1.5])
def test_steps_must_go_up(folder, step):
    folder.append_metrics({"step": 1})
    with pytest.raises(ValueError, match="must be an integer after 1"):
        folder.append_metrics({"step": step})


def test_opening_cuts_a_half_written_line_and_says_so(folder):
    folder.append_metrics({"step": 0})
    folder.append_metrics({"step": 1})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step":2,"contr')
    (folder.path / "trees" / "step-0002.jsonl.gz.part").write_bytes(b"half")
    again = RunFolder.open(folder.path)
    assert again.last_step == 1
    assert again.config == folder.config
    assert "line 3: half-written (16 bytes), cut" in again.repairs[0]
    assert "step-0002.jsonl.gz.part" in again.repairs[1]
    again.append_metrics({"step": 2})
    assert [record["step"] for record in again.read_metrics()] == [0, 1, 2]
    assert RunFolder.open(folder.path).repairs == ()


def test_opening_cuts_the_only_line(folder):
    (folder.path / "metrics.jsonl").write_text('{"st')
    again = RunFolder.open(folder.path)
    assert again.last_step is None
    assert "line 1" in again.repairs[0]
    assert (folder.path / "metrics.jsonl").read_bytes() == b""


def test_opening_what_is_not_a_run(tmp_path):
    with pytest.raises(DataError, match="no such run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(DataError, match=r"config\.json: no such file"):
        RunFolder.open(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        RunFolder.open(tmp_path)
    for levels in (101, 600, 10**5):  # also those that the parser itself goes through
        (tmp_path / "config.json").write_text('{"a":' * levels + "1" + "}" * levels)
        with pytest.raises(DataError, match=r"cannot be read as JSON: nested deeper than 100 levels$"):
            RunFolder.open(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(DataError, match="holds a list, expected an object"):
        RunFolder.open(tmp_path)


def test_a_hundred_levels_are_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"a":' * 100 + "1" + "}" * 100)
    assert list(read_json(path)) == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        "{oops",
        "[1]",
        '{"no": "step"}',
        '{"step": true}',
        b"\xff\xfe",
        '{"step": -1}',
        f'{{"step": {10**400}}}',
        "[" * 10**5,
        '{"step": 1, "a": ' + "[" * 600 + "]" * 600 + "}",
    ],
)
def test_a_corrupt_line_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 0}\n' + (line if isinstance(line, bytes) else line.encode()) + b'\n{"step": 2}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2: not "):
        read_metrics(path)
    records, problems = scan_metrics(path)
    assert [record["step"] for record in records] == [0, 2]
    assert len(problems) == 1


def test_steps_that_do_not_come_after_those_before_are_skipped_and_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}, "line": {line}}}\n' for line, step in enumerate((0, 2, 2, 1, 3), 1)))
    records, problems = scan_metrics(path)
    assert [(record["step"], record["line"]) for record in records] == [(0, 1), (2, 2), (3, 5)]
    assert problems == [
        f"{path}, line 3: step 2 is there twice: it must come after step 2",
        f"{path}, line 4: step 1 is out of order: it must come after step 2",
    ]


def test_missing_metrics_are_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_metrics(tmp_path / "metrics.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path)


def test_trees_are_written_by_step(folder, tree):
    path = folder.write_trees(3, [tree])
    assert path == folder.path / "trees" / "step-0003.jsonl.gz"
    assert load_trees(path)[0].task == tree.task


def test_truncating_drops_later_metrics_and_trees_only(folder, tree):
    for step in range(12):
        folder.append_metrics({"step": step})
        folder.write_trees(step, [tree])
    folder.checkpoint(10).mkdir(parents=True)
    folder.truncate_after(9)
    assert folder.last_step == 9
    assert [record["step"] for record in folder.read_metrics()] == list(range(10))
    assert tree_steps(folder.path) == list(range(10))
    assert folder.checkpoint(10).is_dir()
    folder.append_metrics({"step": 10})


def test_tree_steps_are_sorted_by_number(folder, tree):
    for step in (10_000, 2, 9999):
        folder.write_trees(step, [tree])
    (folder.path / "trees" / "other.jsonl.gz").touch()
    assert tree_steps(folder.path) == [2, 9999, 10_000]
    assert trees_file(folder.path, 10_000).name == "step-10000.jsonl.gz"


def test_provenance_names_versions_and_command():
    about = provenance(["treeroll", "train"])
    assert about["command"] == ["treeroll", "train"]
    assert about.keys() == {"treeroll", "commit", "python", "torch", "machine", "command"}
    assert json.loads(json.dumps(about)) == about


@pytest.mark.parametrize("started", ["bin/treeroll", "site-packages/treeroll/__main__.py"])
def test_provenance_names_the_program_as_it_is_called(monkeypatch, started):
    monkeypatch.setattr("sys.argv", [started, "compare"])
    assert provenance()["command"] == ["treeroll", "compare"]
