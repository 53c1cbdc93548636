"""How likely rollouts are to hold a contrast: a success and a failure.

| anchor | contrast of its rollouts | formula |
|---|---|---|
| root, m bare rollouts, success probability v | they are mixed | f(v, m) = 1 - v^m - (1-v)^m, f(v, 0) = 0 |
| root, v uncertain: Beta(a, b) | they are mixed, on average | 1 - (a)_m/(a+b)_m - (b)_m/(a+b)_m |
| prefix, k continuations, each repeats the outcome with probability s | one of them flips it | g(s, k) = 1 - s^k |

(x)_m = x (x+1) ... (x+m-1) is the rising factorial. All functions broadcast, return float64 in [0, 1] and keep
their relative precision where a probability is near 0 or 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treeroll.errors import AllocationError


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
    summed as logarithms, factor by factor, so neither large groups nor large strengths overflow. Takes O(largest
    group) vector operations where a strength is finite, O(1) where all are infinite.

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
    try:
        mean, weight, size = np.broadcast_arrays(mean, weight, size)
    except ValueError as error:
        raise AllocationError(
            f"success {mean.shape}, strength {weight.shape} and group {size.shape} do not broadcast; "
            "give them shapes that do, e.g. one entry per task"
        ) from error
    # f is the same for v and 1 - v: from the rarer outcome's side, 1 - (1-w)^m is exact even for tiny w.
    rare = np.minimum(mean, 1.0 - mean)
    with np.errstate(divide="ignore", invalid="ignore"):  # log of 0 where an outcome is impossible: f is 0 there
        log_all_rare, log_all_common = _log_unanimous(rare, weight, size)
        mixed = -np.expm1(log_all_common) - np.exp(log_all_rare)
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
    same = check_probabilities("repeat", repeat)
    count = check_counts("continuations", continuations)
    try:
        same, count = np.broadcast_arrays(same, count)
    except ValueError as error:
        raise AllocationError(
            f"repeat {same.shape} and continuations {count.shape} do not broadcast; give them shapes that do"
        ) from error
    with np.errstate(divide="ignore", invalid="ignore"):  # s = 0: log is -inf, and 0 * -inf is not used
        return np.where(count == 0, 0.0, -np.expm1(count * np.log(same)))


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


def check_counts(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """Returns values as int64.

    Raises:
      AllocationError: one of them is not a whole number >= 0; it is named with its place.
    """
    array = _as_float(name, values)
    _reject(name, array, ~((array >= 0.0) & (array == np.floor(array)) & np.isfinite(array)), "a whole number >= 0")
    return array.astype(np.int64)


def _log_unanimous(
    rare: NDArray[np.float64], weight: NDArray[np.float64], size: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the log-probabilities that all of a group have the rarer outcome, and that all have the other."""
    if np.all(np.isinf(weight)):
        return np.multiply(size, np.log(rare)), np.multiply(size, np.log1p(-rare))
    log_all_rare, log_all_common = np.zeros(rare.shape), np.zeros(rare.shape)
    for drawn in range(int(size.max(initial=0))):
        # After `drawn` equal outcomes the next differs with probability b / (a + b + drawn) = (b/(a+b)) / spread.
        spread = 1.0 + drawn / weight
        open_ = drawn < size
        log_all_rare += np.where(open_, np.log1p(-(1.0 - rare) / spread), 0.0)
        log_all_common += np.where(open_, np.log1p(-rare / spread), 0.0)
    return log_all_rare, log_all_common


def _as_float(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AllocationError(f"{name} must hold numbers in an array of one shape: {error}") from error


def _reject(name: str, array: NDArray[np.float64], bad: NDArray[np.bool_], rule: str) -> None:
    if np.any(bad):
        place = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(bad)))
        where = "" if array.ndim == 0 else str(list(place))
        value = float(np.atleast_1d(array)[place])
        raise AllocationError(
            f"{name}{where} is {value!r}, but must be {rule}. {int(np.sum(bad))} of {array.size} values break this; "
            "mend or leave out those entries"
        )
