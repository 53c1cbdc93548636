"""The curves of a run as inline SVG: text stays text, and colours follow the page (dark mode, print)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from treeroll.errors import require
from treeroll.report import data

Points = list[tuple[float, float]]

WIDTH, HEIGHT = 4.6, 2.7
"""Inches. Small, so that 9 point text stays readable when a phone scales the drawing to its width."""
MOST_POINTS = 300
"""Longer series are averaged in bins: finer detail than that is below a pixel."""

# Drawn in these colours, which the page then replaces by its own: matplotlib knows no CSS variables.
_INK, _SOFT, _FIRST, _SECOND = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
_VARIABLES = {_INK: "var(--ink)", _SOFT: "var(--rule)", _FIRST: "var(--first)", _SECOND: "var(--second)"}


@dataclass(frozen=True)
class Figure:
    """A drawing with its words."""

    title: str
    caption: str
    svg: str
    """Inline SVG markup that this module made; it holds no text from the run."""


@dataclass(frozen=True)
class Line:
    """One curve; the second of a figure is dashed, so that colour is not the only difference."""

    label: str
    points: Points
    band: tuple[Points, Points] | None = None
    """Lower and upper end of an interval around the points."""


def draw_all(records: Sequence[data.Record]) -> list[Figure]:
    """Returns the figures that the metrics records have numbers for, in the order of the page."""

    def curve(label: str, *keys: str) -> Line:
        return Line(label, data.series(records, *keys))

    drawn = [
        _heldout(records),
        _lines(
            "Effective ratio",
            "Share of a step's tasks whose tree holds both a success and a failure. Dropping tasks raises it too.",
            [curve("effective ratio", "contrast", "effective_ratio")],
            bottom=0.0,
        ),
        _lines(
            "Mixed groups per 1,000 rollouts",
            "Groups with both outcomes that 1,000 rollouts bought: all of them, and those of bare rollouts alone.",
            [
                curve("all", "contrast", "mixed_groups_per_1000"),
                curve("bare", "contrast", "mixed_bare_groups_per_1000"),
            ],
            bottom=0.0,
        ),
        _lines(
            "Predictor skill",
            "Brier skill over the base rate, scored before each update; while it stays below 0 allocation is uniform.",
            [curve("roots", "predictor", "root_skill"), curve("prefixes", "predictor", "prefix_skill")],
            reference=0.0,
        ),
        _lines(
            "Predictor AUC",
            "Chance that a success was predicted above a failure; 0.5 is a coin.",
            [curve("roots", "predictor", "root_auc"), curve("prefixes", "predictor", "prefix_auc")],
            reference=0.5,
        ),
        _lines(
            "Flips, predicted and realised",
            "Share of branching points where a continuation ended otherwise. A gap is the optimiser's curse.",
            [curve("predicted", "predictor", "flips_predicted"), curve("realised", "predictor", "flips_realised")],
            bottom=0.0,
        ),
        _bars(
            "Rollouts a task",
            "How many tasks got how many bare rollouts, over the whole run.",
            data.histogram(records, "allocation", "groups"),
            xlabel="bare rollouts",
        ),
        _bars(
            "Where continuations branch",
            "After which turn continuations were sampled, over the whole run.",
            data.histogram(records, "allocation", "branch_turns"),
            xlabel="turn",
        ),
    ]
    return [figure for figure in drawn if figure is not None]


def _heldout(records: Sequence[data.Record]) -> Figure | None:
    """Returns success with its interval against rollouts spent, or against steps where no rollout was counted."""
    spent = ("spent", "rollouts")
    sampled = any(y > 0 for _, y in data.series(records, *spent))
    against = spent if sampled else ("step",)
    low, high, success = (data.series(records, "heldout", key, against=against) for key in ("low", "high", "success"))
    return _lines(
        "Held-out success",
        "Share of held-out tasks answered right, with its 95\u00a0% interval, against what was spent.",
        [Line("success", success, (low, high))],
        xlabel="rollouts spent" if sampled else "step",
        smooth=False,
    )


def smoothed(points: Points) -> Points:
    """Returns the moving mean over a tenth of the points (at least 3, at most 51), shorter at both ends."""
    reach = min(25, max(1, len(points) // 20))
    means = []
    for place, (x, _) in enumerate(points):
        window = points[max(0, place - reach) : place + reach + 1]
        means.append((x, sum(y for _, y in window) / len(window)))
    return means


def thinned(points: Points) -> Points:
    """Returns at most `MOST_POINTS` points: means over bins of equal size."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return points
    bins = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in bins]


