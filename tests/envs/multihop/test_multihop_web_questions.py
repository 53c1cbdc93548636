"""The web-search questions that ship with bfcl-eval: the real files, and broken ones of our own."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import published
import pytest

from treeroll import envs
from treeroll.envs.base import Done
from treeroll.envs.multihop import web_questions
from treeroll.errors import DataError, MissingExtraError


def test_87_questions_are_answered_by_their_facts() -> None:
    imported = "bfcl_eval" in sys.modules  # by another test; reading the files imports nothing
    found = web_questions.questions()
    assert len(found) == 87
    assert ("bfcl_eval" in sys.modules) == imported
    second = next(question for question in found if question.id == "web_search_1")
    assert (second.answers, second.kind) == (("7", "seven"), "4-hop")
    assert [str(document) for document in second.documents] == [
        "Performer of 2024 Super Bowl halftime show: Usher",
        "Birthplace of Usher: Dallas, Texas",
        "NFL team based in Dallas: Dallas Cowboys",
        "How many games did Dallas Cowboy win in 2024? 7",
    ]


def subquestion(fact: str) -> str:
    """Returns what comes before the answer: up to the question mark, or else the colon."""
    return fact.partition("?")[0] if "?" in fact else fact.rpartition(": ")[0]


def test_the_facts_can_be_found(tmp_path: Path) -> None:
    world = envs.load("bfcl-web", cache=str(tmp_path))
    assert (len(world.train), len(world.test)) == (43, 44)
    env, found, facts = world.make(), 0, 0
    asked = {question.id: question for question in web_questions.questions()}
    for task in world.test:
        env.reset(task)
        for fact in asked[task.id.removeprefix("bfcl-web-test-")].documents:
            facts += 1
            found += fact.text in env.step(f"search[{subquestion(fact.text)}]").text
        assert env.step(f"finish[{task.data['answers'][-1]}]") == Done(1.0, f"the answer is {task.data['answer']}")
    assert found >= 0.95 * facts


def test_all_of_them_are_held_out_of_another_world(tmp_path: Path) -> None:
    data = published.write_json(tmp_path / "train.json", published.hotpotqa())
    world = envs.load("hotpotqa", data=data, test="bfcl-web", cache=str(tmp_path / "cache"))
    assert (len(world.train), len(world.test)) == (6, 87)
    env = world.make()
    env.reset(world.test[0])
    assert "Dallas" in env.step("search[Birthplace of Usher]").text


ASKED: dict[str, Any] = {"id": "w0", "question": [[{"role": "user", "content": "Where does the Ilse end?"}]]}
FACT = {"subquestion": "Sea of the Ilse", "answer": "Ilse Sea, north", "source": "a map"}
ANSWERED: dict[str, Any] = {"id": "w0", "ground_truth": ["Ilse Sea"], "source": [FACT], "num_hops": 1}


def write(folder: Path, asked: dict[str, Any], answered: dict[str, Any]) -> Path:
    (folder / "possible_answer").mkdir()
    (folder / web_questions.FILE).write_text(json.dumps(asked))
    (folder / "possible_answer" / web_questions.FILE).write_text(json.dumps(answered))
    return folder


@pytest.mark.parametrize(
    ("said", "kept"),
    [("Ilse Sea", 1), ("the Ilse Sea, north", 1), ("Ilse", 1), ("Jarn Sea", 0), ("the", 0)],
)
def test_a_question_is_kept_where_its_last_fact_answers_it(said: str, kept: int, tmp_path: Path) -> None:
    facts = [{**FACT, "answer": "Arnholt"}, {**FACT, "answer": said}]
    assert len(web_questions.questions(write(tmp_path, ASKED, {**ANSWERED, "source": facts}))) == kept


@pytest.mark.parametrize(
    ("asked", "answered", "message"),
    [
        ({"question": 5}, {}, "line 1: field 'question' must be a list, got 5"),
        ({"question": []}, {}, r"line 1: field 'question\[0\]' must be a list, got None"),
        ({"question": [["x"]]}, {}, r"line 1: field 'question\[0\]\[0\]' must be an object, got 'x'"),
        ({"question": [[{}]]}, {}, r"line 1: field 'question\[0\]\[0\]\.content' must be a text"),
        ({}, {"id": "w1"}, "line 1: field 'id' must be the id of a question of BFCL_v4_web_search.json, got 'w1'"),
        ({}, {"ground_truth": []}, "line 1: field 'ground_truth' must be a list of at least one text"),
        ({}, {"source": []}, "line 1: field 'source' must be a list of at least one fact"),
        ({}, {"source": [7]}, r"line 1: field 'source\[0\]' must be an object, got 7"),
        ({}, {"source": [{"subquestion": "a"}]}, r"line 1: field 'source\[0\]\.answer' must be a text"),
    ],
)
def test_a_malformed_file_is_named(
    asked: dict[str, Any], answered: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, ASKED | asked, ANSWERED | answered)
    with pytest.raises(DataError, match=message):
        web_questions.questions(folder)


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps bfcl-eval==2026\.3\.23"):
        web_questions.questions()
