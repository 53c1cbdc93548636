"""What a turn says: Python to run, or a final answer; and the boxed answer in a solution's text.

    ```python             python[x = 3; x ** 2]             The answer is \\boxed{9}.
    x = 3
    x ** 2
    ```

A fenced block is what chat models write; `python[...]` fits one line, for models that are prompted with plain text.
The first code in a turn runs, unless a boxed answer stands before it, and what follows it is ignored: models like to
go on with an output that they made up. Of several boxed answers the last one counts. What a model thinks between
`<think>` and `</think>` is not searched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*\n(?P<code>.*?)(?:```|\Z)", re.IGNORECASE | re.DOTALL)
_INLINE = re.compile(r"\bpython\s*\[", re.IGNORECASE)
_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")


@dataclass(frozen=True)
class Code:
    """Python to run."""

    text: str


@dataclass(frozen=True)
class Answer:
    """A final answer, as it stands in its box."""

    text: str


def parse(action: str) -> Code | Answer | None:
    """Returns what a turn does; None where it has neither code nor an answer that is not empty."""
    said = action.rpartition("</think>")[2]
    code = _first_code(said)
    answer = boxed(said if code is None else said[: code[0]])
    if answer is not None:
        return Answer(answer)
    return None if code is None else Code(code[1])


def boxed(text: str) -> str | None:
    """Returns the content of the last `\\boxed{...}` that is closed and not empty; None where there is none."""
    for match in reversed(list(_BOX.finditer(text))):
        content = _balanced(text, match.end(), "{", "}")
        if content is not None and content.strip():
            return content.strip()
    return None


def _first_code(text: str) -> tuple[int, str] | None:
    """Returns (place, code) of the first code in a text."""
    found = []
    fence = _FENCE.search(text)
    if fence is not None and fence["code"].strip():
        found.append((fence.start(), fence["code"]))
    inline = _INLINE.search(text)
    if inline is not None:
        line = text[inline.end() :].split("\n", 1)[0]
        content = _balanced(line, 0, "[", "]")
        code = line if content is None else content  # the last bracket may be missing
        if code.strip():
            found.append((inline.start(), code.strip()))
    return min(found, default=None)


def _balanced(text: str, start: int, left: str, right: str) -> str | None:
    """Returns what stands between `start` and the bracket that closes one opened just before it.

    A bracket after a backslash is a letter.
    """
    depth = 1
    for place in range(start, len(text)):
        if text[place - 1 : place] == "\\":
            continue
        if text[place] == left:
            depth += 1
        elif text[place] == right:
            depth -= 1
            if depth == 0:
                return text[start:place]
    return None
