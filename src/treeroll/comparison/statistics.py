"""Intervals over seeds: the percentile bootstrap (Efron 1979), 10,000 resamples, seeded.

Seeds are what is drawn again: a run is one observation, however many steps and tasks it has. With few seeds a
percentile interval is too narrow (of 8 normal values it covers the mean in about 89 %, not 95 %), so read it with their
number. One seed gives no interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from treeroll.seeding import generator

RESAMPLES = 10_000
TAILS = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95 % interval; None where there is nothing to say."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


@lru_cache(maxsize=64)
def weights(size: int, stratum: int = 0) -> NDArray[np.float64]:
    """Returns [RESAMPLES, size] how much each of `size` seeds weighs in each resample; rows add up to 1.

    The same rows for every quantity, so that what is resampled together stays together.

    Args:
      size: seeds.
      stratum: worlds are resampled independently of each other; this is the number of one.
    """
    counts = generator(0, "bootstrap", size, stratum).multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
    drawn = counts / size
    drawn.setflags(write=False)
    return np.asarray(drawn)


def interval(mean: float, resampled: NDArray[np.float64]) -> Interval:
    """Returns a mean with the 95 % interval of its [RESAMPLES] resampled values."""
    low, high = np.percentile(resampled, TAILS).tolist()
    return Interval(mean, low, high)


def mean_interval(values: Iterable[float | None]) -> Interval:
    """Returns the mean over seeds; seeds without a value are left out."""
    return _interval_of([value for value in values if value is not None])


def paired_difference(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> Interval:
    """Returns the mean of `one - other` over the seeds that both have.

    The seed fixes the tasks that come and the held-out draws, so pairs share noise, and the difference has less.

    Args:
      one: {seed: value}, None where there is none.
      other: likewise.
    """
    return _interval_of(differences(one, other))


def differences(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> list[float]:
    """Returns `one - other` of each seed that both have a value for, in the order of `one`."""
    pairs = ((value, other.get(seed)) for seed, value in one.items())
    return [mine - yours for mine, yours in pairs if mine is not None and yours is not None]


def pooled_difference(worlds: Sequence[Sequence[float]]) -> Interval:
    """Returns the mean over worlds of their mean differences, every world with the same weight.

    Args:
      worlds: the differences of each world, by seed; none of them empty. Each world is resampled by itself.
    """
    if not worlds or not all(worlds):
        return Interval()
    mean = float(np.mean([np.mean(one) for one in worlds]))
    if any(len(one) < 2 for one in worlds):
        return Interval(mean)
    drawn = [weights(len(one), stratum) @ np.array(one) for stratum, one in enumerate(worlds)]
    return interval(mean, np.mean(drawn, axis=0))


def _interval_of(values: Sequence[float]) -> Interval:
    if not values:
        return Interval()
    found = np.array(values, dtype=np.float64)
    mean = float(found.mean())
    return Interval(mean) if len(found) < 2 else interval(mean, weights(len(found)) @ found)
