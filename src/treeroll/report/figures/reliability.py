"""Predicted against realised shares, with the diagonal that a calibrated prediction lies on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treeroll.report.calibration import Bins
from treeroll.report.figures.svg import FIRST, INK, SECOND, Figure, draw

LARGEST = 62.0
"""Area in square points of the dot of the fullest bin."""


@dataclass(frozen=True)
class Group:
    """Predictions that are drawn as one line."""

    label: str
    bins: Bins
    colour: str = FIRST
    dash: Any = "-"
    letter: str = ""
    """Stands at the line's right end, in a figure whose legend is on the page."""


def pair(first: tuple[str, Bins], second: tuple[str, Bins]) -> list[Group]:
    """Returns two groups in the two colours of a run's figures."""
    return [Group(*first), Group(*second, colour=SECOND, dash=(0, (4, 1.5)))]


def reliability(
    title: str, caption: str, groups: Sequence[Group], *, xlabel: str, ylabel: str, legend: bool = True
) -> Figure | None:
    """Returns a reliability plot; None where no group holds a prediction. A dot's area is its bin's count.

    Args:
      title: of the figure; it must be unique on the page.
      caption: what stands below the title.
      groups: drawn in order; groups without predictions are left out.
      xlabel: what was predicted.
      ylabel: what came.
      legend: whether to name the groups in the drawing, with their number of predictions.
    """
    groups = [group for group in groups if len(group.bins.count)]
    if not groups:
        return None
    largest = max(int(group.bins.count.max()) for group in groups)
    reach = max(float(max(group.bins.predicted.max(), group.bins.realised.max())) for group in groups)
    top = 1.0 if reach > 0.55 else max(0.05, 1.25 * reach)  # rare events all lie in one corner of a whole square

    def paint(axes: Any) -> None:
        axes.plot([0, top], [0, top], color=INK, linewidth=0.7, alpha=0.5)
        for group in groups:
            found = group.bins
            axes.plot(
                found.predicted, found.realised, color=group.colour, linestyle=group.dash, linewidth=1.4,
                label=f"{group.label} ({found.count.sum():,})",
            )  # fmt: skip
            size = np.maximum(5.0, LARGEST * found.count / largest)
            axes.scatter(found.predicted, found.realised, s=size, color=group.colour, linewidths=0, zorder=3)
            if group.letter:
                axes.annotate(
                    group.letter, (found.predicted[-1], found.realised[-1]), xytext=(5, 3), textcoords="offset points",
                    color=group.colour, fontsize=8, fontweight="bold", annotation_clip=False,
                )  # fmt: skip
        axes.set(xlim=(-0.03 * top, 1.03 * top), ylim=(-0.04 * top, 1.04 * top), xlabel=xlabel, ylabel=ylabel)
        if legend:
            axes.legend(loc="upper left", frameon=False, handlelength=2.2, borderpad=0.2)

    words = "; ".join(
        f"{group.label}, {group.bins.count.sum():,} predictions: "
        + ", ".join(f"{p:.2f} came {r:.2f}" for p, r in zip(group.bins.predicted, group.bins.realised, strict=True))
        for group in groups
    )
    return Figure(title, caption, draw(title, f"{title}. {words}.", paint, height=3.1))
