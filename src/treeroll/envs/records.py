"""Records of a data file, one at a time, each of which knows where it stands: errors name file, line and field.

JSON (one array), JSONL and CSV are read here; parquet and the Hugging Face hub in `tables`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from treeroll.errors import DataError

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class Record:
    """One object of a data file."""

    values: Mapping[str, Any]
    where: str
    """File and line, or file and row, for errors."""
    number: int
    """Place in its file, from 1."""

    def fail(self, field: str, rule: str, found: object) -> NoReturn:
        """Raises a `DataError` that names the place, the field, what it must be, and what it is."""
        said = repr(found)
        said = said if len(said) <= 80 else f"{said[:77]}..."
        raise DataError(f"{self.where}: field {field!r} must be {rule}, got {said}")

    def has(self, *names: str) -> bool:
        """Returns whether one of these fields is there and not null."""
        return any(self.values.get(name) is not None for name in names)

    def get(self, *names: str) -> tuple[str, Any]:
        """Returns (name, value) of the first of these fields that is there and not null.

        Raises:
          DataError: there is none of them.
        """
        for name in names:
            if self.values.get(name) is not None:
                return name, self.values[name]
        listed = " or ".join(map(repr, names))
        raise DataError(
            f"{self.where}: field {listed} is missing; it has {', '.join(map(repr, self.values)) or 'none'}"
        )

    def text(self, *names: str) -> str:
        """Returns the first of these fields, a text that is not empty, without blanks around it.

        Raises:
          DataError: it is missing, no text, or empty.
        """
        name, value = self.get(*names)
        return self.as_text(name, value)

    def texts(self, *names: str) -> tuple[str, ...]:
        """Returns the first of these fields, a list of texts that are not empty.

        Raises:
          DataError: it is missing, no list, or has another thing in it.
        """
        name, value = self.get(*names)
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.fail(name, "a list of texts", value)
        return tuple(self.as_text(f"{name}[{place}]", entry) for place, entry in enumerate(value))

    def as_text(self, field: str, value: object) -> str:
        """Returns a value of the field as a text that is not empty, or raises `DataError`."""
        text = self.as_string(field, value) if isinstance(value, str) else ""
        if not text:
            self.fail(field, "a text that is not empty", value)
        return text

    def as_string(self, field: str, value: object) -> str:
        """Returns a value of the field as a text, perhaps empty, without blanks around it, or raises `DataError`."""
        if not isinstance(value, str):
            self.fail(field, "a text", value)
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can escape half a character
            self.fail(field, "whole characters", value)
        return value.strip()

    def as_list(self, field: str, value: object) -> Sequence[Any]:
        """Returns a value of the field as a list, or raises `DataError`."""
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.fail(field, "a list", value)
        return value


def read_file(path: Path) -> Iterator[Record]:
    """Yields the records of a .json, .jsonl or .csv file. A .json file may hold JSONL: some copies of the sets do.

    Raises:
      DataError: the file cannot be read, is no text, or a line is malformed.
    """
    try:
        if path.suffix == ".csv":
            yield from _read_csv(path)
        elif path.suffix == ".json" and _starts_with_array(path):
            yield from _read_array(path)
        else:
            yield from _read_lines(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _starts_with_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _text(path: Path, data: bytes, line: int) -> str:
    try:
        return data.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += data[: error.start].count(b"\n")
        raise DataError(f"{path}, line {line}: not UTF-8 text: {error.reason}") from error


def _record(path: Path, line: int, number: int, value: object, *, entry: bool = False) -> Record:
    where = f"{path}, line {line}" + (f", entry {number}" if entry else "")
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object, got {type(value).__name__}")
    return Record(value, where, number)


def _read_lines(path: Path) -> Iterator[Record]:
    number = 0
    with path.open("rb") as file:
        for line, data in enumerate(file, start=1):
            if not data.strip():
                continue
            number += 1
            try:
                value = json.loads(_text(path, data, line))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {line}: not JSON: {error}") from error
            yield _record(path, line, number, value)


def _read_array(path: Path) -> Iterator[Record]:
    """Decodes one entry after the other, so that each knows its line and a big file is never all in objects."""
    text = _text(path, path.read_bytes(), 1)
    decoder, number = json.JSONDecoder(), 0
    line, counted = 1, 0  # the line of text[counted]
    place = _after_blanks(text, 0) + 1
    while True:
        place = _after_blanks(text, place)
        line, counted = line + text.count("\n", counted, place), place
        if text[place : place + 1] == "]" and number == 0:
            place += 1
            break
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            at = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise DataError(f"{path}, line {at}: not JSON: {error}") from error
        number += 1
        yield _record(path, line, number, value, entry=True)
        place = _after_blanks(text, place)
        follows = text[place : place + 1]
        place += 1
        if follows == "]":
            break
        if follows != ",":
            line += text.count("\n", counted, place)
            raise DataError(f"{path}, line {line}: entry {number} is followed by {follows!r}, expected ',' or ']'")
    rest = text[place:].strip()
    if rest:
        raise DataError(f"{path}: there is more after the array: {rest[:40]!r}")


def _after_blanks(text: str, place: int) -> int:
    while text[place : place + 1].isspace():
        place += 1
    return place


def _read_csv(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for number, row in enumerate(reader, start=1):
                where = f"{path}, line {reader.line_num}"
                if None in row:
                    raise DataError(f"{where}: more cells than the heading's {len(reader.fieldnames or [])}")
                yield Record(row, where, number)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}, line {reader.line_num + 1}: not CSV: {error}") from error
