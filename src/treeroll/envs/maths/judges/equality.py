"""Equality of two answers in LaTeX or plain text, as math-verify sees it."""

import logging

from math_verify import parse, verify

logging.disable(logging.CRITICAL)  # it logs every answer that it cannot read


def score(gold: str, answer: str) -> float:
    """Returns 1 where both answers mean the same, else 0. The session bounds the time, so math-verify must not."""
    return float(verify(_read(gold), _read(answer), timeout_seconds=None))


def _read(answer: str) -> list[object]:
    found: list[object] = parse("\\boxed{" + answer + "}", parsing_timeout=None)
    return found


score("1/2", "\\frac{1}{2}")  # builds the parsers once, before sessions fork
