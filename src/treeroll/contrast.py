"""How likely rollouts are to hold a contrast: a success and a failure.

| anchor | contrast of its rollouts | formula |
|---|---|---|
| root, m bare rollouts, success probability v | they are mixed | f(v, m) = 1 - v^m - (1-v)^m, f(v, 0) = 0 |
| root, v uncertain: Beta(a, b) | they are mixed, on average | 1 - (a)_m/(a+b)_m - (b)_m/(a+b)_m |
| prefix, k continuations, each repeats the outcome with probability s | one of them flips it | g(s, k) = 1 - s^k |
| prefix, s uncertain: Beta(a, b) | one of them flips it, on average | 1 - (a)_k/(a+b)_k |

(x)_m = x (x+1) ... (x+m-1) is the rising factorial. All functions broadcast, return float64 in [0, 1] and keep
their relative precision where a probability is near 0 or 1 (beyond `DRAWS` rollouts at a finite strength: 1e-14).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.errors import AllocationError

DRAWS = 64
"""Factors of a rising factorial that are taken one by one."""
CERTAIN = 1e30
"""Larger strengths, infinity too, count as this: no group is large enough to tell the difference."""


def mixed_probability(success: ArrayLike, group: ArrayLike) -> NDArray[np.float64]:
    """Returns the probability that a group of bare rollouts holds both a success and a failure.

    f(v, m) = 1 - v^m - (1-v)^m for m >= 1, and 0 for m = 0 (TRACE, arXiv 2606.11119, the value of stage 1);
    0 as well for m = 1 and for v in {0, 1}.

    Args:
      success: [...] success probability v in [0, 1].
      group: [...] number of rollouts m, whole, >= 0.

    Raises:
      AllocationError: a value is NaN or out of its range, or the shapes do not broadcast.
    """
    return expected_mixed_probability(success, np.inf, group)


def expected_mixed_probability(success: ArrayLike, strength: ArrayLike, group: ArrayLike) -> NDArray[np.float64]:
    """Returns the mean of `mixed_probability` over a Beta posterior of the success probability.

    E[f] = 1 - (a)_m/(a+b)_m - (b)_m/(a+b)_m with a = mean * strength, b = (1 - mean) * strength. The ratios are
    taken as logarithms, so neither large groups nor large strengths overflow. O(1) for each entry.

    Args:
      success: [...] posterior mean in [0, 1].
      strength: [...] a + b, the weight of the estimate in observations, > 0; infinite means certain.
      group: [...] number of rollouts m, whole, >= 0.

    Raises:
      AllocationError: a value is NaN or out of its range, or the shapes do not broadcast.
    """
    mean = check_probabilities("success", success)
    weight = check_positive("strength", strength)
    size = check_counts("group", group)
    mean, weight, size = _broadcast(success=mean, strength=weight, group=size)
    # f is the same for v and 1 - v: from the rarer outcome's side, 1 - (1-w)^m is exact even for tiny w.
    rare = np.minimum(mean, 1.0 - mean)
    with np.errstate(
        divide="ignore", invalid="ignore", over="ignore"
    ):  # log of 0 where an outcome is impossible: f is 0 there
        all_rare = np.exp(_log_all(rare, 1.0 - rare, weight, size))
        mixed = -np.expm1(_log_all(1.0 - rare, rare, weight, size)) - all_rare
    return np.where((size < 2) | (rare == 0.0), 0.0, np.clip(mixed, 0.0, 1.0))


def flip_probability(repeat: ArrayLike, continuations: ArrayLike) -> NDArray[np.float64]:
    """Returns the probability that at least one continuation has another outcome than the incumbent rollout.

    g(s, k) = 1 - s^k with s = r V + (1-r)(1-V) (TRACE, the value of stage 2); 0 for k = 0.

    Args:
      repeat: [...] probability s that one continuation repeats the outcome, in [0, 1].
      continuations: [...] number of continuations k, whole, >= 0.

    Raises:
      AllocationError: a value is NaN or out of its range, or the shapes do not broadcast.
    """
    return expected_flip_probability(repeat, np.inf, continuations)


def expected_flip_probability(repeat: ArrayLike, strength: ArrayLike, continuations: ArrayLike) -> NDArray[np.float64]:
    """Returns the mean of `flip_probability` over a Beta posterior of the probability of repeating the outcome.

    E[g] = 1 - (a)_k/(a+b)_k with a = mean * strength, b = (1 - mean) * strength [derived]; `repeat_posterior` gives
    both from a predictor's. Averaged over the outcome r ~ Bernoulli(V), before it is seen, that is stage 1's formula
    with the incumbent in the group: `expected_mixed_probability(V, strength, k + 1)`.

    Args:
      repeat: [...] posterior mean of s in [0, 1].
      strength: [...] a + b, the weight of the estimate in observations, > 0; infinite means certain.
      continuations: [...] number of continuations k, whole, >= 0.

    Raises:
      AllocationError: a value is NaN or out of its range, or the shapes do not broadcast.
    """
    same = check_probabilities("repeat", repeat)
    weight = check_positive("strength", strength)
    count = check_counts("continuations", continuations)
    same, weight, count = _broadcast(repeat=same, strength=weight, continuations=count)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # s = 0: log is -inf, and 0 * -inf is not used
        return np.where(count == 0, 0.0, -np.expm1(_log_all(same, 1.0 - same, weight, count)))


def repeat_posterior(
    success: ArrayLike, strength: ArrayLike, outcome: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns mean and strength of the Beta posterior of s, once the incumbent's outcome has been seen.

    Before, V ~ Beta(a, b) with a = success * strength, b = (1 - success) * strength; an outcome r in {0, 1} makes it
    Beta(a + r, b + 1 - r). A continuation repeats it with probability s = V if r = 1, else 1 - V, so the mean of s is
    (a + 1)/(a + b + 1) after a success and (b + 1)/(a + b + 1) after a failure, and its strength a + b + 1 [derived].
    With infinite strength s = r V + (1-r)(1-V), and an outcome that contradicts the estimate changes nothing.

    Args:
      success: [...] mean of V before the outcome was seen, in [0, 1].
      strength: [...] a + b, > 0; infinite means certain.
      outcome: [...] r: 1 or True where the incumbent succeeded, 0 where it failed.

    Raises:
      AllocationError: a value is NaN or out of its range, or the shapes do not broadcast.
    """
    mean = check_probabilities("success", success)
    weight = check_positive("strength", strength)
    won = check_counts("outcome", outcome)
    _reject("outcome", won, won > 1, "0 or 1; cut a graded score where success begins")
    mean, weight, won = _broadcast(success=mean, strength=weight, outcome=won)
    same = np.where(won == 1, mean, 1.0 - mean)
    return same + (1.0 - same) / (weight + 1.0), weight + 1.0


