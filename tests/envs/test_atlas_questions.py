"""Questions: sizes, balance, the split, determinism."""

from collections import Counter

import pytest

from treeroll.envs.atlas import facts, questions
from treeroll.envs.atlas.questions import MAX_ANSWER_SHARE, Mix, Question, generate, split_key
from treeroll.errors import ConfigError

FACTS = facts.load()
DRAWN = generate(FACTS, {"train": 8_000, "test": 1_200}, seed=0, mix=Mix())


def test_no_key_is_in_both_splits() -> None:
    keys = {side: {split_key(FACTS, question) for question in DRAWN[side]} for side in DRAWN}
    assert not keys["train"] & keys["test"]


def test_no_chain_from_the_first_country_is_in_both_splits() -> None:
    # the promise in its own words, without `split_key`: the way through countries and the last relation
    def way(question: Question) -> tuple[str, ...]:
        chain = list(question.chain[:-1])
        while len(chain) > 1 and FACTS.kinds[chain[0]] != "country":
            chain.pop(0)
        return (*chain, question.hops[-1][0])

    assert not {way(question) for question in DRAWN["train"]} & {way(question) for question in DRAWN["test"]}


def test_key_by_hand() -> None:
    walk = Question(
        "easy", ("lyon", "france", "spain", "madrid"), (("CITY_OF", 0), ("LONGEST_BORDER", 0), ("CAPITAL", 3))
    )
    assert split_key(FACTS, walk) == ("france", "spain", "CAPITAL")
    assert split_key(FACTS, Question("easy", ("lyon", "france"), (("CITY_OF", 0),))) == ("lyon", "CITY_OF")


def test_split_does_not_depend_on_the_seed() -> None:
    other = generate(FACTS, {"train": 2_000, "test": 200}, seed=7, mix=Mix())
    keys = {side: {split_key(FACTS, question) for question in (*DRAWN[side], *other[side])} for side in DRAWN}
    assert not keys["train"] & keys["test"]


def test_chains_are_true_without_cycles_and_worded_by_tier() -> None:
    for question in (*DRAWN["train"], *DRAWN["test"]):
        fewest, most = questions.HOPS[question.tier]
        assert fewest <= len(question.hops) <= most
        assert len(set(question.chain)) == len(question.chain) == len(question.hops) + 1
        for entity, (relation, _), value in zip(question.chain, question.hops, question.chain[1:], strict=False):
            assert FACTS.value(entity, relation) == value
        aliases = [alias for _, alias in question.hops]
        if question.tier == "easy":
            assert set(aliases) == {0}
        elif question.tier == "hard":
            assert set(aliases) == {3}
        else:
            assert sum(alias >= 2 for alias in aliases) == 1


@pytest.mark.parametrize("side", ["train", "test"])
def test_answers_are_balanced_and_questions_distinct(side: questions.Split) -> None:
    drawn = DRAWN[side]
    assert max(Counter(question.answer for question in drawn).values()) <= MAX_ANSWER_SHARE * len(drawn)
    assert len({(question.start, question.hops) for question in drawn}) == len(drawn)
    tiers = Counter(question.tier for question in drawn)
    assert tiers == Mix().counts(len(drawn))


def test_equal_seeds_give_equal_questions() -> None:
    small: dict[questions.Split, int] = {"train": 200, "test": 50}
    assert generate(FACTS, small, seed=3, mix=Mix()) == generate(FACTS, small, seed=3, mix=Mix())
    assert generate(FACTS, small, seed=3, mix=Mix()) != generate(FACTS, small, seed=4, mix=Mix())


def test_data_round_trip() -> None:
    assert all(Question.from_data(question.to_data()) == question for question in DRAWN["test"])


def test_too_many_questions_and_a_bad_mix_are_errors() -> None:
    with pytest.raises(ConfigError, match="no more easy questions"):
        generate(FACTS, {"train": 0, "test": 500}, seed=0, mix=Mix(1.0, 0.0, 0.0), relations=("CITY_OF",))
    with pytest.raises(ConfigError, match="add up to 1"):
        Mix(0.5, 0.5, 0.5)
