"""Actions in text: the tool that a turn calls, found in whatever a model writes around it.

    First I need the country, so search[country where Mombasa is]        ("search", "country where Mombasa is")

The first call of a known tool counts. Brackets may be round and the last one may be missing, as small models write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

SEARCH_OR_FINISH = ("search", "finish")
"""The tools of worlds where an agent looks things up and then answers."""


def parse(action: str, tools: Sequence[str] = SEARCH_OR_FINISH) -> tuple[str, str] | None:
    """Returns (tool, argument) of a turn; None where it has no action or an empty argument.

    What a model thinks between `<think>` and `</think>` is not searched for actions.

    Args:
      action: the text of one turn.
      tools: names of the tools, in lower case; a turn may write them in any case.
    """
    match = _pattern(tuple(tools)).search(action.rpartition("</think>")[2])
    if match is None:
        return None
    tool, bracket, argument = match.groups()
    if bracket == "(" and ")" in argument:
        argument = argument[: argument.rindex(")")]
    argument = argument.strip(" \t\"'")
    return (tool.lower(), argument) if argument else None


@lru_cache
def _pattern(tools: tuple[str, ...]) -> re.Pattern[str]:
    names = "|".join(map(re.escape, tools))
    return re.compile(rf"\b({names})\s*([\[(])([^\]\n]*)", re.IGNORECASE)
