from dataclasses import asdict

import pytest

from treeroll.budget import Spent


def test_add():
    first = Spent(rollouts=1, turns=2, sampled_tokens=3, computed_tokens=4, tool_calls=5)
    assert first + Spent() == first
    assert asdict(first + first) == {
        "rollouts": 2, "turns": 4, "sampled_tokens": 6, "computed_tokens": 8, "tool_calls": 10,
    }  # fmt: skip


def test_only_adds_to_its_like():
    with pytest.raises(TypeError):
        Spent() + 1  # type: ignore[operator]
