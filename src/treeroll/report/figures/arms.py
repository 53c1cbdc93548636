"""Curves of the arms of a comparison over a common axis, with bands over seeds and a letter at each line's end.

Seeds that are too few for a band are drawn as thin lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from treeroll.report.figures.band import Band
from treeroll.report.figures.strokes import Stroke
from treeroll.report.figures.svg import Figure, draw, tick

GAP = 0.056
"""Least distance of two letters, in heights of the axes."""


@dataclass(frozen=True)
class Curve:
    """One arm."""

    name: str
    letter: str
    stroke: Stroke
    band: Band
    ring: float | None = None
    """A place on the line that is marked by a ring."""


def arms(
    title: str,
    name: str,
    caption: str,
    curves: Sequence[Curve],
    *,
    xlabel: str,
    bottom: float | None = None,
    dots: bool = False,
    scale: Literal["linear", "log"] = "linear",
) -> Figure | None:
    """Returns the arms' curves; None where there are none.

    Args:
      title: above the figure.
      name: the title with its environment; unique on the page.
      caption: below the title.
      curves: the arms that have numbers.
      xlabel: what x is.
      bottom: where y starts; where the data start by default.
      dots: whether each point is marked, where the curve is made of a few measured points.
      scale: of x; a logarithmic one has its ticks where there are points.
    """
    if not curves:
        return None

    haze = max(0.045, min(0.15, 0.36 / len(curves)))  # many bands over each other must not hide the lines

    def paint(axes: Any) -> None:
        for curve in curves:
            band, how = curve.band, curve.stroke
            if band.low is not None:
                axes.fill_between(band.x, band.low, band.high, color=how.colour, alpha=haze, linewidth=0)
            elif len(band.seeds) > 1:
                axes.plot(band.x, band.seeds.T, color=how.colour, linestyle=how.dash, linewidth=0.6, alpha=0.45)
            axes.plot(
                band.x, band.mean, color=how.colour, linestyle=how.dash, linewidth=1.6,
                marker="o" if dots else None, markersize=3.2,
            )  # fmt: skip
            if curve.ring is not None:
                height = float(np.interp(curve.ring, band.x, band.mean))
                axes.plot([curve.ring], [height], "o", markersize=9, markerfacecolor="none", color=how.colour)
        if scale == "log":
            axes.set_xscale("log")
            places = np.unique(np.concatenate([curve.band.x for curve in curves]))
            axes.set_xticks(places, [tick(float(x)) for x in places])
            axes.set_xticks([], minor=True)
        if bottom is not None:
            axes.set_ylim(bottom=bottom)
        axes.set_xlabel(xlabel)
        _letters(axes, curves)

    ends = "; ".join(
        f"{curve.name} from {curve.band.mean[0]:.3g} to {curve.band.mean[-1]:.3g}" for curve in curves
    )  # fmt: skip
    return Figure(title, caption, draw(name, f"{name}, {xlabel}: {ends}.", paint, height=3.1))


def _letters(axes: Any, curves: Sequence[Curve]) -> None:
    """Writes each curve's letter right of its end, apart from the others, with a thin line between."""
    axes.autoscale_view()  # matplotlib puts it off, and would place the letters by the limits of empty axes
    to_axes = axes.transScale + axes.transLimits
    ends = [to_axes.transform((curve.band.x[-1], curve.band.mean[-1])) for curve in curves]
    heights = spread([float(y) for _, y in ends], GAP)
    for curve, (x, y), height in zip(curves, ends, heights, strict=True):
        colour = curve.stroke.colour
        axes.plot(
            [x, 1.03], [y, height], transform=axes.transAxes, color=colour, linewidth=0.5, alpha=0.7, clip_on=False
        )
        axes.text(
            1.04, height, curve.letter, transform=axes.transAxes, color=colour, fontsize=8.5, fontweight="bold",
            va="center_baseline",
        )  # fmt: skip


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Returns places at least `gap` apart, in the order of the wanted ones and as near to them as keeps them so.

    Places that would be too close form a block around their mean, and blocks that meet are merged.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[float, list[int]]] = []  # the middle of a block, and who is in it
    for index in order:
        middle, members = wanted[index], [index]
        while blocks and middle - blocks[-1][0] < gap * (len(members) + len(blocks[-1][1])) / 2:
            below, others = blocks.pop()
            middle = (below * len(others) + middle * len(members)) / (len(others) + len(members))
            members = others + members
        blocks.append((middle, members))
    places = [0.0] * len(wanted)
    for middle, members in blocks:
        for rank, index in enumerate(members):
            places[index] = middle + gap * (rank - (len(members) - 1) / 2)
    return places
