"""Exact match and F1 by hand, and HotpotQA's special cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treeroll.envs.multihop.scoring import best, exact_match, normalise, token_f1


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("The Ilse  Sea.", "ilse sea"),
        ("An apple, a day", "apple day"),
        ("U.S.A.", "usa"),
        ("mother-in-law", "motherinlaw"),
        ("Émile", "émile"),  # accents stay, as in the official scripts
        ("the", ""),
        ("theatre", "theatre"),
    ],
)
def test_normalise(answer: str, normalised: str) -> None:
    assert normalise(answer) == normalised


@pytest.mark.parametrize(
    ("answer", "gold", "equal", "f1"),
    [
        ("The Ilse Sea", "ilse sea", 1, 1),
        ("the river Ilse", "Ilse Sea", 0, 2 * 1 / (2 + 2)),
        ("Maud Vey of Arnholt", "Maud Vey", 0, 2 * 2 / (4 + 2)),
        ("very very good", "very good", 0, 2 * 2 / (3 + 2)),  # a multiset: one of the two counts
        ("yes, it is", "yes", 0, 0),
        ("no", "no idea", 0, 0),
        ("noanswer", "no answer", 0, 0),
        ("Yes.", "yes", 1, 1),
        ("Jarn", "Ilse", 0, 0),
        ("", "Ilse", 0, 0),
        ("the", "a", 1, 1),
    ],
)
def test_scores(answer: str, gold: str, equal: float, f1: float) -> None:
    assert exact_match(answer, gold) == equal
    assert token_f1(answer, gold) == pytest.approx(f1)


def test_the_best_alias_counts() -> None:
    assert best("f1", "Sea of Ilse", ["Ilse Sea", "Sea of Ilse"]) == 1
    assert best("f1", "Sea of Ilse", ["Ilse Sea", "Jarn"]) == pytest.approx(4 / 5)
    assert best("em", "Sea of Ilse", ["Ilse Sea", "Jarn"]) == 0


@given(st.text(max_size=20), st.text(max_size=20))
def test_f1_is_symmetric_and_at_least_exact_match(answer: str, gold: str) -> None:
    assert token_f1(answer, gold) == token_f1(gold, answer)
    assert exact_match(answer, gold) <= token_f1(answer, gold) <= 1
