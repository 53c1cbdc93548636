"""Task files in the formats that are around, and what is wrong with one: file, line, field."""

import json
from pathlib import Path

import pytest
from pyarrow import Table, parquet

from treeroll.envs.maths.files import read_tasks, split
from treeroll.errors import DataError

DEEPSCALER = {"problem": "1+1?", "answer": "2", "solution": "Plainly $2$."}
MATH500 = {
    "problem": "1+1?",
    "solution": r"So $\boxed{2}$.",
    "answer": "2",
    "unique_id": "test/algebra/1.json",
    "level": 1,
}
AIME = {"id": 60, "problem": "1+1?", "answer": 2}
AMC = {"id": 0, "question": "1+1?", "answer": 2.0}
MATH = {"problem": "1+1?", "solution": r"First \boxed{1}, then \boxed{2}."}
GSM8K = {"question": "1+1?", "answer": "One and one.\n#### 2"}
OLYMPIAD = {"question": "1+1?", "final_answer": ["2"], "solution": "long"}
NUMINA = {"prompt": "1+1?", "expected_answer": "2"}
FORMATS = [DEEPSCALER, MATH500, AIME, AMC, MATH, GSM8K, OLYMPIAD, NUMINA]


@pytest.mark.parametrize("record", FORMATS)
@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_every_format(record: dict, kind: str, tmp_path: Path):
    path = tmp_path / f"tasks.{kind}"
    if kind == "parquet":
        parquet.write_table(Table.from_pylist([record]), path)
    else:
        path.write_text(json.dumps([record] if kind == "json" else record))
    (task,) = read_tasks(str(path), "math")
    assert (task.prompt, task.data) == ("1+1?", {"answer": "2"})
    assert task.id == str(record.get("id", record.get("unique_id", "math-00001")))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"problem": "1+1?"}',
            "line 2: field 'answer' or 'final_answer' or 'expected_answer' or 'solution' is missing",
        ),
        ('{"answer": "2"}', "line 2: field 'problem' or 'question' or 'prompt' is missing"),
        ('{"problem": " ", "answer": "2"}', "line 2: field 'problem' must be a text that is not empty"),
        ('{"problem": "1+1?", "answer": {"a": 1}}', "line 2: field 'answer' must be a text or a number"),
        ('{"problem": "1+1?", "answer": ""}', "line 2: field 'answer' must be an answer of at most 300 characters"),
        (
            json.dumps({"problem": "p", "solution": "word " * 99}),
            "line 2: field 'solution' must be an answer of at most",
        ),
        ('{"problem": ', "line 2: not JSON"),
        ('{"id": 1, "problem": "p", "answer": "2"}', "line 2: id '1' is taken"),
    ],
)
def test_what_is_wrong_is_named(line: str, says: str, tmp_path: Path):
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"id": 1, "problem": "p", "answer": "2"}\n' + line)
    with pytest.raises(DataError) as caught:
        read_tasks(str(path), "math")
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_no_file_and_no_tasks(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        read_tasks(str(tmp_path / "none.jsonl"), "math")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no tasks in it"):
        read_tasks(str(tmp_path / "empty.jsonl"), "math")


def test_split_by_seed(tmp_path: Path):
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(json.dumps({"problem": f"{n}?", "answer": n}) for n in range(20)))
    tasks = read_tasks(str(path), "math")
    train, test = split(tasks, 0.25, seed=1)
    assert (len(train), len(test)) == (15, 5)
    assert sorted(task.id for task in train + test) == [task.id for task in tasks]
    assert split(tasks, 0.25, seed=1) == (train, test)
    assert split(tasks, 0.25, seed=2) != (train, test)
    assert [len(part) for part in split(tasks[:2], 0.01, seed=0)] == [1, 1]
    with pytest.raises(DataError, match="needs 2"):
        split(tasks[:1], 0.1, seed=0)
