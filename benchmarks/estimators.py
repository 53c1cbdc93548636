"""Backups and credit against the truth: bias and variance of values and of policy gradients on small exact tasks.

Each task (`tabular/examples.py`) is sampled in three designs that are compared at equal sampled turns: flat (8 bare
rollouts a tree), random (4 bare rollouts, then 4 T turns of continuations from `RandomPrefixes`) and trace (the same
from `TracePrefixes`, the paper's score per remaining turn). Predicted values, for the allocator and for the credit
that uses any, are exact or noisy: an error of standard deviation 1 in the logit, one for each state, drawn anew for
each block of trees. All values and gradients that are compared with are exact.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators_page import CASES, same_as_exact, write
from machine import RESULTS, about, save
from tabular.backups import BACKUPS, errors
from tabular.biases import examples
from tabular.critics import Critic
from tabular.examples import EXAMPLES
from tabular.forests import Forester
from tabular.measure import (
    Blocks,
    Turns,
    gradients,
    jackknife,
    mean_and_error,
    restart_gradients,
    scores,
    with_errors,
)
from tabular.plans import allocated
from treeroll import credit
from treeroll.allocation import RandomPrefixes, TracePrefixes
from treeroll.seeding import generator
from treeroll.tree import RolloutTree

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "estimators.md"
TURNS = (3, 6)
FLAT, BARE = 8, 4
"""Bare rollouts of a tree, without and with a second stage."""
UPDATE = 8
"""Rollouts' worth of turns in an update: one flat tree."""
NOISE = {"exact": 0.0, "noisy": 1.0}


def sample(
    forester: Forester, design: str, critic: Critic, trees: int, rng: np.random.Generator
) -> tuple[list[RolloutTree], float]:
    """Returns a block of trees and the turns that one took on average."""
    turns = forester.mdp.turns
    forest = forester.sample(trees, FLAT if design == "flat" else BARE, rng)
    if design != "flat":
        rule = RandomPrefixes(2) if design == "random" else TracePrefixes(posterior=False)
        plans = allocated(forest, rule, (FLAT - BARE) * turns, critic, rng)
        forest = forester.extend(forest, plans, rng)
    return forest, sum(len(tree.nodes) - 1 for tree in forest) / trees


def measure(forester: Forester, design: str, accuracy: str, known: argparse.Namespace) -> dict[str, Any]:
    """Returns the record of one task, design and accuracy of predicted values."""
    mdp, noise = forester.mdp, NOISE[accuracy]
    bare = FLAT if design == "flat" else BARE
    rules = {name: rule for name, rule in credit.ESTIMATORS.items() if not same_as_exact(name, design, accuracy)}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in rules}
    wrong: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {name: [] for name in BACKUPS}
    spent, restarts = [], []
    for block in range(known.blocks):
        rng = generator(known.seed, "estimators", mdp.name, mdp.turns, design, accuracy, block)
        critic = Critic(forester, noise=noise, rng=rng if noise else None)
        forest, turns = sample(forester, design, critic, known.trees, rng)
        spent.append(turns)
        taken, values = Turns.of(forester, forest), [critic.values(tree) for tree in forest]
        for name, rule in rules.items():
            given = [rule(tree, own) for tree, own in zip(forest, values, strict=True)]
            found[name].append(gradients(forester, taken, forest, given) / bare)
        if "restart" in rules:
            restarts.append(found["restart"][-1] - restart_gradients(forester, forest, eta=1.0))
        for name, backup in BACKUPS.items():
            root, prefix, _ = errors(forester, forest, backup)
            wrong[name].append((root, prefix))
    turns = float(np.mean(spent))
    trees = UPDATE * mdp.turns / turns
    exact = mdp.gradient()
    statistics = {
        name: with_errors(Blocks.of(blocks), exact, trees, pooled=not noise) for name, blocks in found.items()
    }
    off = np.abs(scores(np.concatenate(restarts))) if restarts else np.zeros(0)
    return {
        "task": mdp.name, "turns": mdp.turns, "design": design, "values": accuracy, "turns_per_tree": turns,
        "backups": {name: value_errors(own) for name, own in wrong.items()},
        "credit": statistics,
        "restart_off_its_objective": {"max_z": off.max(initial=0.0), "coordinates": off.size},
    }  # fmt: skip


def value_errors(blocks: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> dict[str, Any]:
    """Returns bias (with its standard error) and root mean square error at roots and at expanded prefixes.

    The prefixes of a tree are not independent, so their standard error is a jackknife over blocks.
    """
    root = np.concatenate([own for own, _ in blocks])
    bias, error = mean_and_error(root)
    said: dict[str, Any] = {"root": {"bias": bias, "se": error, "rmse": float(np.sqrt((root**2).mean()))}}
    sums, sizes = np.array([own.sum() for _, own in blocks]), np.array([len(own) for _, own in blocks])
    if sizes.sum():
        prefix = np.concatenate([own for _, own in blocks])
        without = (sums.sum() - sums) / (sizes.sum() - sizes)
        said["prefix"] = {
            "bias": float(prefix.mean()), "se": jackknife(without), "rmse": float(np.sqrt((prefix**2).mean())),
            "prefixes": int(sizes.sum()),
        }  # fmt: skip
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=20, help="blocks of trees, for standard errors [20]")
    parser.add_argument("--trees", type=int, default=60, help="trees of a block [60]")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--out", type=Path, default=RESULTS / "estimators.json", help="where the results go")
    parser.add_argument("--table", type=Path, default=TABLE, help="where the tables go")
    known = parser.parse_args()
    records, start = [], time.process_time()
    for make in EXAMPLES:
        for turns in TURNS:
            forester = Forester(make(turns))
            records += [measure(forester, design, accuracy, known) for design, accuracy in CASES]
            print(f"{forester.mdp.name}, T = {turns}: {time.process_time() - start:.0f} CPU s", flush=True)
    options = {"blocks": known.blocks, "trees": known.trees, "seed": known.seed, "update": UPDATE}
    biases = examples()
    result = {"about": about(), "options": options, "cpu_seconds": time.process_time() - start, "biases": biases}
    save(known.out, {**result, "records": records})
    known.table.parent.mkdir(parents=True, exist_ok=True)
    known.table.write_text(write(records, biases, options), encoding="utf-8")
    print(f"written: {known.table}")


if __name__ == "__main__":
    main()
