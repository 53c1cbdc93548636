"""Flips that were predicted against those that came: one dot a run, one letter an arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treeroll.report.figures.strokes import Stroke
from treeroll.report.figures.svg import INK, Figure, draw


def flips(name: str, rows: Sequence[tuple[str, str, Stroke, Sequence[tuple[float, float]]]]) -> Figure | None:
    """Returns the mean share of flips, predicted and realised; None where no run has both.

    Args:
      name: unique on the page.
      rows: (name, letter, stroke, (predicted, realised) of each run) of each arm.
    """
    rows = [row for row in rows if row[3]]
    if not rows:
        return None
    top = 1.12 * max(max(point) for *_, points in rows for point in points) or 1.0

    def paint(axes: Any) -> None:
        axes.plot([0, top], [0, top], color=INK, linewidth=0.7, alpha=0.5)
        for _, letter, how, points in rows:
            axes.scatter(*zip(*points, strict=True), s=13, color=how.colour, alpha=0.75, linewidths=0)
            x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
            axes.annotate(
                letter, (x, y), xytext=(6, 2), textcoords="offset points", color=how.colour, fontsize=9,
                fontweight="bold",
            )  # fmt: skip
        axes.set(xlim=(0, top), ylim=(0, top), xlabel="predicted share of flips", ylabel="realised share")

    def mean(points: Sequence[tuple[float, float]], axis: int) -> float:
        return sum(point[axis] for point in points) / len(points)

    words = "; ".join(f"{arm} {mean(points, 0):.2f}, came {mean(points, 1):.2f}" for arm, _, _, points in rows)
    return Figure(
        "Flips, predicted and realised",
        "Share of expanded anchors where a continuation ended otherwise: a dot for each run, the letter beside their "
        "mean. Below the diagonal, the allocator was promised more than came.",
        draw(name, f"{name}, predicted: {words}.", paint, height=3.1),
    )
