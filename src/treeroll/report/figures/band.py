"""Curves of several seeds as one mean with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.comparison.statistics import bounds, weights
from treeroll.report.figures.lines import Points, smoothed

MOST_PLACES = 240
"""Places at which a curve is drawn."""
RESAMPLES = 2000
"""Resamples of seeds, the first ones of those behind the table's intervals: enough for a drawing."""


@dataclass(frozen=True)
class Band:
    """A mean over seeds along an axis."""

    x: NDArray[np.float64]
    """[G] rising."""
    mean: NDArray[np.float64]
    """[G]"""
    low: NDArray[np.float64] | None
    """[G] lower end of the 95 % bootstrap interval of the mean; None of too few seeds."""
    high: NDArray[np.float64] | None
    """[G] upper end."""
    seeds: NDArray[np.float64]
    """[S, G] the seeds' own curves."""


def band(runs: Sequence[Points], *, smooth: bool = False) -> Band | None:
    """Returns the mean over seeds, each interpolated between its points, where all of them have points.

    Args:
      runs: the points of each seed, at least one each.
      smooth: whether each seed's moving mean is taken first (`lines.smoothed`).

    Returns:
      None where there are no runs, or no place that all of them cover.
    """
    if not runs:
        return None
    tables = [np.array(smoothed(sorted(points)) if smooth else sorted(points), dtype=np.float64) for points in runs]
    start, end = max(table[0, 0] for table in tables), min(table[-1, 0] for table in tables)
    if start > end:
        return None
    x = np.unique(np.concatenate([table[:, 0] for table in tables]).clip(start, end))
    if len(x) > MOST_PLACES:
        x = np.linspace(start, end, MOST_PLACES)
    seeds = np.stack([np.interp(x, *table.T) for table in tables])
    if len(seeds) == 1:
        return Band(x, seeds[0], None, None, seeds)
    low, high = bounds(weights(len(seeds))[:RESAMPLES] @ seeds, len(seeds)) or (None, None)
    return Band(x, seeds.mean(axis=0), low, high, seeds)
