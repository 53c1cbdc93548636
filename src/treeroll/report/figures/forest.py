"""Differences with their intervals, one row an arm: a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treeroll.report.figures.strokes import Stroke
from treeroll.report.figures.svg import INK, Figure, draw, showable

ROW = 0.25
"""Inches."""


def forest(
    title: str,
    name: str,
    caption: str,
    rows: Sequence[tuple[str, Stroke, tuple[float, float | None, float | None]]],
    *,
    xlabel: str,
) -> Figure | None:
    """Returns a dot for each difference and a line for its interval; None without rows.

    Args:
      title: above the figure.
      name: unique on the page.
      caption: below the title.
      rows: (label, stroke, (mean, low, high)); an interval may be missing.
      xlabel: what the difference is one of.
    """
    if not rows:
        return None

    def paint(axes: Any) -> None:
        axes.axvline(0, color=INK, linewidth=0.7, alpha=0.6)
        for row, (_, how, (mean, low, high)) in enumerate(rows):
            if low is not None and high is not None:
                axes.plot([low, high], [row, row], color=how.colour, linewidth=2.2, alpha=0.55)
            clear = low is not None and high is not None and (low > 0 or high < 0)
            axes.plot(
                [mean], [row], "o", markersize=5.5, color=how.colour, markeredgewidth=1.4,
                markerfacecolor=how.colour if clear else "none",
            )  # fmt: skip
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=xlabel)
        axes.set_yticks(range(len(rows)), [showable(label) for label, *_ in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")

    words = "; ".join(
        f"{label} {mean:+.3g}" + ("" if low is None or high is None else f" from {low:+.3g} to {high:+.3g}")
        for label, _, (mean, low, high) in rows
    )
    return Figure(title, caption, draw(name, f"{name}, {xlabel}: {words}.", paint, height=0.75 + ROW * len(rows)))
