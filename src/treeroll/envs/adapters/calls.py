"""Tool calls in what a model wrote.

Two forms are read, after any thoughts in `<think>`: JSON in tags, as the chat templates of Hermes and Qwen write it,
and a call in Python's words on a line of its own.

    <tool_call>{"name": "search", "arguments": {"query": "Mombasa"}}</tool_call>
    search(query="Mombasa")
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from treeroll.envs.adapters.adapted import spoken

_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_PLAIN = re.compile(r"^[ \t`]*([A-Za-z_]\w*\(.*\))[ \t`]*$", re.MULTILINE)


@dataclass(frozen=True)
class Call:
    """One call of a tool."""

    name: str
    positional: tuple[Any, ...] = ()
    """Arguments without a name; the form in tags has none."""
    named: dict[str, Any] = field(default_factory=dict)


class BadCallError(ValueError):
    """A call that cannot be read; the text says what is wrong, for the model."""


def calls(action: str, tools: Collection[str]) -> list[Call]:
    """Returns the calls of a turn, in order; none where it calls no tool.

    Args:
      action: what the model wrote.
      tools: known names. Something in Python's form with another name is prose; in tags it is a call.

    Raises:
      BadCallError: a call in tags is no JSON object with a name, or a call in Python's form has arguments that are not
        plain values.
    """
    text = spoken(action)
    tagged = _TAGGED.findall(text)
    if tagged:
        return [_tagged(body) for body in tagged]
    return [call for line in _PLAIN.findall(text) if (call := _plain(line, tools)) is not None]


def _tagged(body: str) -> Call:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:  # brackets nested too deep
        raise BadCallError(f"the tool call is not JSON: {error}") from error
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        raise BadCallError('a tool call is an object such as {"name": "...", "arguments": {...}}')
    arguments = said.get("arguments", said.get("parameters", {}))
    if isinstance(arguments, str):  # some models write the arguments as a text of JSON
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise BadCallError(f"the arguments of {said['name']} are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise BadCallError(f"the arguments of {said['name']} must be an object")
    return Call(said["name"], (), arguments)


def _plain(line: str, tools: Collection[str]) -> Call | None:
    """Returns a call in Python's form; None for what is no call of a known tool."""
    name = line.partition("(")[0]
    if name not in tools:
        return None
    try:
        tree = ast.parse(line, mode="eval").body
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            return None
        positional = tuple(ast.literal_eval(value) for value in tree.args)
        if any(keyword.arg is None for keyword in tree.keywords):
            raise BadCallError(f"the call of {name} has **arguments; write them out")
        named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in tree.keywords}
    except BadCallError:
        raise
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise BadCallError(f"the call of {name} cannot be read: write plain values as arguments") from error
    return Call(name, positional, named)