def check_probabilities(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Returns values as float64.

    Raises:
      AllocationError: one of them is NaN or outside [0, 1]; it is named with its place.
    """
    array = _as_float(name, values)
    _reject(name, array, ~((array >= 0.0) & (array <= 1.0)), "a probability in [0, 1]")
    return array


def check_positive(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Returns values as float64; infinity is allowed.

    Raises:
      AllocationError: one of them is NaN or not above 0; it is named with its place.
    """
    array = _as_float(name, values)
    _reject(name, array, ~(array > 0.0), "above 0")
    return array


def check_weights(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Returns values as float64.

    Raises:
      AllocationError: one of them is NaN, infinite or below 0; it is named with its place.
    """
    array = _as_float(name, values)
    _reject(name, array, ~((array >= 0.0) & np.isfinite(array)), "a finite number >= 0")
    return array


def check_counts(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """Returns values as int64.

    Raises:
      AllocationError: one of them is not a whole number >= 0; it is named with its place.
    """
    array = _as_float(name, values)
    _reject(name, array, ~((array >= 0.0) & (array == np.floor(array)) & np.isfinite(array)), "a whole number >= 0")
    return array.astype(np.int64)


def _log_all(
    mean: NDArray[np.float64], other: NDArray[np.float64], weight: NDArray[np.float64], size: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Returns the log-probability that all of a group have the outcome whose mean probability is `mean` = 1 - `other`.

    The first draws are summed one by one, which keeps the relative precision of rare outcomes; with each draw, smaller
    groups drop out.
    """
    if np.all(np.isinf(weight)):
        return np.multiply(size, np.where(other < 0.5, np.log1p(-other), np.log(mean)))
    order = np.argsort(-size, axis=None, kind="stable")
    same, differs, size = mean.ravel()[order], other.ravel()[order], size.ravel()[order]
    weight = np.minimum(weight.ravel()[order], CERTAIN)
    total = np.zeros(len(order))
    for drawn in range(min(int(size.max(initial=0)), DRAWS)):
        on = int(np.searchsorted(-size, -drawn, side="left"))  # groups larger than `drawn`
        # After `drawn` equal outcomes the next differs with probability b / (a + b + drawn) = (b/(a+b)) / spread.
        spread = 1.0 + drawn / weight[:on]
        next_differs = differs[:on] / spread
        next_same = (same[:on] + drawn / weight[:on]) / spread
        total[:on] += np.where(next_differs < 0.5, np.log1p(-next_differs), np.log(next_same))
    on = int(np.searchsorted(-size, -DRAWS, side="left"))
    total[:on] += log_rising(same[:on] * weight[:on] + DRAWS, weight[:on] + DRAWS, size[:on] - DRAWS)
    found = np.empty(len(order))
    found[order] = total
    return found.reshape(mean.shape)


def log_rising(low: NDArray[np.float64], high: NDArray[np.float64], draws: NDArray[Any]) -> NDArray[np.float64]:
    """Returns [...] ln (x)_m/(y)_m for 8 <= x <= y, to 1e-14 or 16 digits.

    By Stirling's series for the logarithm of Gamma, m ln (x+m)/(y+m) + (x-1/2) ln(1 + m/x) - (y-1/2) ln(1 + m/y)
    + r(x+m) - r(x) - r(y+m) + r(y) with a remainder r: no term is much larger than the result.

    Args:
      low: [...] x.
      high: [...] y.
      draws: [...] m >= 0.
    """
    ends = draws * np.log((low + draws) / (high + draws))
    ends += (low - 0.5) * np.log1p(draws / low) - (high - 0.5) * np.log1p(draws / high)
    inverse = 1.0 / np.stack([low + draws, low, high + draws, high])
    rest = np.zeros_like(inverse)
    for coefficient in reversed(_STIRLING):
        rest = rest * inverse**2 + coefficient
    rest *= inverse
    return np.asarray(ends + rest[0] - rest[1] - rest[2] + rest[3])


_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def _broadcast(**arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """Returns the arrays in their common shape.

    Raises:
      AllocationError: there is none.
    """
    try:
        return [np.asarray(array) for array in np.broadcast_arrays(*arrays.values())]
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise AllocationError(
            f"the shapes do not broadcast: {shapes}; give them shapes that do, e.g. one entry per task"
        ) from error


def _as_float(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AllocationError(f"{name} must hold numbers in an array of one shape: {error}") from error


def _reject(name: str, array: NDArray[Any], bad: NDArray[np.bool_], rule: str) -> None:
    if np.any(bad):
        place = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(bad)))
        where = "" if array.ndim == 0 else str(list(place))
        value = float(np.atleast_1d(array)[place])
        raise AllocationError(
            f"{name}{where} is {value!r}, but must be {rule}. {int(np.sum(bad))} of {array.size} values break this; "
            "mend or leave out those entries"
        )
