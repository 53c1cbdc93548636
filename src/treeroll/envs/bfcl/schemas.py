"""Functions as the policy sees them: signatures, or the package's descriptions in full.

signatures   tail(file_name, lines: int = 10)
full         {"name": "tail", "description": ..., "parameters": ..., "response": ...}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias

from treeroll.envs.bfcl import package
from treeroll.errors import DataError

Schemas: TypeAlias = Literal["signatures", "full"]
STYLES: tuple[Schemas, ...] = ("signatures", "full")
_PYTHON = {"string": "", "integer": "int", "float": "float", "boolean": "bool", "dict": "dict", "array": "list"}
"""Type of a schema -> type of a signature; a text needs none, as most parameters are texts."""


def functions(classes: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Returns function -> description, in the order of the classes and of their files."""
    return {schema["name"]: schema for name in classes for schema in _described(name)}


def render(described: Mapping[str, Mapping[str, Any]], style: Schemas) -> str:
    """Returns functions as text, one a line."""
    if style == "full":
        return "\n".join(json.dumps(schema) for schema in described.values())
    return "\n".join(signature(schema) for schema in described.values())


def signature(schema: Mapping[str, Any]) -> str:
    """Returns a function's name with its parameters, their types unless they are texts, and their defaults."""
    parameters, required = schema["parameters"]["properties"], schema["parameters"]["required"]
    shown = []
    for name, about in parameters.items():
        kind = _PYTHON[about["type"]]
        if kind == "list" and _PYTHON[about["items"]["type"]]:
            kind = f"list[{_PYTHON[about['items']['type']]}]"
        text = f"{name}: {kind}" if kind else name
        if name not in required:
            default = about.get("default")
            # The descriptions write None as a text.
            shown_default = "None" if default == "None" else repr(default)
            text += f" = {shown_default}" if kind else f"={shown_default}"
        shown.append(text)
    return f"{schema['name']}({', '.join(shown)})"


@cache
def _described(name: str) -> tuple[Mapping[str, Any], ...]:
    """Returns the descriptions of a class's functions.

    Raises:
      MissingExtraError: bfcl-eval is not installed.
      DataError: a line is no description of a function.
    """
    path, found = package.documented(name), []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}; install the tested version: {package.INSTALL}") from error
    for number, line in enumerate(lines, start=1):
        try:
            schema = json.loads(line)
            signature(schema)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}, line {number}: no description of a function: {error!r}") from error
        found.append(schema)
    return tuple(found)
