"""Measures the model before any training: how often each held-out task succeeds in 8 rollouts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from machine import RESULTS, about, save, table
from treeroll.allocation.base import Allocation
from treeroll.build import build
from treeroll.config import Config
from treeroll.metrics import wilson_interval

ROLLOUTS = 8
"""Rollouts a task."""
EDGES = (0.2, 0.4, 0.6, 0.8)
BINS = ("0", "(0, .2)", "[.2, .4)", "[.4, .6)", "[.6, .8)", "[.8, 1)", "1")


def measure(config: Config) -> dict[str, Any]:
    """Returns the success of each held-out task, drawn as in training, as a histogram and in the mean."""
    parts, wins = build(config), []
    for place in range(0, len(parts.held_out), 128):  # few at a time: what is kept for all of them is large
        forest = parts.examiner.plant(parts.held_out[place : place + 128], step=0)
        for tree in parts.examiner.extend(forest, Allocation.bare(forest, ROLLOUTS)):
            wins.append(sum(tree.succeeded(leaf) for leaf in tree.leaves))
    share = np.array(wins) / ROLLOUTS
    where = np.where(share == 0, 0, np.where(share == 1, 6, 1 + np.searchsorted(EDGES, share, side="right")))
    mixed = int(((share > 0) & (share < 1)).sum())
    low, high = wilson_interval(mixed, len(share))
    return {
        "about": about(),
        "config": config.to_dict(),
        "tasks": len(share),
        "rollouts": ROLLOUTS,
        "success": float(share.mean()),
        "success_se": float(share.std(ddof=1) / np.sqrt(len(share))),
        "histogram": {name: int((where == place).sum()) for place, name in enumerate(BINS)},
        "effective_ratio": {"value": mixed / len(share), "low": low, "high": high},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "start.json", help="[benchmarks/results/start.json]")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="options as in treeroll train")
    known = parser.parse_intermixed_args()
    config = Config.resolve(known.overrides)
    found = measure(config)
    print(table(["success of a task", *BINS], [["tasks", *map(str, found["histogram"].values())]]))
    print(
        f"\n{found['tasks']} held-out tasks, {ROLLOUTS} rollouts each at temperature {config.sampling.temperature:g}: "
        f"mean success {found['success']:.3f} (standard error over tasks {found['success_se']:.3f}), effective ratio "
        f"of uniform groups of {ROLLOUTS}: {found['effective_ratio']['value']:.3f}"
    )
    save(known.out, found)


if __name__ == "__main__":
    main()