def _lines(
    title: str,
    caption: str,
    lines: Sequence[Line],
    *,
    xlabel: str = "step",
    reference: float | None = None,
    bottom: float | None = None,
    smooth: bool = True,
) -> Figure | None:
    """Returns curves over a common axis, noisy ones faint below their moving mean; None where all are empty."""
    lines = [line for line in lines if line.points]
    if not lines:
        return None

    def paint(axes: Any) -> None:
        if reference is not None:
            axes.axhline(reference, color=_INK, linewidth=0.7, alpha=0.5)
        for line, colour, dash in zip(lines, (_FIRST, _SECOND), ("-", (0, (4, 1.5))), strict=False):
            points = thinned(line.points)
            if line.band and line.band[0] and len(line.band[0]) == len(line.band[1]) == len(line.points):
                low, high = thinned(line.band[0]), thinned(line.band[1])
                axes.fill_between(
                    [x for x, _ in low], [y for _, y in low], [y for _, y in high],
                    color=colour, alpha=0.16, linewidth=0,
                )  # fmt: skip
            if smooth and len(points) > 8:
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.7, alpha=0.35)
                points = smoothed(points)
            marker = "o" if len(points) <= 16 else None
            axes.plot(
                *zip(*points, strict=True), color=colour, linestyle=dash, linewidth=1.9, marker=marker, markersize=3.5,
                label=line.label,
            )  # fmt: skip
        if bottom is not None:
            axes.set_ylim(bottom=bottom)
        axes.set_xlabel(xlabel)
        if len(lines) > 1:
            axes.legend(
                loc="lower right", bbox_to_anchor=(1.01, 0.98), ncols=2, frameon=False, handlelength=2.2, borderpad=0.2
            )

    ends = "; ".join(f"{line.label} from {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}" for line in lines)
    return Figure(title, caption, _svg(title, f"{title}: {ends}.", paint))


def _bars(title: str, caption: str, counts: Mapping[int, float], *, xlabel: str) -> Figure | None:
    """Returns a bar chart over integer bins; None where nothing was counted."""
    counts = {value: count for value, count in counts.items() if count > 0}
    if not counts:
        return None
    if max(counts) - min(counts) < 16:
        counts = {value: counts.get(value, 0.0) for value in range(min(counts), max(counts) + 1)}

    def paint(axes: Any) -> None:
        places = range(len(counts))
        bars = axes.bar(places, list(counts.values()), color=_FIRST, width=0.68, alpha=0.85)
        if len(counts) <= 12:
            axes.bar_label(bars, [f"{count:,.0f}" if count else "" for count in counts.values()], padding=2, fontsize=8)
            axes.set_yticks([])
        every = -(-len(counts) // 16)
        axes.set_xticks(list(places)[::every], [f"{value:,}" for value in counts][::every])
        axes.tick_params(axis="x", length=0)
        axes.margins(y=0.12)
        axes.set_xlabel(xlabel)

    words = ", ".join(f"{value}: {count:,.0f}" for value, count in list(counts.items())[:12])
    return Figure(title, caption, _svg(title, f"{title}, {xlabel} and count: {words}.", paint))


def _svg(name: str, words: str, paint: Callable[[Any], None]) -> str:
    """Returns one drawing as SVG for the middle of a page. `words` is what a screen reader says."""
    matplotlib = require("matplotlib", "report")
    figure_class = require("matplotlib.figure", "report").Figure
    ticker = require("matplotlib.ticker", "report")
    style = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9, "axes.linewidth": 0.8,
        "axes.edgecolor": _SOFT, "axes.labelcolor": _INK, "text.color": _INK, "xtick.color": _SOFT,
        "ytick.color": _SOFT, "xtick.labelcolor": _INK, "ytick.labelcolor": _INK, "axes.spines.top": False,
        "axes.spines.right": False, "axes.spines.left": False, "axes.grid": True, "axes.grid.axis": "y",
        "grid.color": _SOFT, "grid.linewidth": 0.6, "axes.axisbelow": True, "ytick.major.size": 0,
    }  # fmt: skip
    file = StringIO()
    with matplotlib.rc_context(style):
        figure = figure_class(figsize=(WIDTH, HEIGHT), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(ticker.FuncFormatter(_tick))
        paint(axes)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(file.getvalue(), words)


def _tick(value: float, _place: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def _inline(svg: str, words: str) -> str:
    """Returns matplotlib's SVG file as an element of a page: no prologue, fixed size, global style or spare ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    opening = re.match(r"<svg[^>]*>", svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    if opening is None or box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox, which the report cannot scale")
    svg = f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(words)}">' + svg[opening.end() :]
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace("xlink:href", "href")
    for drawn, variable in _VARIABLES.items():
        svg = svg.replace(drawn, variable)
    svg = re.sub(r" font-family: [^;\"]*;?| transform=\"rotate\(-0 [^\"]*\"", "", svg)
    svg = re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
