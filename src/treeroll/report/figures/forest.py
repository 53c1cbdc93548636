"""Differences with their intervals, one row an arm: a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treeroll.report.compared import Estimate
from treeroll.report.figures.strokes import Stroke
from treeroll.report.figures.svg import INK, Figure, draw, showable

ROW = 0.25
"""Inches."""


def forest(
    title: str,
    name: str,
    caption: str,
    rows: Sequence[tuple[str, Stroke, Estimate]],
    *,
    xlabel: str,
) -> Figure | None:
    """Returns a dot for each difference and a line for its interval; None without rows.

    Args:
      title: above the figure.
      name: unique on the page.
      caption: below the title.
      rows: (label, stroke, difference); without an interval, the seeds' values are drawn as small dots.
      xlabel: what the difference is one of.
    """
    if not rows:
        return None

    def paint(axes: Any) -> None:
        axes.axvline(0, color=INK, linewidth=0.7, alpha=0.6)
        for row, (_, how, gap) in enumerate(rows):
            mean, low, high = gap.mean, gap.low, gap.high
            if low is not None and high is not None:
                axes.plot([low, high], [row, row], color=how.colour, linewidth=2.2, alpha=0.55)
            else:
                axes.plot(gap.each, [row] * len(gap.each), "o", markersize=2.6, color=how.colour, alpha=0.8)
            axes.plot(
                [mean], [row], "o", markersize=5.5, color=how.colour, markeredgewidth=1.4,
                markerfacecolor=how.colour if gap.sign else "none",
            )  # fmt: skip
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=xlabel)
        axes.set_yticks(range(len(rows)), [showable(label, 30) for label, *_ in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")

    words = "; ".join(
        f"{label} {gap.mean:+.3g}"
        + ("" if gap.low is None or gap.high is None else f" from {gap.low:+.3g} to {gap.high:+.3g}")
        for label, _, gap in rows
    )
    return Figure(title, caption, draw(name, f"{name}, {xlabel}: {words}.", paint, height=0.75 + ROW * len(rows)))
