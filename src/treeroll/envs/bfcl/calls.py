"""Function calls in what the policy wrote: Python syntax, literal values, nothing evaluated.

I look first, so [cd(folder='docs'), ls(a=True)]      a list, whatever is around it; the last bracket may be missing
ls(a=True)                                            calls alone need no brackets
All is done. / []                                     no call
[add(a=1, b=x)]                                       malformed: x is no literal value
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_LIST = re.compile(r"\[\s*(?=[A-Za-z_][\w.]*\()")
"""Where a list of calls starts."""
_ALONE = re.compile(r"[A-Za-z_][\w.]*\(")
_FENCE = re.compile(r"^```\w*\n?|```$")
_ESCAPE = re.compile(r"\\([4-7][0-7]{2}|.?)", re.DOTALL)
_KNOWN_ESCAPES = frozenset("\n\\'\"abfnrtv01234567xNuU")
_UNREADABLE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
"""What Python's parser raises on what a model can write: bad syntax, null bytes, lists as keys, deep nesting."""


class MalformedCallError(ValueError):
    """What looks like calls cannot be read as calls; the message tells the policy why, in few words."""


@dataclass(frozen=True)
class Call:
    """A function and the values that it is called with."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def find_calls(text: str) -> tuple[Call, ...]:
    """Returns the calls of a turn, in their order; none where the turn has no call.

    The first list of calls counts. What a model thinks between `<think>` and `</think>` is not searched.

    Raises:
      MalformedCallError: there is a list of calls, and it is not Python, or a value in it is no literal.
    """
    text = _FENCE.sub("", text.rpartition("</think>")[2].strip()).strip()
    found = _LIST.search(text)
    if found is not None:
        return _read(text[found.start() :])
    return _read(f"[{text}]") if _ALONE.match(text) else ()


def read_call(source: str) -> Call:
    """Returns the one call that a text is, e.g. ``ls(a=True)``.

    Raises:
      MalformedCallError: it is something else.
    """
    calls = _read(f"[{source}]")
    if len(calls) != 1:
        raise MalformedCallError(f"{len(calls)} calls, expected one")
    return calls[0]


def _read(text: str) -> tuple[Call, ...]:
    """Returns the calls of the shortest list that `text` starts with."""
    text = _ESCAPE.sub(_escaped, text)
    ends = [place + 1 for place, letter in enumerate(text) if letter == "]"]
    for source in (*(text[:end] for end in ends), text + "]"):
        try:
            tree = ast.parse(source, mode="eval").body
        except _UNREADABLE:
            continue  # this bracket stands in a value
        if isinstance(tree, ast.List):
            return tuple(_call(node) for node in tree.elts)
    raise MalformedCallError("not Python")


def _escaped(found: re.Match[str]) -> str:
    """Returns an escape that Python knows as it is, and doubles the backslash of others, as Python would read them.

    Without this, each of a model's regular expressions would make Python's parser warn.
    """
    return found.group() if found.group(1) in _KNOWN_ESCAPES else f"\\{found.group()}"


def _call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call):
        raise MalformedCallError(f"{_shown(node)} is no call")
    kwargs: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in kwargs:
            raise MalformedCallError(f"{keyword.arg or '**'} is given twice or without a name")
        kwargs[keyword.arg] = _value(keyword.value)
    return Call(ast.unparse(node.func), tuple(_value(value) for value in node.args), kwargs)


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except _UNREADABLE as error:
        raise MalformedCallError(f"{_shown(node)} is no literal value") from error


def _shown(node: ast.expr) -> str:
    """Returns the start of a piece of code, for an error message that stays short."""
    try:
        text = ast.unparse(node)
    except RecursionError:
        return "what is nested so deeply"
    return text if len(text) <= 40 else f"{text[:40]}..."
