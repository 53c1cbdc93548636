"""What a step's gradient is worth: rules and credits held against the gradient of success itself.

Training runs tell arms apart by the end of a long and noisy walk. Here the policy stands still: after some steps of
stage 1 alone, every arm samples the same steps from the same pools and with the same predictor, and nothing is
learned. The gradient of success comes from many uniform groups of their own, in two halves whose cosine says how well
it is known. Of each arm's gradients g, with u the gradient of success,

sgd    E[g] u / sqrt(E[g g])          what one step of gradient descent gains, for its length
adam   sum over weights of E[g_w] u_w / sqrt(E[g_w^2])     the same of AdamW, which scales each weight by itself

and their squares per sampled token, over those of the first arm: while noise is what limits a step, twice that is the
same gain from half the tokens. Credits of one arm share its trees.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import RESULTS, about, save, table
from treeroll import credit, methods, packing
from treeroll.allocation import UniformRoots
from treeroll.build import Parts, build
from treeroll.config import Config
from treeroll.rounds import Rounds
from treeroll.step import refresh, train_step
from treeroll.tree import RolloutTree

Gradient = NDArray[np.float32]
ARMS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "stage-1": ("trace-stage1", (), ("sibling-tree",)),
    "trace": ("trace", (), ("sibling-tree", "treepo", "sibling", "restart")),
    "worth-10": ("trace", ("budget.worth=10",), ("sibling-tree", "treepo")),
    "worth-20": ("trace", ("budget.worth=20",), ("sibling-tree", "treepo")),
    "random": ("trace-random", (), ("sibling-tree",)),
    "groups of 2": ("trace-stage1", ("budget.min_group=2",), ("sibling-tree",)),
    "groups of 8": ("trace-stage1", ("budget.min_group=8",), ("sibling-tree",)),
    "pcl": ("pcl", (), ("group-unscaled",)),
    "grpo": ("grpo", (), ("group-unscaled",)),
}
"""Method, options, and the credits that its trees are given."""
TOKENS = {"atlas": 2200, "atlas-long": 4400, "atlas-repair": 4400, "atlas-early": 4400}
"""Sampled tokens of a step."""
BLOCKS = 8
"""Parts that standard errors come from, each left out in turn."""
GROUP = 8
"""Rollouts of a task in the groups that the gradient of success comes from."""


@dataclass
class Sums:
    """What is kept of some gradients."""

    number: int = 0
    total: Gradient | float = 0.0
    squares: Gradient | float = 0.0
    along: float = 0.0
    """Sum of the products with the gradient of success."""

    def add(self, found: Gradient, success: Gradient) -> None:
        self.number += 1
        self.total = self.total + found
        self.squares = self.squares + found**2
        self.along += float(found @ success)

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.number + other.number,
            self.total + other.total,
            self.squares + other.squares,
            self.along + other.along,
        )

    def sgd(self) -> float:
        return self.along / self.number / float(np.sqrt(np.sum(self.squares) / self.number))

    def adam(self, success: Gradient) -> float:
        mean, square = np.asarray(self.total) / self.number, np.asarray(self.squares) / self.number
        scaled = np.divide(mean, np.sqrt(square), out=np.zeros_like(mean), where=square > 0)
        return float(scaled @ success)


@dataclass
class Arm:
    """A rule on its way, and what came of it."""

    rounds: Rounds
    spent: list[dict[str, int]]
    """Of each step: tokens, tasks, bare rollouts and continuations."""
    blocks: dict[str, list[Sums]]
    """Its gradients by credit, dealt out over `BLOCKS`."""


class Bench:
    """A policy and a predictor that stand still, and what can be sampled from them."""

    def __init__(self, env: str, seed: int, warm: int) -> None:
        self.env, self.seed = env, seed
        self.parts: Parts = build(self.config("trace", ()))
        self.parts.rounds = self._rounds("trace-stage1", ())
        carried = 0.0
        for step in range(1, warm + 1):
            _, _, carried = train_step(self.parts, step, carried)
        refresh(self.parts)

    def config(self, method: str, options: Sequence[str]) -> Config:
        own = [f"method={method}", f"env={self.env}", f"seed={self.seed}", f"budget.tokens={TOKENS[self.env]}"]
        return Config.resolve([*own, "steps=40", "threads=1", "learner.learning_rate=2.2e-3", *options])

    def _rounds(self, method: str, options: Sequence[str]) -> Rounds:
        config, parts = self.config(method, options), self.parts
        rules = methods.get(method).rounds(config.budget.options())
        return Rounds(parts.engine, rules, parts.predictor, self.seed, "tokens", config.budget.continuations)

    def arm(self, name: str) -> Arm:
        method, options, rules = ARMS[name]
        return Arm(self._rounds(method, options), [], {one: [Sums() for _ in range(BLOCKS)] for one in rules})

    def sample(self, rounds: Rounds, budget: float, step: int) -> tuple[list[RolloutTree], int]:
        """Returns the trees of a step and what they cost; nothing is learned."""
        engine = self.parts.engine
        before = engine.spent.sampled_tokens
        forest = rounds.spend(engine.plant(self.parts.stream.at(step), step=step), budget, step)
        engine.release()
        return forest, engine.spent.sampled_tokens - before

    def gradient(self, forest: Sequence[RolloutTree], name: str) -> Gradient:
        """Returns the gradient of one update on some trees, before clipping, as one array."""
        rule, learner = credit.get(name), self.parts.learner
        rows = [row for tree in forest for row in packing.rows(tree, rule(tree))]
        learner.optimizer.zero_grad(set_to_none=True)
        learner._backward(learner._share(rows), float(TOKENS[self.env]))
        weights = self.parts.policy.trainable()
        parts = [np.zeros(one.numel(), np.float32) if one.grad is None else one.grad.numpy().ravel() for one in weights]
        return np.concatenate(parts)

    def success(self, steps: int) -> tuple[Gradient, float]:
        """Returns the gradient of success, and the cosine of its two halves."""
        rounds = Rounds(self.parts.engine, (UniformRoots(GROUP),), self.parts.predictor, self.seed + 1, "tokens", 0.0)
        halves: list[Any] = [0.0, 0.0]
        for step in range(steps):
            forest, _ = self.sample(rounds, 4.0 * TOKENS[self.env], 1000 + step)
            halves[step % 2] = halves[step % 2] + self.gradient(forest, "group-unscaled") / steps
        one, two = halves
        return one + two, float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def left_out(blocks: Sequence[Sums], value: Callable[[Sums], float]) -> tuple[float, float]:
    """Returns a value of all blocks together, and its standard error (jackknife)."""
    whole = sum(blocks[1:], blocks[0])
    each = np.array([value(sum((b for b in blocks if b is not one), Sums())) for one in blocks])
    return value(whole), float(np.sqrt((len(each) - 1) * each.var()))


def measure(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Returns what each arm and credit came to on one world."""
    clock = time.process_time()
    success, agreement = bench.success(options.reference)
    arms = {name: bench.arm(name) for name in options.arms.split(",")}
    for batch in range(options.batches):
        for arm in arms.values():
            forest, cost = bench.sample(arm.rounds, float(TOKENS[bench.env]), 2000 + batch)
            bare = sum(len(tree.bare_leaves) for tree in forest)
            leaves = sum(len(tree.leaves) for tree in forest)
            arm.spent.append({"tokens": cost, "tasks": len(forest), "bare": bare, "continuations": leaves - bare})
            for name, blocks in arm.blocks.items():
                blocks[batch % BLOCKS].add(bench.gradient(forest, name), success)
    found: list[dict[str, Any]] = []
    for name, arm in arms.items():
        spent = {key: float(np.mean([one[key] for one in arm.spent])) for key in arm.spent[0]}
        for rule, blocks in arm.blocks.items():
            entry: dict[str, Any] = {"arm": name, "credit": rule, **spent}
            for kind, value in (("sgd", Sums.sgd), ("adam", lambda sums: sums.adam(success))):
                mean, error = left_out(blocks, value)
                entry |= {kind: mean, f"{kind}_error": error}
                first = found[0] if found else entry
                ratio = (mean / first[kind]) ** 2 * first["tokens"] / spent["tokens"]
                entry |= {f"{kind}_efficiency": ratio, f"{kind}_efficiency_error": 2 * ratio * error / abs(mean)}
            found.append(entry)
    cpu = round(time.process_time() - clock, 1)
    return {"env": bench.env, "seed": bench.seed, "halves_cosine": agreement, "cpu": cpu, "arms": found}


