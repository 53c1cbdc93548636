"""Tasks, split, schemas and options of the world, and what it says where something is missing."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from treeroll import envs
from treeroll.envs.bfcl import demonstration, entries, package, schemas
from treeroll.errors import ConfigError, DataError, MissingExtraError

WORLD = envs.load("bfcl")


def test_800_tasks_of_four_categories_divided_80_to_20() -> None:
    for part, count in ((WORLD.train, 160), (WORLD.test, 40)):
        assert Counter(task.data["category"] for task in part) == dict.fromkeys(entries.CATEGORIES, count)
    assert len({task.id for task in (*WORLD.train, *WORLD.test)}) == 800


def test_a_held_out_scenario_is_held_out_in_every_category() -> None:
    trained = {entries.find(task.id).scenario for task in WORLD.train}
    assert not trained & {entries.find(task.id).scenario for task in WORLD.test}


def test_a_part_of_the_tasks_is_a_mixture_of_categories() -> None:
    assert len({task.data["category"] for task in WORLD.test[:12]}) == 4


def test_seed_and_categories_choose_the_tasks() -> None:
    again, other = envs.load("bfcl", seed=0), envs.load("bfcl", seed=1, categories="base, miss_param")
    assert again is WORLD
    assert [task.id for task in other.test] != [
        task.id for task in WORLD.test if task.data["category"] in ("base", "miss_param")
    ]
    assert Counter(task.data["category"] for task in (*other.train, *other.test)) == {"base": 200, "miss_param": 200}
    assert (other.max_turns, WORLD.max_turns) == (8 * 21, 8 * 21)
    assert envs.load("bfcl", categories="base", step_limit=4).max_turns == 7 * 5
    assert len(envs.load("bfcl", categories="base", test_share=0.5).test) == 100


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"categories": "base,mis_func"}, "Did you mean 'miss_func'?"),
        ({"categories": ","}, "no category"),
        ({"schemas": "signature"}, "Did you mean 'signatures'?"),
        ({"test_share": 1.0}, r"must lie in \(0, 1\)"),
        ({"test_share": 0.001}, "holds out 0 of 200"),
        ({"step_limit": 0}, "at least 1 step"),
    ],
)
def test_options_that_cannot_work(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        envs.load("bfcl", **options)


def test_a_prompt_shows_the_functions_that_are_not_held_back_and_the_first_message() -> None:
    entry = entries.find("multi_turn_miss_func_0")
    (task,) = [task for task in (*WORLD.train, *WORLD.test) if task.id == entry.id]
    functions, _, said = task.prompt.partition("\n\n")
    assert said == f"User: {entry.messages[0]}"
    assert functions.startswith("Functions:\nauthenticate_twitter(username, password)\n")
    assert "\nls(a: bool = False)\n" in functions
    assert entry.held_back == {3: ("sort",)}
    assert "sort(" not in functions


@pytest.mark.parametrize(
    ("function", "written"),
    [
        ("tail", "tail(file_name, lines: int = 10)"),
        ("find", "find(path='.', name=None)"),
        ("pwd", "pwd()"),
        ("mean", "mean(numbers: list[float])"),
        ("mention", "mention(tweet_id: int, mentioned_usernames: list)"),
        ("post_tweet", "post_tweet(content, tags: list = [], mentions: list = [])"),
        ("setCruiseControl", "setCruiseControl(speed: float, activate: bool, distanceToNextVehicle: float)"),
    ],
)
def test_signatures(function: str, written: str) -> None:
    known = schemas.functions(["GorillaFileSystem", "MathAPI", "TwitterAPI", "VehicleControlAPI"])
    assert schemas.signature(known[function]) == written


def test_full_schemas_are_the_packages_lines() -> None:
    lines = package.documented("MathAPI").read_text().splitlines()
    shown = schemas.render(schemas.functions(["MathAPI"]), "full").splitlines()
    assert [json.loads(line) for line in shown] == [json.loads(line) for line in lines]
    full, short = envs.load("bfcl", schemas="full"), WORLD
    assert [task.id for task in full.train] == [task.id for task in short.train]
    assert len(full.train[0].prompt) > 10 * len(short.train[0].prompt)


def test_the_example_is_a_true_episode() -> None:
    (example,) = WORLD.examples
    assert example == demonstration.example("signatures")
    assert example.prompt == (
        "Functions:\nls(a: bool = False)\nmkdir(dir_name)\nmv(source, destination)\n\n"
        "User: Put the plan into a new folder 2024."
    )
    assert [observation for _, observation in example.turns] == [
        '{"current_directory_content": ["plan.txt", "seeds.txt"]}',
        "None\n{\"result\": \"'plan.txt' moved to '2024/plan.txt'\"}",
        "User: Now mail the list of seeds to Ann.",
        "",
    ]
    assert demonstration.played("signatures")[-1].reward == 1.0


def test_a_missing_package_says_how_to_install_it_without_its_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bfcl_eval", None)
    command = re.escape("pip install --no-deps bfcl-eval==2026.3.23 mpmath==1.3.0")
    with pytest.raises(MissingExtraError, match=f"'bfcl_eval' is not installed.*{command}"):
        package.data()


@pytest.mark.parametrize(
    ("questions", "answers", "said"),
    [
        ("{", "", "line 1: not JSON"),
        ("[]", "{}", "line 1: field 'id' must be a str, got NoneType"),
        ('{"id": "a_1", "question": 3}', "{}", "line 1: field 'question' must be a list, got int"),
        ('{"id": "a_1", "question": []}', "", "has 1 tasks and .* 0"),
        (
            '{"id": "a_1", "question": []}',
            '{"id": "a_2", "ground_truth": []}',
            "line 1: fields 'id' and 'ground_truth'",
        ),
        (
            '{"id": "a_1", "question": [[]], "involved_classes": [], "initial_config": {}}',
            '{"id": "a_1", "ground_truth": [["ls("]]}',
            "line 1: malformed: MalformedCallError",
        ),
    ],
)
def test_malformed_data_are_named(
    questions: str, answers: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "data", lambda: tmp_path)
    (tmp_path / "possible_answer").mkdir()
    (tmp_path / "BFCL_v4_multi_turn_a.json").write_text(questions)
    (tmp_path / "possible_answer" / "BFCL_v4_multi_turn_a.json").write_text(answers)
    with pytest.raises(DataError, match=said):
        entries.entries("a")


def test_no_data_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "data", lambda: tmp_path)
    with pytest.raises(DataError, match=r"cannot be read: .*; install the tested version: pip install"):
        entries.entries("a")
