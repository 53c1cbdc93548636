import dataclasses
import gzip

import numpy as np
import pytest

from treeroll import cli
from treeroll.errors import DataError
from treeroll.report import branches
from treeroll.report.drawing import draw
from treeroll.report.terminal import choose, load_step, ranges
from treeroll.sinks import RunFolder
from treeroll.tree import Origin

WITH_CREDIT = """\
Which currency is used where Lyon lies?
± 2 of 4 succeed; 2 rollouts, predicted success 0.50, expected contrast 0.50, rank 1
├─ rollout 1: ✓ answer, reward 1
│   1  +0.50  Action: search[Lyon country] -> Lyon: located in France. Area 47.9 sq km....
│   2      .  Action: answer[euro]"""


def test_credit_stands_before_the_turn(mixed_tree):
    lines = list(draw(mixed_tree, 90, [None, 0.5, None, -0.5, 0, 0, 0]))
    assert "\n".join("".join(text for text, _ in line) for line in lines[:5]) == WITH_CREDIT
    roles = {role for line in lines for _, role in line}
    assert {"success", "failure", "mixed", "later", "up", "down", "zero"} <= roles


WITH_VALUES = """\
Which currency is used where Lyon lies?
± 2 of 4 succeed; 2 rollouts, predicted success 0.50, expected contrast 0.50, rank 1
├─ rollout 1: ✓ answer, reward 1
│   1  +0.50  p 0.80  Action: search[Lyon country] -> Lyon: located in France. Area 47....
│   2      .          Action: answer[euro]"""


def valued(tree):
    return dataclasses.replace(tree, values=np.array([0.4, 0.8, np.nan, 0.6, np.nan, np.nan, np.nan]))


def test_the_success_predicted_after_a_turn_stands_before_it(mixed_tree):
    lines = [
        "".join(text for text, _ in line) for line in draw(valued(mixed_tree), 90, [None, 0.5, None, -0.5, 0, 0, 0])
    ]
    assert "\n".join(lines[:5]) == WITH_VALUES
    assert max(map(len, lines)) <= 90
    assert "    1  p 0.60  Action: search[Lyon country]" in branches(valued(mixed_tree))


def test_the_root_has_its_prediction_even_where_nothing_relied_on_it(mixed_tree):
    plain = [dataclasses.replace(node, origin=Origin("bare", count=2)) for node in mixed_tree.nodes[1:5]]
    tree = dataclasses.replace(mixed_tree, nodes=(mixed_tree.nodes[0], *plain))
    tree = dataclasses.replace(tree, values=np.array([0.4, 0.8, np.nan, 0.6, np.nan]))
    assert branches(tree).splitlines()[1] == "± 1 of 2 succeed; predicted success 0.40; 2 rollouts"


def test_the_heading_says_what_p_is(run_dir, mixed_tree, capsys):
    RunFolder.open(run_dir).write_trees(3, [valued(mixed_tree)])
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    assert "; p is the predicted success after a turn\n" in capsys.readouterr().out
    assert cli.main(["tree", str(run_dir), "--step", "4"]) == 0
    assert "p is the" not in capsys.readouterr().out


def test_a_step_is_drawn_as_plain_text_into_a_pipe(run_dir, mixed_tree, capsys):
    RunFolder.open(run_dir).write_trees(3, [mixed_tree])
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert printed.startswith("step 3, tree 0, task lyon; Credit is not shown: the configuration does not name a rule")
    assert "├─ rollout 1: ✓ answer, reward 1\n" in printed
    assert max(map(len, printed.splitlines()[1:])) <= 100


