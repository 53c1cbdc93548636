"""Curves of one run over a common axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from treeroll.report.figures.svg import FIRST, INK, SECOND, Figure, draw

Points: TypeAlias = list[tuple[float, float]]

MOST_POINTS = 300
"""Longer series are averaged in bins: finer detail than that is below a pixel."""


@dataclass(frozen=True)
class Line:
    """One curve; the second of a figure is dashed, so that colour is not the only difference."""

    label: str
    points: Points
    band: tuple[Points, Points] | None = None
    """Lower and upper end of an interval around the points."""


def lines(
    title: str,
    caption: str,
    curves: Sequence[Line],
    *,
    xlabel: str = "step",
    reference: float | None = None,
    bottom: float | None = None,
    smooth: bool = True,
) -> Figure | None:
    """Returns curves over a common axis, noisy ones faint below their moving mean; None where all are empty."""
    curves = [line for line in curves if line.points]
    if not curves:
        return None

    def paint(axes: Any) -> None:
        if reference is not None:
            axes.axhline(reference, color=INK, linewidth=0.7, alpha=0.5)
        for line, colour, dash in zip(curves, (FIRST, SECOND), ("-", (0, (4, 1.5))), strict=False):
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
        if len(curves) > 1:
            axes.legend(
                loc="lower right", bbox_to_anchor=(1.01, 0.98), ncols=2, frameon=False, handlelength=2.2, borderpad=0.2
            )

    ends = "; ".join(f"{line.label} from {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}" for line in curves)
    return Figure(title, caption, draw(title, f"{title}: {ends}.", paint))


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
