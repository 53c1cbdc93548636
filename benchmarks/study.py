"""Where a tree can pay at all: a tabular study of 12 worlds, 8 ways to spend the same turns, paired seeds.

Three tables, each cell a method's turns-efficiency: the turns that stage 1 alone needs until its mean success (over
the same seeds) equals the mean final success of the method, over the turns that the method used. 1 means no better
than stage 1 alone; 2 means that it reached in 120 steps what stage 1 alone reaches in 240. Standard errors are a
jackknife over the paired seeds. Stage 1 alone runs four times as long for that; more than it reached is given as a
lower bound (>). Success is exact (the mean over tasks of V(root)), so nothing but training is random.

ways       ways to spend the turns, in every world
causes     what changes when one thing changes: the group size, the predictor's error, the scope, the update
credit     every rule of `treeroll.credit` on the trees of VC1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import RESULTS, about, save
from study_page import write
from tabular.measure import jackknife
from tabular.spending import random_per_cost, random_prefixes, trace, trace_by_task, trace_per_cost, variance_per_cost
from tabular.training import GROUP, ROLLOUTS, Curves, Method, train
from tabular.worlds import World, draw_pool
from treeroll import credit
from treeroll.contrast import mixed_probability

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "study.md"
STEPS, SIZE, LONGER = 120, 0.3, 4
REFERENCE = "stage 1"
WORLDS = [
    *(World("one decisive turn, fatal", turns, "one") for turns in (3, 12, 24)),
    *(World("decisive turn in the last third", turns, "one late") for turns in (12, 24)),
    World("decisive turn in the first third", 24, "one early"),
    World("any error fatal", 12, "all"),
    *(World("recoverable", turns, "all", recoverable=True) for turns in (3, 12, 24)),
    *(World("a quarter of the turns may err, fatal", turns, "a quarter") for turns in (12, 24)),
]
WAYS = {
    REFERENCE: Method(),
    "U8": Method(uniform=True),
    "rand": Method(stage2=random_prefixes),
    "rand/c": Method(stage2=random_per_cost),
    "TR1": Method(stage2=trace),
    "TRc1": Method(stage2=trace_per_cost),
    "VC1": Method(stage2=variance_per_cost),
    "A1": Method(credit="critic-td"),
}
CAUSES = {
    REFERENCE: Method(),
    "groups of 4": Method(min_group=4),
    "TR1, by task": Method(stage2=trace_by_task),
    **{f"TRc, noise {noise}": Method(stage2=trace_per_cost, noise=noise) for noise in (0, 2, 4)},
    **{f"A, noise {noise}": Method(credit="critic-td", noise=noise) for noise in (0, 2, 4)},
    "A1, shared": Method(credit="critic-td", shared_noise=True),
}
CREDIT = {REFERENCE: Method(), **{n: Method(stage2=variance_per_cost, credit=n) for n in credit.ESTIMATORS}}


@dataclass(frozen=True)
class Part:
    """One table."""

    worlds: list[World]
    methods: dict[str, Method]
    seeds: int
    size: float = SIZE


def parts(seeds: int, few: int) -> dict[str, Part]:
    """Returns the tables by name."""
    one, late, fatal = World("one decisive turn, fatal", 24, "one"), WORLDS[4], World("any error fatal", 12, "all")
    deep, middle = World("recoverable", 24, "all", recoverable=True), World("recoverable", 12, "all", recoverable=True)
    return {
        "ways": Part(WORLDS, WAYS, seeds),
        "causes": Part([one, late, fatal, deep], CAUSES, few),
        "twice the update": Part([one, late, fatal, deep], WAYS, few, 2 * SIZE),
        "credit": Part([World("one decisive turn, fatal", 12, "one"), middle], CREDIT, few),
    }


def efficiency(reference: Curves, found: Curves, steps: int, seeds: NDArray[np.int64] | slice = slice(None)) -> float:
    """Returns the turns-efficiency of a method over some seeds; infinite where stage 1 alone never gets there."""
    reached, at = reference.success[:, seeds].mean(axis=1), reference.turns[:, seeds].mean(axis=1)
    goal = float(found.success[steps, seeds].mean())
    above = np.flatnonzero(reached >= goal)
    if not len(above):
        return float("inf")
    first = int(above[0])
    if first == 0:
        return 0.0
    share = (goal - reached[first - 1]) / (reached[first] - reached[first - 1])
    needed = at[first - 1] + share * (at[first] - at[first - 1])
    return float(needed / found.turns[steps, seeds].mean())


def with_error(reference: Curves, found: Curves, steps: int) -> tuple[float, float]:
    """Returns the turns-efficiency and its jackknife standard error over seeds, NaN for one seed or a bound."""
    whole, number = efficiency(reference, found, steps), found.success.shape[1]
    kept = [np.delete(np.arange(number), seed) for seed in range(number)]
    if number < 2 or not np.isfinite(whole):
        return whole, float("nan")
    return whole, jackknife(np.array([efficiency(reference, found, steps, seeds) for seeds in kept]))


def run(world: World, seeds: Sequence[int], name: str, method: Method, **options: Any) -> tuple[Curves, float]:
    """Returns the curves of one cell and its CPU seconds."""
    start = time.process_time()
    return train(world, seeds, name, method, **options), time.process_time() - start


def summary(world: World, cells: dict[str, tuple[Curves, float]], steps: int) -> dict[str, Any]:
    """Returns the record of one world."""
    reference = cells[REFERENCE][0]
    pool = draw_pool(world, range(reference.success.shape[1]))
    start = pool.values(pool.policy()[..., 0])[:, 0, 0]
    found: dict[str, Any] = {}
    for name, (own, seconds) in cells.items():
        value, error = with_error(reference, own, steps)
        final, used = own.success[steps], own.turns[steps].mean()
        found[name] = {
            "turns_efficiency": value,
            "standard_error": error,
            "at_least": None if np.isfinite(value) else float(reference.turns[-1].mean() / used),
            "final_success": float(final.mean()),
            "final_success_se": float(final.std(ddof=1) / np.sqrt(len(final))) if len(final) > 1 else None,
            "final_success_by_seed": final.round(5),
            "share_of_turns_used": float(used / (steps * ROLLOUTS * world.turns)),
            "success_every_20_steps": own.success.mean(axis=1)[::20].round(5),
            "cpu_seconds": round(seconds, 2),
        }
    return {
        "world": asdict(world),
        "start": float(start.mean()),
        "base_effective_ratio": float(mixed_probability(start, GROUP).mean()),
        "reference_end": float(reference.success[-1].mean()),
        "methods": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=12, help="paired seeds of the first table, 0 up to this [12]")
    parser.add_argument("--few", type=int, default=4, help="paired seeds of the others [4]")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"updates [{STEPS}]")
    parser.add_argument("--jobs", type=int, default=2, help="processes [2]")
    parser.add_argument("--out", type=Path, default=RESULTS / "study.json", help="where the results go")
    parser.add_argument("--table", type=Path, default=TABLE, help="where the tables go")
    known = parser.parse_args()
    tables, start = parts(known.seeds, known.few), time.perf_counter()
    waiting: dict[tuple[str, World, str], Future[tuple[Curves, float]]] = {}
    results: dict[str, Any] = {}
    with ProcessPoolExecutor(known.jobs, mp_context=get_context("spawn")) as pool:
        for title, part in tables.items():
            for world in part.worlds:
                for name, method in part.methods.items():
                    steps = known.steps * (LONGER if name == REFERENCE else 1)
                    order = (world, range(part.seeds), name, method)
                    waiting[title, world, name] = pool.submit(run, *order, steps=steps, size=part.size)
        for title, part in tables.items():
            worlds = []
            for world in part.worlds:
                cells = {name: waiting[title, world, name].result() for name in part.methods}
                worlds.append(summary(world, cells, known.steps))
                shown = "  ".join(
                    f"{name} {row['turns_efficiency']:.2f}" for name, row in worlds[-1]["methods"].items()
                )
                print(f"{title}: {world.name}, T = {world.turns}: {shown}", flush=True)
            results[title] = {"seeds": part.seeds, "size": part.size, "worlds": worlds}
    options = {"steps": known.steps, "jobs": known.jobs, "longer": LONGER}
    minutes = (time.perf_counter() - start) / 60
    save(known.out, {"about": about(), "options": options, "minutes": minutes, "tables": results})
    known.table.parent.mkdir(parents=True, exist_ok=True)
    known.table.write_text(write(results, options), encoding="utf-8")
    print(f"written: {known.table}")


if __name__ == "__main__":
    main()
