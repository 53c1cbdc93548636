"""Training on a pool of tabular tasks, so that ways to spend the same turns can be compared by what is learned.

Every step gets 64 T turns and what earlier steps left. Tree methods set 0.4 of that aside for stage 2, the rest buys
bare rollouts; all turns that stage 2 does not use go to the next step's stage 1. Then one policy-gradient update of
fixed norm: theta += size * g / |g|, where g sums advantage * grad log pi over all turns of all trees of a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tabular.rollout_trees import tree_credit
from tabular.rollouts import Rollouts, critic_steps, gradient, sample, sibling_tree
from tabular.spending import STAGE2, Prefixes, Stage2, no_prefixes
from tabular.worlds import TASKS, Pool, World, draw_pool
from treeroll import allocate_roots
from treeroll.seeding import derive, generator

ROLLOUTS = 64
"""Bare rollouts that a step's own turns pay for."""
GROUP = 8
"""Rollouts a task where stage 1 is uniform."""
NOISE = 1.0
"""Standard deviation of the error of predicted logits at roots."""
FLOOR = 0.01
"""Predictions are made from true probabilities clipped into [FLOOR, 1 - FLOOR], moved by an error in the logit."""


@dataclass(frozen=True)
class Method:
    """How a step spends its turns and gives credit."""

    uniform: bool = False
    """Stage 1: the same group for tasks drawn at random. Else `treeroll.allocate_roots` at predicted values."""
    min_group: int = 2
    """Smallest group where stage 1 is not uniform."""
    stage2: Stage2 | None = None
    """None: bare rollouts only."""
    credit: str = "sibling-tree"
    """Name in `treeroll.credit`."""
    noise: float = NOISE
    """Standard deviation of the error of predicted logits at prefixes, and of the critic's."""
    shared_noise: bool = False
    """Whether all states of a task share one error a step; else each has its own."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What a method reached, by step; row 0 is before the first."""

    success: NDArray[np.float64]
    """[1 + steps, seeds] exact success probability, mean over the seed's tasks."""
    turns: NDArray[np.float64]
    """[1 + steps, seeds] turns sampled so far."""


def train(world: World, seeds: Sequence[int], name: str, method: Method, *, steps: int, size: float) -> Curves:
    """Trains one policy a seed, all at once.

    Args:
      world: kind of tasks.
      seeds: the same seeds give the same tasks to every method; a batch of seeds draws from one stream.
      name: of the method; part of the address of its draws.
      method: how turns are spent.
      steps: updates.
      size: norm of an update.
    """
    pool = draw_pool(world, seeds)
    rng = generator(derive(0, *seeds), "train", world.name, world.turns, name)
    bank, used = np.zeros(len(seeds)), np.zeros(len(seeds))
    success, turns = [], [used]
    for _ in range(steps):
        policy = pool.policy()
        values = pool.values(policy[..., 0])
        success.append(_means(values))
        roots = _noisy(values[:, 0, 0], NOISE, rng.standard_normal(len(values)))
        errors = rng.standard_normal((len(values), 1, 1) if method.shared_noise else values.shape)
        predicted = _noisy(values, method.noise, errors)
        bank += ROLLOUTS * world.turns
        bare = sample(pool, policy, rng, _bare(method, roots, bank, world.turns, rng))
        bank -= _spent(bare, len(seeds))
        extra = _continue(method.stage2 or no_prefixes, pool, policy, predicted, bare=bare, bank=bank, rng=rng)
        bank -= _spent(extra, len(seeds))
        used = used + _spent(bare, len(seeds)) + _spent(extra, len(seeds))
        turns.append(used)
        own, branches = advantages(method.credit, bare, extra, predicted)
        found = gradient(pool, policy, bare, own) + gradient(pool, policy, extra, branches)
        pool = replace(pool, theta=pool.theta + size * _unit(found, len(seeds)))
    success.append(_means(pool.values(pool.policy()[..., 0])))
    return Curves(np.stack(success), np.stack(turns))


def advantages(
    credit: str, bare: Rollouts, extra: Rollouts, predicted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns [R, T] advantages of bare rollouts and of continuations, in array form where there is one."""
    if credit == "sibling-tree":
        return sibling_tree(bare, extra, len(predicted))
    if credit == "critic-td":
        return critic_steps(bare, predicted), critic_steps(extra, predicted)
    return tree_credit(credit, bare, extra, predicted)


def _bare(
    method: Method, roots: NDArray[np.float64], bank: NDArray[np.float64], turns: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Returns [R] the tasks of the step's bare rollouts, seed by seed."""
    share = 1.0 if method.stage2 is None else 1 - STAGE2
    found = []
    for seed, own in enumerate(roots.reshape(-1, TASKS)):
        rollouts = int(share * bank[seed] / turns + 1e-9)
        if method.uniform:
            counts = np.zeros(TASKS, dtype=np.int64)
            counts[rng.permutation(TASKS)[: rollouts // GROUP]] = GROUP
        else:
            counts = allocate_roots(own, rollouts, min_group=method.min_group)
        found.append(seed * TASKS + np.repeat(np.arange(TASKS), counts))
    return np.concatenate(found)


def _continue(
    stage2: Stage2,
    pool: Pool,
    policy: NDArray[np.float64],
    predicted: NDArray[np.float64],
    *,
    bare: Rollouts,
    bank: NDArray[np.float64],
    rng: np.random.Generator,
) -> Rollouts:
    """Samples stage 2: `STAGE2` of what each seed had, but no more than is left in its bank."""
    rollouts, depths = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    turns, own = pool.world.turns, bare.task // TASKS
    for seed in range(len(bank)):
        bares = np.flatnonzero(own == seed)
        row, depth = np.repeat(bares, turns - 1), np.tile(np.arange(1, turns), len(bares))
        prefixes = Prefixes(
            bare.task[row],
            predicted[bare.task[row], depth, bare.states[row, depth]],
            bare.rewards[row],
            (turns - depth).astype(np.float64),
        )
        budget = min(bank[seed], STAGE2 * (bank[seed] + turns * len(bares)))
        counts = stage2(prefixes, budget, int(budget / turns + 1e-9), rng)
        rollouts.append(np.repeat(row, counts))
        depths.append(np.repeat(depth, counts))
    incumbent, depth = np.concatenate(rollouts), np.concatenate(depths)
    state = bare.states[incumbent, depth]
    return sample(pool, policy, rng, bare.task[incumbent], depth=depth, state=state, incumbent=incumbent)


def _unit(found: NDArray[np.float64], seeds: int) -> NDArray[np.float64]:
    """Returns [C, T, A] the gradient with norm 1 for each seed; 0 for a seed whose gradient is 0."""
    by_seed = found.reshape(seeds, -1)
    norm = np.linalg.norm(by_seed, axis=1, keepdims=True)
    return np.asarray((by_seed / np.where(norm > 0, norm, 1.0)).reshape(found.shape))


def _noisy(values: NDArray[np.float64], noise: float, errors: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(values, FLOOR, 1 - FLOOR)
    return np.asarray(1 / (1 + (1 - clipped) / clipped * np.exp(-noise * errors)))


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values[:, 0, 0].reshape(-1, TASKS).mean(axis=1))


def _spent(rollouts: Rollouts, seeds: int) -> NDArray[np.float64]:
    spent = np.bincount(rollouts.task // TASKS, rollouts.turns.astype(np.float64), minlength=seeds)
    return np.asarray(spent, dtype=np.float64)
