"""Learning rates: every arm is tried with each, on seeds that are not reported, and keeps the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from treeroll.comparison.outcomes import read_outcome
from treeroll.comparison.plan import Arm, Plan, World, asked_of, sweep_path

Tried = list[dict[str, Any]]
"""One {"env", "arm", "rate", "seeds", "values"} for each world, arm and rate: the held-out success at the end, by seed.
A run that failed or is not finished has no value: None."""


def tried(root: Path, plan: Plan) -> tuple[Tried, list[str]]:
    """Returns what a sweep came to, and what of it could not be read."""
    found, problems = [], []
    for world, arm in plan.cells():
        for rate in plan.rates:
            values: list[float | None] = []
            for seed in plan.sweep_seeds:
                outcome, said = read_outcome(root, sweep_path(world, arm, rate, seed), asked_of(world, arm, seed))
                values.append(outcome.values["final"] if outcome else None)
                problems += said
            seeds = list(plan.sweep_seeds)
            found.append({"env": world.name, "arm": arm.name, "rate": rate, "seeds": seeds, "values": values})
    return found, problems


def best_rate(sweep: Tried, world: World, arm: Arm) -> float | None:
    """Returns the rate with the best mean held-out success at the end; the smaller one on a tie.

    A rate with a run that did not end is out: a rate that breaks runs is no good rate. None where no rate is left.
    """
    means = {
        entry["rate"]: sum(entry["values"]) / len(entry["values"])
        for entry in sweep
        if (entry["env"], entry["arm"]) == (world.name, arm.name) and None not in entry["values"]
    }
    return min(means, key=lambda rate: (-means[rate], rate)) if means else None
