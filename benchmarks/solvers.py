"""Times the two solvers against one sort, and measures what they lose where they are not exact.

Times are CPU seconds of one process and one thread. Each is taken next to one `numpy.argsort` of as many random
numbers, in the same repeat, and reported as their ratio: the median over the repeats. Growth is the exponent of n.
Memory is the peak of what a call allocates besides its input, per task or prefix.

`--gap` solves random problems whose rollouts differ in cost or strength and compares with an exhaustive programme that
keeps every partial sum worth keeping; and large ones, which it compares with the Lagrangian bound, that is with more
than the optimum. Both parts are kept in one file; each replaces its own.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import RESULTS, about, save, table
from treeroll import allocate_roots, expand_prefixes
from treeroll.contrast import expected_flip_probability, expected_mixed_probability

Floats = NDArray[np.float64]
SIZES = (1_000, 10_000, 100_000, 1_000_000)
REPEATS = 5
SLICE = 0.02
"""CPU seconds that one timing takes at least, by calling again."""
TARGET = 10.0
"""Most argsorts that the two cases of the target may take."""


@dataclass(frozen=True)
class Inputs:
    """n random tasks or prefixes."""

    chance: Floats
    """[n] success or repeat probability, uniform."""
    strength: Floats
    """[n] observations, 2 to 20."""
    cost: Floats
    """[n] expected cost, 1 to 8."""

    @classmethod
    def draw(cls, n: int) -> Inputs:
        rng = np.random.default_rng(n)
        return cls(rng.uniform(size=n), rng.uniform(2, 20, n), rng.uniform(1, 8, n))


CASES: dict[str, Callable[[Inputs, int], NDArray[np.int64]]] = {
    "roots, M = n/2": lambda x, n: allocate_roots(x.chance, n // 2),
    "roots, M = 4n": lambda x, n: allocate_roots(x.chance, 4 * n),
    "roots, M = n/2, strength 8": lambda x, n: allocate_roots(x.chance, n // 2, strength=8.0),
    "roots, M = n/2, strengths differ": lambda x, n: allocate_roots(x.chance, n // 2, strength=x.strength),
    "roots, budget 2n, costs differ": lambda x, n: allocate_roots(x.chance, 2 * n, cost=x.cost),
    "roots, M = n/2, at most n/20 active": lambda x, n: allocate_roots(x.chance, n // 2, max_active=n // 20),
    "prefixes, budget n/2": lambda x, n: expand_prefixes(x.chance, n // 2),
    "prefixes, budget n/20": lambda x, n: expand_prefixes(x.chance, n // 20),
    "prefixes, budget n/2, strength 8": lambda x, n: expand_prefixes(x.chance, n // 2, strength=8.0),
    "prefixes, budget n/2, strengths differ": lambda x, n: expand_prefixes(x.chance, n // 2, strength=x.strength),
    "prefixes, budget 2n, costs differ": lambda x, n: expand_prefixes(x.chance, 2 * n, cost=x.cost),
}
TARGETS = (
    ("roots, M = n/2", 100_000),
    ("prefixes, budget n/2", 1_000_000),
    ("prefixes, budget n/20", 1_000_000),
)
"""The cases whose speed is a promise, and the size at which it is."""


# Speed -----------------------------------------------------------------------------------------------------------


def cpu(call: Callable[[], object], times: int) -> float:
    """Returns the CPU seconds of one call, as the mean of several."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def timed(call: Callable[[], object], sort: Callable[[], object]) -> dict[str, float]:
    """Returns the CPU seconds of a call and of a sort, and their ratio: medians over the repeats."""
    calls = [max(1, math.ceil(SLICE / max(cpu(one, 1), 1e-6))) for one in (call, sort)]  # also the untimed first calls
    pairs = [(cpu(call, calls[0]), cpu(sort, calls[1])) for _ in range(REPEATS)]
    columns = {"seconds": [c for c, _ in pairs], "argsort": [s for _, s in pairs], "ratio": [c / s for c, s in pairs]}
    return {name: statistics.median(values) for name, values in columns.items()}


