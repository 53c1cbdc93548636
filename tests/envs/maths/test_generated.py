"""Tasks of reasoning-gym: different, split, of a level, and scored by their families."""

import json

import pytest

from treeroll.envs import load
from treeroll.envs.maths import generated
from treeroll.errors import ConfigError

SIZES = {"test": 4, "train": 8}


def test_tasks_are_drawn_in_turn_by_seed_and_no_question_twice():
    drawn = generated.generate(["gcd", "chain_sum"], 0, SIZES, seed=3)
    assert [task.data["family"] for task in drawn["test"]] == ["gcd", "chain_sum"] * 2
    everything = drawn["test"] + drawn["train"]
    assert len({task.prompt for task in everything}) == len({task.id for task in everything}) == 12
    assert generated.generate(["gcd", "chain_sum"], 0, SIZES, seed=3) == drawn
    assert generated.generate(["gcd", "chain_sum"], 0, SIZES, seed=4) != drawn
    json.dumps([dict(task.data) for task in everything])


def test_a_level_is_the_curriculum_of_the_family():
    easy, hard = (generated.generate(["chain_sum"], level, {"train": 5}, seed=0)["train"] for level in (0, 3))
    assert max(len(task.prompt) for task in easy) < min(len(task.prompt) for task in hard)


@pytest.mark.parametrize(
    ("family", "wrong"), [("gcd", "0"), ("basic_arithmetic", "-99999"), ("prime_factorization", "2 x"), ("gcd", "}{")]
)
def test_the_family_scores(family: str, wrong: str):
    (task,) = generated.generate([family], 0, {"train": 1}, seed=0)["train"]
    right = task.data["answer"]
    assert generated.judge(right, task, "required").score == 1.0
    assert generated.scorer("required").score(right, tuple(task.data[key] for key in generated.PLACE)).score == 1.0
    assert generated.judge(wrong, task, "required").score == 0.0


def test_partial_credit_is_cut():
    """A rotated matrix of the right form gets partial credit from its family, and none here."""
    (task,) = generated.generate(["word_sorting"], 0, {"train": 1}, seed=0)["train"]
    place = tuple(task.data[key] for key in generated.PLACE)
    wrong = ", ".join(reversed(task.data["answer"].split(", ")))
    assert 0.0 < generated.scorer("required").score(wrong, place).score < 0.99
    assert generated.judge(wrong, task, "required").score == 0.0


def test_a_family_without_one_answer_is_scored_by_itself():
    (task,) = generated.generate(["graph_color"], 0, {"train": 1}, seed=0)["train"]
    assert task.data["answer"] is None
    assert generated.judge("{}", task, "required").score == 0.0


def test_hostile_answers_do_not_run_in_the_trainer(tmp_path):
    (task,) = generated.generate(["countdown"], 0, {"train": 1}, seed=0)["train"]
    mark = tmp_path / "mark"
    for answer in (f"open('{mark}', 'w')", f"__import__('pathlib').Path('{mark}').touch()", "9**9**9**9"):
        assert generated.judge(answer, task, "required").score == 0.0
    assert not mark.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"families": "gdc"}, "no family 'gdc'. Did you mean 'gcd'"),
        ({"families": " , "}, "world.families is empty"),
        ({"families": "chain_sum", "train": 900}, "different questions"),
        ({"families": "gsm_symbolic", "level": 99, "train": 0}, "train=0"),
        ({"families": "knight_swap"}, "cannot make family 'knight_swap' at level 0"),
        ({"tool": "calculator"}, "write 'python' or 'none'"),
        ({"turns": 0}, "turns=0"),
    ],
)
def test_options_that_cannot_work(options: dict, says: str):
    with pytest.raises(ConfigError) as caught:
        load("reasoning-gym", **{"families": "gcd", "train": 2, "test": 1} | options)
    assert says in str(caught.value)
