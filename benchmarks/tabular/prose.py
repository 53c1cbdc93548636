"""Paragraphs of the markdown pages that benchmarks write."""

from __future__ import annotations

import textwrap


def fill(text: str) -> str:
    """Returns a paragraph in lines of at most 120 characters, however it was broken before."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def page(*parts: str) -> str:
    """Returns a page: paragraphs are filled; headings and tables stay as they are."""
    done = [part if part.startswith(("#", "|")) else fill(part) for part in parts]
    return "\n\n".join(done) + "\n"