def test_a_terminal_gets_colours(run_dir, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    assert "\x1b[" in capsys.readouterr().out


def test_what_text_says_cannot_steer_the_terminal_or_be_markup(run_dir, mixed_tree, capsys):
    hostile = "[red]x[/red] \x1b[2J \u202e"
    tree = type(mixed_tree)(type(mixed_tree.task)(hostile, hostile), mixed_tree.nodes, step=3)
    RunFolder.open(run_dir).write_trees(3, [tree])
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    printed = capsys.readouterr().out
    assert "[red]x[/red] \ufffd[2J \ufffd" in printed
    assert "\x1b" not in printed


def test_trees_are_chosen(run_dir):
    step, trees = load_step(run_dir, None, [])
    assert step == 12
    mixed = choose(trees, mixed=True)
    assert 0 < len(mixed) <= len(trees) == 6
    assert choose(trees, first=2) == [0, 1]
    assert choose(trees, mixed=True, first=1) == mixed[:1]
    assert choose(trees, task="atlas-12-4") == [4]
    assert len(choose(trees)) == 1
    assert choose(trees)[0] in mixed


def test_what_is_not_there_is_named(run_dir, tmp_path):
    with pytest.raises(DataError, match="no such run folder"):
        load_step(tmp_path / "none", None, [])
    with pytest.raises(DataError, match="no trees are saved"):
        load_step(RunFolder.create(tmp_path / "empty", {}, {}).path, None, [])
    (run_dir / "trees" / "step-0005.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"step 99 has no saved trees .* Steps that have: 1 to 4, 6 to 12$"):
        load_step(run_dir, 99, [])
    RunFolder.open(run_dir).write_trees(6, [])
    with pytest.raises(DataError, match="holds no trees"):
        load_step(run_dir, 6, [])
    _, trees = load_step(run_dir, 1, [])
    with pytest.raises(DataError, match=r"no tree of this step is of task 'atlas-1-9'\. Did you mean 'atlas-1-"):
        choose(trees, task="atlas-1-9")
    same = [tree for tree in trees if len({tree.succeeded(leaf) for leaf in tree.leaves}) == 1]
    with pytest.raises(DataError, match="holds both a success and a failure"):
        choose(same, mixed=True)


def test_a_damaged_line_is_named_and_the_other_trees_are_drawn(run_dir, capsys):
    file = run_dir / "trees" / "step-0003.jsonl.gz"
    lines = gzip.decompress(file.read_bytes()).splitlines()
    file.write_bytes(gzip.compress(b"\n".join([lines[0], lines[1][:-9], *lines[2:]])))
    problems = []
    _, trees = load_step(run_dir, 3, problems)
    assert len(trees) == 5
    assert len(problems) == 1
    assert cli.main(["tree", str(run_dir), "--step", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"problem: {file}, line 2: not JSON (")
    assert "1 of 5 trees" in printed
    file.write_bytes(gzip.compress(b"{"))
    with pytest.raises(DataError, match=r"line 1: not JSON \(.*\)\. Steps that are saved: 1 to 12$"):
        load_step(run_dir, 3, [])


@pytest.mark.parametrize("damage", ["{", "[]", '{"a":' * 100_000])
def test_damaged_options_are_named_and_trees_are_drawn_without_credit(run_dir, capsys, damage):
    (run_dir / "config.json").unlink()
    assert cli.main(["tree", str(run_dir)]) == 0
    without = capsys.readouterr().out
    (run_dir / "config.json").write_text(damage)
    assert cli.main(["tree", str(run_dir)]) == 0
    problem, _, rest = capsys.readouterr().out.partition("\n")
    assert problem.startswith(f"problem: {run_dir / 'config.json'}: ")
    assert problem.endswith("; it is left out")
    assert rest == without


def test_a_damaged_file_is_named_and_the_newest_other_step_is_drawn(run_dir, capsys):
    file = run_dir / "trees" / "step-0012.jsonl.gz"
    file.write_bytes(b"")
    assert cli.main(["tree", str(run_dir)]) == 0
    problem, head, *_ = capsys.readouterr().out.splitlines()
    assert problem == f"problem: {file}: damaged: empty (0 bytes); it is left out"
    assert head.startswith("step 11, ")
    with pytest.raises(DataError, match=r"damaged: empty \(0 bytes\)\. Steps that are saved: 1 to 12$"):
        load_step(run_dir, 12, [])
    for step in range(1, 12):
        (run_dir / "trees" / f"step-{step:04d}.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"damaged: empty \(0 bytes\)\. Steps that are saved: 12$"):
        load_step(run_dir, None, [])


def test_a_comparison_names_its_runs(tmp_path):
    runs = [f"runs/atlas/{method}/seed-{seed}" for method in ("grpo", "trace") for seed in range(8)]
    for run in (*runs, "runs/atlas/grpo/seed-0.damaged-1"):
        (tmp_path / run / "trees").mkdir(parents=True)
    with pytest.raises(DataError, match=rf"a comparison.* Name one of them, there: {', '.join(runs[:12])} and 4 more$"):
        load_step(tmp_path, None, [])


def test_errors_reach_the_command_line(run_dir, capsys):
    assert cli.main(["tree", str(run_dir), "--step", "99"]) == 2
    assert "Steps that have: 1 to 12" in capsys.readouterr().err
    assert cli.main(["tree", str(run_dir), "--first", "0"]) == 2
    assert "draw 1 tree or more" in capsys.readouterr().err


def test_steps_in_words():
    assert ranges([1, 2, 3, 5, 8, 9]) == "1 to 3, 5, 8 to 9"
