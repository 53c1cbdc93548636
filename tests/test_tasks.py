import json

import pytest

from treeroll.errors import ConfigError, DataError
from treeroll.tasks import TaskStream, read_tasks
from treeroll.tree import Task


def written(path, *lines):
    path.write_bytes(b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines))
    return path


def one(**fields):
    return json.dumps({"prompt": "Where?", "data": {"answer": "here"}} | fields, ensure_ascii=False)


# Files --------------------------------------------------------------------------------------------------------------


def test_ids_are_the_files_own_or_the_lines_number(tmp_path):
    tasks = read_tasks(written(tmp_path / "own.jsonl", one(id="a"), "", one(prompt="When?"), one(id=7)))
    assert [(task.id, task.prompt) for task in tasks] == [("a", "Where?"), ("line-3", "When?"), ("7", "Where?")]
    assert tasks[0] == Task("a", "Where?", {"answer": "here"})


def test_texts_of_any_script_and_files_from_windows(tmp_path):
    prompt = "Où est la\u2028capitale ?\x85"  # line breaks to str.splitlines, not to JSON
    path = written(tmp_path / "own.jsonl", b"\xef\xbb\xbf", one(prompt=prompt) + "\r", one(prompt="日本"))
    assert [task.prompt for task in read_tasks(path)] == [prompt, "日本"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{oops", "not JSON: "),
        (b'{"prompt": "\xff"}\n', "not JSON: .*can't decode"),
        ("[1]", "expected an object, got list"),
        ("{}", "field 'prompt' must be a text that is not empty, got None"),
        (one(prompt="  "), "field 'prompt' must be a text that is not empty"),
        (one(prompt=3), "field 'prompt' must be a text that is not empty, got 3"),
        (one(data=[1]), "field 'data' must be an object, got list"),
        (one(data={}), r"field 'data.answer' is missing; it is needed to verify an answer"),
        (one(data={"answer": None}), r"field 'data.answer' is missing"),
        (one(id=None), "field 'id' must be a text or a whole number, got None"),
        (one(id="a"), "id 'a' is taken by an earlier line; ids must differ"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    path = written(tmp_path / "own.jsonl", one(id="a"), "", line)
    with pytest.raises(DataError, match=rf"own\.jsonl, line 3: {message}"):
        read_tasks(path)


def test_what_data_must_hold_is_the_callers_choice(tmp_path):
    path = written(tmp_path / "own.jsonl", one(data={"tests": ["x"]}))
    assert read_tasks(path, needs=["tests"])[0].data == {"tests": ["x"]}
    with pytest.raises(DataError, match=r"data\.goal"):
        read_tasks(path, needs=["goal"])


@pytest.mark.parametrize("text", ["", "\n\n  \n"])
def test_an_empty_file(tmp_path, text):
    with pytest.raises(DataError, match="no tasks in it; write one JSON object a line"):
        read_tasks(written(tmp_path / "own.jsonl", text))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: "):
        read_tasks(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot be read: "):
        read_tasks(tmp_path)


# Order --------------------------------------------------------------------------------------------------------------

TASKS = [Task(str(number), "Where?") for number in range(10)]


def test_an_epoch_holds_no_task_twice_and_the_next_has_another_order():
    stream = TaskStream(TASKS, pool=3, seed=0)
    epochs = [[task.id for step in range(first, first + 3) for task in stream.at(step)] for first in (1, 4)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_step_has_its_tasks_whatever_came_before():
    stream = TaskStream(TASKS, pool=4, seed=5)
    expected = [stream.at(step) for step in range(1, 8)]
    assert [TaskStream(TASKS, pool=4, seed=5).at(step) for step in range(7, 0, -1)] == expected[::-1]
    assert TaskStream(TASKS, pool=4, seed=6).at(1) != expected[0]


def test_a_pool_of_all_tasks():
    assert sorted(task.id for task in TaskStream(TASKS, pool=10, seed=0).at(1)) == sorted(task.id for task in TASKS)


def test_more_tasks_than_there_are():
    with pytest.raises(ConfigError, match=r"needs 11 different tasks, but there are 10; lower budget\.pool"):
        TaskStream(TASKS, pool=11, seed=0)
