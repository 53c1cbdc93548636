"""A drawing as inline SVG: text stays text, and colours follow the page (dark mode, print)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from treeroll.errors import require

WIDTH, HEIGHT = 4.6, 2.7
"""Inches. Small, so that 9 point text stays readable when a phone scales the drawing to its width."""
COLOURS = 10
"""Colours that a comparison has for its arms; beyond that they repeat with another dash."""

# Drawn in these colours, which the page then replaces by its own: matplotlib knows no CSS variables.
INK, RULE, FIRST, SECOND = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
ARMS = tuple(f"#0a0c{number:02d}" for number in range(COLOURS))
_VARIABLES = {INK: "var(--ink)", RULE: "var(--rule)", FIRST: "var(--first)", SECOND: "var(--second)"}
_VARIABLES |= {drawn: f"var(--arm-{number})" for number, drawn in enumerate(ARMS)}

UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What HTML forbids, what cannot be encoded, and what reorders the text around it."""


@dataclass(frozen=True)
class Figure:
    """A drawing with its words."""

    title: str
    caption: str
    svg: str
    """Inline SVG markup; text from files is escaped in it."""


def draw(
    name: str, words: str, paint: Callable[[Any], None], *, height: float = HEIGHT, rows: tuple[float, ...] = (1.0,)
) -> str:
    """Returns one drawing as SVG for the middle of a page.

    Args:
      name: what tells this drawing from the others of the page; the ids in the markup follow from it.
      words: what a screen reader says.
      paint: draws on the axes, or, with several rows, on the list of axes from top to bottom.
      height: inches.
      rows: relative heights of axes above each other that share x.
    """
    matplotlib = require("matplotlib", "report")
    figure_class = require("matplotlib.figure", "report").Figure
    ticker = require("matplotlib.ticker", "report")
    style = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9, "axes.linewidth": 0.8,
        "axes.edgecolor": RULE, "axes.labelcolor": INK, "text.color": INK, "xtick.color": RULE,
        "ytick.color": RULE, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.spines.top": False,
        "axes.spines.right": False, "axes.spines.left": False, "axes.grid": True, "axes.grid.axis": "y",
        "grid.color": RULE, "grid.linewidth": 0.6, "axes.axisbelow": True, "ytick.major.size": 0,
        "text.parse_math": False,
    }  # fmt: skip
    file = StringIO()
    with matplotlib.rc_context(style):
        figure = figure_class(figsize=(WIDTH, height), layout="constrained")
        figure.patch.set_alpha(0)
        stack = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0].tolist()
        for axes in stack:
            axes.patch.set_alpha(0)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
                axis.set_major_formatter(ticker.FuncFormatter(tick))
        paint(stack if len(stack) > 1 else stack[0])
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(file.getvalue(), words)


def tick(value: float, _place: int = 0) -> str:
    """Returns a number as it stands at an axis, e.g. ``"120,000"``, ``"2.5 M"``, ``"0.05"``."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.6g} M"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def showable(text: str, most: int = 22) -> str:
    """Returns text from a file as it may stand in a drawing: without control characters, at most `most` long."""
    clean = UNSHOWABLE.sub("\ufffd", text)
    return clean if len(clean) <= most else clean[: most - 1] + "\u2026"


def _inline(svg: str, words: str) -> str:
    """Returns matplotlib's SVG file as an element of a page: no prologue, fixed size, global style or spare ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    opening = re.match(r"<svg[^>]*>", svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    if opening is None or box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox, which the report cannot scale")
    svg = re.sub(r"<[^>]*>", lambda tag: _lean(tag[0]), svg[opening.end() :])
    svg = f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(words)}">' + svg
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def _lean(tag: str) -> str:
    """Returns a tag in the page's colours and font, with coordinates cut to what an eye can see."""
    tag = re.sub(r'^<g id="[^"]*"', "<g", tag).replace("xlink:href", "href")
    for drawn, variable in _VARIABLES.items():
        tag = tag.replace(drawn, variable)
    tag = re.sub(r" font-family: [^;\"]*;?| transform=\"rotate\(-0 [^\"]*\"", "", tag)
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", tag)