def shown(found: dict[str, Any]) -> str:
    """Returns the results of one world as a table."""
    heading = ["arm, credit", "tokens", "tasks", "bare", "continuations", "efficiency, adam", "sgd"]
    lines = [
        [
            f"{one['arm']}, `{one['credit']}`",
            *(f"{one[key]:,.0f}" for key in ("tokens", "tasks", "bare", "continuations")),
            *(f"{one[f'{kind}_efficiency']:.2f} ± {one[f'{kind}_efficiency_error']:.2f}" for kind in ("adam", "sgd")),
        ]
        for one in found["arms"]
    ]
    return f"{found['env']}, seed {found['seed']}, cosine of the halves {found['halves_cosine']:.2f}\n\n" + table(
        heading, lines
    )


def main() -> None:
    """Measures every world and writes the raw results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", default=",".join(TOKENS), help="worlds, with commas between [%(default)s]")
    parser.add_argument("--seed", type=int, default=201)
    parser.add_argument("--warm", type=int, default=20, help="steps of stage 1 alone beforehand [%(default)s]")
    parser.add_argument("--batches", type=int, default=40, help="steps that each arm samples [%(default)s]")
    parser.add_argument("--reference", type=int, default=40, help="steps behind the gradient of success [%(default)s]")
    parser.add_argument("--arms", default=",".join(ARMS), help="the first one is 1 [%(default)s]")
    options = parser.parse_args()
    said, worlds = about(), []
    for env in options.envs.split(","):
        worlds.append(measure(Bench(env, options.seed, options.warm), options))
        print(shown(worlds[-1]), flush=True)
        save(RESULTS / "alignment.json", {**said, "options": vars(options), "worlds": worlds})


if __name__ == "__main__":
    main()
