"""What is said of an option: its default, its choices, and what is wrong with a value or a name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from treeroll.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails


def unknown(key: str, known: Mapping[str, FieldInfo]) -> str:
    """Returns what is said of a name that no option has, with the likeliest that was meant."""
    section, _, name = key.rpartition(".")
    sections = {option.partition(".")[0] for option in known if "." in option}
    if key in sections:
        inside = ", ".join(option for option in known if option.startswith(f"{key}."))
        return f"{key!r} is a section, not an option. Set one of its options: {inside}"
    last = {option: option.rpartition(".")[2] for option in known}
    initials = {option: "".join(part[0] for part in word.split("_")) for option, word in last.items()}
    likely = [option for option in known if name in (last[option], initials[option])]
    if not likely:
        near = {last[option]: option for option in known if not section or option.startswith(f"{section}.")}
        likely = [near[word] for word in difflib.get_close_matches(name, near, n=1)]
    if likely:
        return f"unknown option {key!r}. Did you mean {' or '.join(map(repr, likely))}?"
    return f"unknown option {key!r}. All options are listed by: treeroll train --help"


_RULES = {
    "greater_than_equal": "must be {ge:g} or more",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be {le:g} or less",
    "less_than": "must be less than {lt:g}",
    "finite_number": "must be a finite number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "literal_error": "must be {expected}",
}


def explain(detail: ErrorDetails, known: Mapping[str, FieldInfo]) -> str:
    """Returns the value, the rule that it breaks, and what the option means."""
    key = ".".join(str(part) for part in detail["loc"] if isinstance(part, str))
    rule = _RULES.get(detail["type"])
    said = rule.format(**detail.get("ctx", {})) if rule else detail["msg"]
    option = known[key]
    hint = ""
    if detail["type"] == "literal_error":
        guess = did_you_mean(str(detail["input"]), choices(option))
        hint = guess if "mean" in guess else ""
    return f"{key}={detail['input']}: {said}.{hint} It is: {option.description} (default {default(option)})"


def choices(option: FieldInfo) -> list[str]:
    """Returns the words that an option is limited to; none where it is free."""
    return [str(word) for word in get_args(option.annotation)] if get_origin(option.annotation) is Literal else []


def default(option: FieldInfo) -> str:
    """Returns an option's default as it would be written on the command line."""
    return str(option.default).lower()
