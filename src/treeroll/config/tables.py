"""Options as tables: those of a file, and dotted names for those inside tables."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from treeroll.errors import ConfigError


def read_file(path: str | Path) -> dict[str, Any]:
    """Returns the tables of options in a TOML file, or in a JSON file where its name ends so.

    Raises:
      ConfigError: the file is missing or malformed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file. Name a TOML or JSON file of options") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as {path.suffix.lstrip('.') or 'toml'}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: holds a {type(value).__name__}, expected a table of options")
    return value


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the values of tables inside tables with their dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in flat(value))
        else:
            yield name, value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns tables for dotted names, what `flat` takes apart; only the last dot counts."""
    tables: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (tables.setdefault(section, {}) if section else tables)[name] = value
    return tables
