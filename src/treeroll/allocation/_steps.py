"""What one more rollout of an anchor is worth, in O(1) however many it has: as logarithms, without cancellation.

| law | value of m rollouts | rollout m + 1 adds |
|---|---|---|
| `Mixed` | 1 - v^m - (1-v)^m | v^m (1-v) + (1-v)^m v |
| `BetaMixed` | its mean over Beta(a, b) | (a)_m b/(a+b)_(m+1) + (b)_m a/(a+b)_(m+1) |
| `Flip` | 1 - s^m | s^m (1-s) |
| `BetaFlip` | its mean over Beta(a, b) | (a)_m b/(a+b)_(m+1) |
| `Table` | the sum of a row's first m entries | the entry |

(x)_m = x (x+1) ... (x+m-1). All gains but the table's are moments of a measure on [0, 1], E[(1-s) s^m] and the like, so
their logarithm is convex in m (Cauchy-Schwarz): it falls, and ever more slowly. `Stairs.counts` climbs by that.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from treeroll.contrast import log_rising

Floats = NDArray[np.float64]


class Law(Protocol):
    """The gains of n anchors; indexing selects among them."""

    def __getitem__(self, rows: Any) -> Self: ...

    def gains(self, given: Floats) -> Floats:
        """Returns [n] the log of what the next rollout adds, after `given`."""

    def falls(self, given: Floats) -> Floats:
        """Returns [n] by how much the log falls from that one to the one after it; infinity where this is not known."""

    def paying(self, ground: Floats) -> Floats:
        """Returns [n] a number of rollouts all of which but the first add at least the log `ground`; 0 is one."""

    def values(self, given: Floats) -> Floats:
        """Returns [n] what `given` rollouts are worth."""


class _Rows:
    """Lets a dataclass of [n] arrays be indexed."""

    def __getitem__(self, rows: Any) -> Any:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Mixed(_Rows):
    """Contrast of bare rollouts; gains from the second rollout on."""

    rare: Floats
    """[n] probability of the rarer outcome, in (0, 1/2]."""
    log_rare: Floats
    log_common: Floats

    @classmethod
    def of(cls, rare: Floats) -> Mixed:
        return cls(rare, np.log(rare), np.log1p(-rare))

    def gains(self, given: Floats) -> Floats:
        return np.asarray(self.log_rare + given * self.log_common + np.log(1 + self._ratio(given)))

    def falls(self, given: Floats) -> Floats:
        ratio = self._ratio(given)
        return np.asarray(-np.log1p(-(self.rare + ratio * (1 - self.rare)) / (1 + ratio)))

    def paying(self, ground: Floats) -> Floats:
        """By the larger term alone."""
        return np.asarray(1 + np.floor((ground - self.log_rare) / self.log_common))

    def _ratio(self, given: Floats) -> Floats:
        """Returns [n] the smaller term over the larger."""
        return np.asarray(np.exp((given - 1) * (self.log_rare - self.log_common)))

    def values(self, given: Floats) -> Floats:
        mixed = -np.expm1(given * self.log_common) - np.exp(given * self.log_rare)
        return np.asarray(np.where(given > 0, mixed, 0.0))


@dataclass(frozen=True, eq=False)
class BetaMixed(_Rows):
    """Expected contrast of bare rollouts whose success probability is uncertain; gains from the second rollout on."""

    rare: Floats
    """[n] mean probability of the rarer outcome, in (0, 1/2]."""
    strength: Floats
    """[n] a + b, > 0, at most `CERTAIN`."""

    def gains(self, given: Floats) -> Floats:
        all_rare, all_common = self._terms(given)
        return np.logaddexp(all_rare, all_common) - np.log1p(given / self.strength)

    def falls(self, given: Floats) -> Floats:
        all_rare, all_common = self._terms(given)
        share = 1 / (1 + np.exp(np.minimum(all_common - all_rare, 700.0)))  # of the first term
        rest = share * (1 - self.rare) + (1 - share) * self.rare
        return np.asarray(-np.log1p(-(rest * self.strength + 1) / (self.strength + given + 1)))

    def paying(self, ground: Floats) -> Floats:
        return np.zeros(len(ground))

    def _terms(self, given: Floats) -> tuple[Floats, Floats]:
        """Returns [n] the logs of the two terms of what the next rollout adds, both times 1 + given/strength."""
        rare, common = self.rare, 1 - self.rare
        return log_all(rare, self.strength, given) + np.log(common), log_all(common, self.strength, given) + np.log(
            rare
        )

    def values(self, given: Floats) -> Floats:
        all_rare = np.exp(log_all(self.rare, self.strength, given))
        mixed = -np.expm1(log_all(1 - self.rare, self.strength, given)) - all_rare
        return np.asarray(np.where(given > 0, mixed, 0.0))


@dataclass(frozen=True, eq=False)
class Flip(_Rows):
    """At least one continuation has another outcome than the incumbent."""

    first: Floats
    """[n] log of what the first adds."""
    fall: Floats
    """[n] by how much the log falls with each, > 0."""

    @classmethod
    def of(cls, repeat: Floats) -> Flip:
        """Takes [n] probabilities of repeating the outcome, in (0, 1)."""
        return cls(np.log1p(-repeat), -np.log(repeat))

    def gains(self, given: Floats) -> Floats:
        return np.asarray(self.first - self.fall * given)

    def falls(self, given: Floats) -> Floats:
        return self.fall

    def paying(self, ground: Floats) -> Floats:
        return np.asarray(1 + np.floor((self.first - ground) / self.fall))

    def values(self, given: Floats) -> Floats:
        return np.asarray(-np.expm1(-self.fall * given))


@dataclass(frozen=True, eq=False)
class BetaFlip(_Rows):
    """The same, on average, where the probability of repeating the outcome is uncertain."""

    repeat: Floats
    """[n] its mean, in (0, 1)."""
    strength: Floats
    """[n] a + b, > 0, at most `CERTAIN`."""

    def gains(self, given: Floats) -> Floats:
        log_repeats = log_all(self.repeat, self.strength, given)
        return np.asarray(log_repeats + np.log(1 - self.repeat) - np.log1p(given / self.strength))

    def falls(self, given: Floats) -> Floats:
        flips = (1 - self.repeat) * self.strength
        return np.asarray(-np.log1p(-(flips + 1) / (self.strength + given + 1)))

    def paying(self, ground: Floats) -> Floats:
        return np.zeros(len(ground))

    def values(self, given: Floats) -> Floats:
        return np.asarray(-np.expm1(log_all(self.repeat, self.strength, given)))


@dataclass(frozen=True, eq=False)
class Table(_Rows):
    """Gains given one by one."""

    entries: Floats
    """[n, C] what the first, second, ... rollout adds, falling along each row."""

    def gains(self, given: Floats) -> Floats:
        return np.asarray(np.log(self.entries[np.arange(len(given)), given.astype(np.int64)]))

    def falls(self, given: Floats) -> Floats:
        return np.full(len(given), np.inf)

    def paying(self, ground: Floats) -> Floats:
        return np.zeros(len(ground))

    def values(self, given: Floats) -> Floats:
        sums = np.concatenate([np.zeros((len(self.entries), 1)), np.cumsum(self.entries, axis=1)], axis=1)
        return np.asarray(sums[np.arange(len(given)), given.astype(np.int64)])


_SHIFT = 8
"""Draws that are taken one by one; `log_rising` is exact from there."""
_CHUNK = 2048
"""Entries that fit into the cache with all that is computed from them."""


def log_all(mean: Floats, strength: Floats, draws: Floats) -> Floats:
    """Returns [n] ln E[v^m] = ln (a)_m/(a+b)_m of v ~ Beta(a, b): all of m draws have the outcome.

    (a)_m = (a+8)_m prod_{j<8} (a+j)/(a+m+j), so `log_rising` does most of it: O(1) for each entry, where
    `treeroll.contrast` is slower and keeps the relative precision of 1 - E[v^m] as well.

    Args:
      mean: [n] a/(a+b), in (0, 1).
      strength: [n] a + b, > 0, at most `CERTAIN`.
      draws: [n] m, whole, >= 0.
    """
    found = np.empty(len(draws))
    far = draws > _SHIFT
    for rows, formula in ((np.flatnonzero(~far), _by_product), (np.flatnonzero(far), _by_series)):
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            found[part] = formula(mean[part], strength[part], draws[part])
    return found


def _by_product(mean: Floats, strength: Floats, draws: Floats) -> Floats:
    """Returns `log_all` of at most `_SHIFT` draws."""
    drawn = np.arange(1, max(int(draws.max()), 1))[:, None]
    factors = np.where(drawn < draws, (mean * strength + drawn) / (strength + drawn), 1.0)
    return np.asarray(np.log(np.where(draws > 0, mean, 1.0) * factors.prod(axis=0)))


def _by_series(mean: Floats, strength: Floats, draws: Floats) -> Floats:
    """Returns `log_all` of one draw or more."""
    a, j = mean * strength, np.arange(1, _SHIFT)[:, None]
    small = (a + j) / (strength + j) * ((strength + draws + j) / (a + draws + j))
    first = mean * (strength + draws) / (a + draws)  # j = 0, where a may be too small to divide by
    shifted = log_rising(a + _SHIFT, strength + _SHIFT, draws)
    return np.asarray(np.log(first * small.prod(axis=0)) + shifted)