def peak(call: Callable[[], object]) -> int:
    """Returns the bytes that a call has allocated at most at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def speed() -> dict[str, Any]:
    """Times every case at every size, and prints the tables."""
    rows: list[dict[str, Any]] = []
    for n in SIZES:
        inputs = Inputs.draw(n)
        for name, solve in CASES.items():

            def call(solve: Callable[..., object] = solve, inputs: Inputs = inputs, n: int = n) -> object:
                return solve(inputs, n)

            row = {"case": name, "n": n, **timed(call, lambda chance=inputs.chance: np.argsort(chance))}  # type: ignore[misc]
            row["bytes_per_element"] = peak(call) / n if n >= 100_000 else None
            rows.append(row)
            print(f"{n:>9,} {name:<40} {row['ratio']:8.1f} argsorts", flush=True)
    at = {(row["case"], row["n"]): row for row in rows}
    growth = {name: exponents([at[name, n]["seconds"] for n in SIZES]) for name in [*CASES]}
    growth["argsort"] = exponents([statistics.median(row["argsort"] for row in rows if row["n"] == n) for n in SIZES])
    lines = [
        [name, *(f"{at[name, n]['ratio']:.1f}" for n in SIZES), *(f"{value:.2f}" for value in growth[name]),
         *(f"{at[name, n]['bytes_per_element']:.0f}" for n in SIZES[-2:])]
        for name in CASES
    ]  # fmt: skip
    heading = ["argsorts of as many numbers, at n =", *(f"{n:,}" for n in SIZES),
               "growth to 1e4", "to 1e5", "to 1e6", "bytes each at 1e5", "at 1e6"]  # fmt: skip
    print(f"\n{table(heading, lines)}\n")
    kept = [{"case": name, "n": n, "ratio": at[name, n]["ratio"], "limit": TARGET} for name, n in TARGETS]
    for one in kept:
        print(f"{one['case']}, n = {one['n']:,}: {one['ratio']:.1f} argsorts (promised: at most {TARGET:g})")
    return {"about": about(), "repeats": REPEATS, "rows": rows, "growth": growth, "targets": kept}


def exponents(seconds: list[float]) -> list[float]:
    """Returns by which power of n the times grow from each size to the next."""
    pairs = zip(SIZES, SIZES[1:], seconds, seconds[1:], strict=False)
    return [math.log(later / sooner) / math.log(m / n) for n, m, sooner, later in pairs]


# What is lost ----------------------------------------------------------------------------------------------------


def exhaustive(values: Floats, costs: Floats, budget: float, active: int) -> float:
    """Returns the best total over all choices of one count for each anchor.

    Args:
      values: [K, 1 + C] value of each count; minus infinity where it is not allowed.
      costs: [K, 1 + C] what it costs.
      budget: most that may be spent; rounding may overrun it by a billionth, as the solvers may.
      active: most anchors with a count above 0.
    """
    sums = np.zeros(
        (1, 3)
    )  # every partial sum that no cheaper one with as many active anchors beats: cost, active, value
    for value, cost in zip(values, costs, strict=True):
        allowed = np.flatnonzero(np.isfinite(value))
        steps = np.column_stack([cost[allowed], allowed > 0, value[allowed]])
        sums = (sums[:, None, :] + steps[None, :, :]).reshape(-1, 3)
        sums = sums[(sums[:, 0] <= budget * (1 + 1e-9)) & (sums[:, 1] <= active)]
        kept = []
        for number in np.unique(sums[:, 1]):
            level = sums[sums[:, 1] == number]
            level = level[np.lexsort((-level[:, 2], level[:, 0]))]
            kept.append(level[level[:, 2] > np.maximum.accumulate(np.append(-np.inf, level[:, 2]))[:-1]])
        sums = np.concatenate(kept)
    return float(sums[:, 2].max())


@dataclass(frozen=True)
class Problem:
    """A random problem with its solution."""

    values: Floats
    """[K, 1 + C] value of each count, minus infinity where it is not allowed."""
    costs: Floats
    """[K, 1 + C] what it costs."""
    budget: float
    active: int
    counts: NDArray[np.int64]
    """[K] what the solver gave."""

    @property
    def reached(self) -> float:
        return float(self.values[np.arange(len(self.counts)), self.counts].sum())

    def bound(self) -> float:
        """Returns what no allocation can be worth more than, by a price of the budget."""

        def at(log_price: float) -> float:
            price = math.exp(log_price)
            return float((self.values - price * self.costs).max(axis=1).sum()) + price * self.budget

        low, high = -25.0, 5.0
        for _ in range(80):  # the bound is convex in the price, so it has one valley in the log price
            left, right = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, right) if at(left) <= at(right) else (left, high)
        return at((low + high) / 2)


def problem(rng: np.random.Generator, kind: str, anchors: int, longest: int) -> Problem:
    """Returns a random problem of `anchors` anchors, of which each gets at most `longest` rollouts."""
    chance = rng.uniform(size=anchors) if rng.uniform() < 0.5 else rng.choice([0.1, 0.3, 0.5, 0.8], anchors)
    cost = rng.uniform(1, 6, anchors) if "real" in kind else rng.integers(1, 7, anchors).astype(float)
    if "unit" in kind:
        cost = np.ones(anchors)
    strength = 10 ** rng.uniform(-1, 2, anchors) if "strengths" in kind else np.full(anchors, np.inf)
    budget = rng.uniform(1 + anchors / 20, 6 * anchors)
    if "exact sum" in kind:  # a budget that is spent to the last bit by some allocation
        budget = float(cost @ rng.integers(0, 4, anchors))
    elif "real" not in kind:
        budget = math.floor(budget)
    active = int(rng.integers(1, anchors + 1)) if "limit" in kind else anchors
    counts = np.arange(longest + 1)
    costs = cost[:, None] * counts
    if kind.startswith("roots"):
        least = int(rng.integers(2, 6))
        limits = {"min_group": least, "max_group": max(longest, least), "max_active": active}
        found = allocate_roots(chance, budget, cost=cost, strength=strength, **limits)
        values = expected_mixed_probability(chance[:, None], strength[:, None], counts)
        values[:, 1:least] = -np.inf
    else:
        found = expand_prefixes(chance, budget, cost=cost, strength=strength, max_per_prefix=longest)
        values = expected_flip_probability(np.clip(chance, 1e-9, 1 - 1e-9)[:, None], strength[:, None], counts)
    return Problem(values, costs, budget, active, found)


KINDS = {
    "prefixes, whole costs": 4000,
    "prefixes, real costs": 4000,
    "prefixes, real costs, budget an exact sum": 2000,
    "prefixes, real costs, strengths": 2000,
    "roots, unit costs, strengths": 2000,
    "roots, whole costs": 2000,
    "roots, real costs": 2000,
    "roots, real costs, budget an exact sum": 1000,
    "roots, real costs, strengths": 1000,
    "roots, whole costs, strengths, limit on active tasks": 1000,
    "roots, real costs, strengths, limit on active tasks": 1000,
}
"""Kinds of problems, and how many of 1 to 8 anchors."""
MIDDLE, MIDDLE_CASES = 32, 100
"""Anchors that the exhaustive programme can still do, and problems of each kind with as many."""
LARGE = ((1_000, 30), (10_000, 10), (100_000, 3))
"""Anchors that only the bound can, and problems of each kind."""


def against_all(kind: str, cases: int, anchors: int | None) -> dict[str, Any]:
    """Returns what is lost to the exhaustive programme."""
    rng, lost = np.random.default_rng(7), []
    for _ in range(cases):
        size = int(rng.integers(1, 9)) if anchors is None else anchors
        one = problem(rng, kind, size, 12 if anchors is None else 6)
        best = exhaustive(one.values, one.costs, one.budget, one.active)
        lost.append(max(best - one.reached, 0.0) / best if best > 0 else 0.0)
    return {"kind": kind, "anchors": anchors or "1 to 8", "cases": cases,
            "optimal": float(np.mean(np.array(lost) <= 1e-9)), "worst_loss": max(lost)}  # fmt: skip


def against_bound(kind: str, cases: int, anchors: int) -> dict[str, Any]:
    """Returns what may be lost at most: the share of the value that is missing to the bound."""
    rng = np.random.default_rng(anchors)
    problems = [problem(rng, kind, anchors, 20) for _ in range(cases)]
    short = [1 - one.reached / one.bound() for one in problems]
    return {"kind": kind, "anchors": anchors, "cases": cases, "median_below_bound": statistics.median(short),
            "worst_below_bound": max(short)}  # fmt: skip


def gap() -> dict[str, Any]:
    """Measures what is lost, and prints the tables."""
    exact = [against_all(kind, cases, None) for kind, cases in KINDS.items()]
    exact += [against_all(kind, MIDDLE_CASES, MIDDLE) for kind in KINDS]
    free = [kind for kind in KINDS if "limit" not in kind and "exact" not in kind]
    large = [against_bound(kind, cases, anchors) for kind in free for anchors, cases in LARGE]
    lines = [[row["kind"], str(row["anchors"]), f"{row['cases']:,}", f"{row['optimal']:.2%}",
              f"{row['worst_loss']:.1e}"] for row in exact]  # fmt: skip
    print(f"{table(['against all allocations', 'anchors', 'cases', 'optimal', 'worst loss'], lines)}\n")
    lines = [[row["kind"], f"{row['anchors']:,}", str(row["cases"]), f"{row['median_below_bound']:.1e}",
              f"{row['worst_below_bound']:.1e}"] for row in large]  # fmt: skip
    print(table(["share of the value below the bound", "anchors", "cases", "median", "worst"], lines))
    return {"about": about(), "exact": exact, "large": large}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gap", action="store_true", help="measure what is lost instead of the times")
    parser.add_argument("--out", type=Path, default=RESULTS / "solvers.json", help="[benchmarks/results/solvers.json]")
    known = parser.parse_args()
    result = json.loads(known.out.read_text(encoding="utf-8")) if known.out.exists() else {}
    result |= {"gap": gap()} if known.gap else {"speed": speed()}
    save(known.out, result)


if __name__ == "__main__":
    main()
