"""Why stage 2 does not pay on `atlas-repair`: what continuations teach there, and what of it counts.

A wrong answer is refused there, and another may follow until the 12th turn. Continuations from after a refusal could
teach how to mend an answer, at the price of rollouts that would have taught how to give the right one at once. Four
arms at equal sampled tokens, otherwise as in `make compare`:

trace-stage1   no continuations
trace          the default
before         trace, but continuations start only where no answer was refused yet
after          trace, but continuations start only after a refused answer

(While the predictor is not informed, in the first step or two, prefixes are drawn at random, in these two as well.)
Every arm then plays the held-out questions once more; the share that is right at the first answer, and the share of
the others that is mended, say what it has learned.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import RESULTS, about, save, table
from tabular.prose import page
from treeroll.allocation import Allocation, TracePrefixes
from treeroll.build import Parts, build
from treeroll.comparison.statistics import mean_interval
from treeroll.config import Config
from treeroll.predictor.base import Prediction
from treeroll.step import train_step
from treeroll.tree import Anchor, RolloutTree

ARMS = ("trace-stage1", "trace", "before", "after")
PAGE = Path(__file__).parent.parent / "docs" / "tables" / "mending.md"
SHARES = {"success": "held-out success", "first": "right at the first answer", "mended": "of the others, mended"}


@dataclass(frozen=True)
class OneSide(TracePrefixes):
    """TRACE's stage 2 on one side of the first refused answer."""

    after: bool = False
    """Whether continuations start after it, or before."""

    def _blind(
        self,
        anchors: Sequence[Anchor],
        prediction: Prediction,
        budget: float,
        weight: NDArray[np.float64],
        least: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        mine = np.array([bool(refused(anchor.tree, anchor.node)) == self.after for anchor in anchors])
        return super()._blind(anchors, prediction, budget, np.where(mine, weight, 0.0), least)


def refused(tree: RolloutTree, node: int) -> int:
    """Returns how many answers on the way to a node, its own turn included, did not end the episode."""
    path = [tree.nodes[i] for i in tree.path(node) if i]
    return sum(one.text.split()[1:2] == ["answer"] and not one.is_leaf for one in path)


def play(parts: Parts) -> dict[str, float]:
    """Plays every held-out task once; returns the shares of `SHARES`, each in [0, 1]."""
    forest = parts.examiner.plant(parts.held_out, step=0)
    trees = parts.examiner.extend(forest, Allocation.bare(forest, 1))
    parts.examiner.release()
    won = np.array([tree.succeeded(tree.leaves[0]) for tree in trees])
    tries = np.array([refused(tree, tree.leaves[0]) for tree in trees])
    first = won & (tries == 0)
    mended = (won & ~first).sum() / max((~first).sum(), 1)
    return {"success": float(won.mean()), "first": float(first.mean()), "mended": float(mended)}


def run(arm: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains one arm with one seed; returns what it knew before and after, and what its continuations were."""
    method = arm if arm.startswith("trace") else "trace"
    config = Config.resolve([
        f"method={method}", "env=atlas-repair", f"seed={seed}", f"steps={options.steps}",
        f"budget.tokens={options.tokens}", f"evaluation.tasks={options.tasks}",
    ])  # fmt: skip
    parts = build(config)
    if method != arm:
        roots, prefixes = parts.rounds.rules
        assert isinstance(prefixes, TracePrefixes)
        own = {field.name: getattr(prefixes, field.name) for field in fields(prefixes)}
        parts.rounds.rules = (roots, OneSide(**own, after=arm == "after"))
    cpu, before, carried, late = time.process_time(), play(parts), 0.0, [0, 0]
    for step in range(1, options.steps + 1):
        _, trees, carried = train_step(parts, step, carried)
        for tree in trees:
            for node in tree.nodes:
                if node.origin.kind == "continuation" and node.parent == node.origin.anchor:
                    late[bool(refused(tree, node.origin.anchor))] += 1
    found = {"arm": arm, "seed": seed, "before": before, "after": play(parts), "continuations": late}
    print(found, flush=True)
    return found | {"rollouts": parts.engine.spent.rollouts, "cpu": round(time.process_time() - cpu, 1)}


def write(runs: list[dict[str, Any]]) -> str:
    """Returns the page: means over seeds with 95 % bootstrap intervals, and paired differences to stage 1."""
    by_arm = {arm: [one for one in runs if one["arm"] == arm] for arm in ARMS}
    own, gaps = [], []
    for arm, mine in by_arm.items():
        values = {share: np.array([one["after"][share] for one in mine]) for share in SHARES}
        base = {share: np.array([one["after"][share] for one in by_arm[ARMS[0]]]) for share in SHARES}
        late = np.sum([one["continuations"] for one in mine], axis=0) / len(mine)
        own.append([f"`{arm}`", *(_mean(values[share]) for share in SHARES), *(f"{count:,.0f}" for count in late)])
        if arm != ARMS[0]:
            gaps.append([f"`{arm}`", *(_mean(values[share] - base[share], sign="+") for share in SHARES)])
    start = {share: np.mean([one["before"][share] for one in runs]) for share in SHARES}
    seeds = ", ".join(str(one["seed"]) for one in by_arm[ARMS[0]])
    return page(
        "# What continuations teach where answers can be mended",
        f"""`make bench-mending`; raw results in `benchmarks/results/mending.json`. World `atlas-repair`,
        seeds {seeds}, which had chosen nothing, equal sampled tokens. Before training:
        {start["success"]:.3f}, {start["first"]:.3f}, {start["mended"]:.3f}.""",
        table(["arm", *SHARES.values(), "continuations before a refusal", "after one"], own),
        "## Difference to stage 1 alone, paired by seed",
        table(["arm", *SHARES.values()], gaps),
    )


def _mean(values: NDArray[np.float64], sign: str = "") -> str:
    found = mean_interval(values.tolist())
    if found.low is None:
        return f"{found.mean:{sign}.3f} ({' '.join(f'{one:{sign}.3f}' for one in found.each)})"
    return f"{found.mean:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def main() -> None:
    """Runs every arm with every seed, and writes the raw results and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="102,103,104,105,106", help="with commas between [%(default)s]")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=4400, help="sampled tokens of a step [%(default)s]")
    parser.add_argument("--tasks", type=int, default=400, help="held-out questions [%(default)s]")
    options = parser.parse_args()
    said = about()
    runs = [run(arm, int(seed), options) for seed in options.seeds.split(",") for arm in ARMS]
    save(RESULTS / "mending.json", {**said, "options": vars(options), "runs": runs})
    PAGE.write_text(write(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
