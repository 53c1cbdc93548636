"""Tools of one's own in the text of a turn; `search` and `finish` are tested with the worlds that have them."""

import pytest

from treeroll.envs.actions import parse


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("I look: Open[the chest]", ("open", "the chest")),
        ("go+[north", ("go+", "north")),
        ("search[x]", None),
        ("reopen[x]", None),
        ("open[ ]", None),
    ],
)
def test_tools_are_those_that_are_named(action: str, parsed: tuple[str, str] | None) -> None:
    assert parse(action, ("open", "go+")) == parsed
