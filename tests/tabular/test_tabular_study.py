"""The study: worlds, budgets, turns-efficiency, and array forms of credit that equal `treeroll.credit`."""

import numpy as np
import pytest

import study
from tabular.rollout_trees import to_trees, tree_credit
from tabular.rollouts import Rollouts, gradient, sample
from tabular.spending import EACH, Prefixes, random_per_cost, random_prefixes, trace, trace_by_task, trace_per_cost
from tabular.training import Curves, Method, advantages, train
from tabular.worlds import ACTIONS, CLUSTERS, TASKS, Pool, World, draw_pool
from treeroll.contrast import mixed_probability

SMALL = [World("one", 5, "one"), World("recoverable", 5, "all", recoverable=True), World("quarter", 8, "a quarter")]


def forest(world: World, seed: int) -> tuple[Pool, np.ndarray, Rollouts, Rollouts]:
    """A pool, its policy, groups of 1 to 4 bare rollouts, and continuations of random prefixes."""
    pool, rng = draw_pool(world, [seed]), np.random.default_rng(seed)
    pool.theta[:] = rng.normal(0, 0.5, pool.theta.shape)
    policy = pool.policy()
    task = np.repeat(rng.permutation(TASKS)[:40], rng.integers(1, 5, 40))
    bare = sample(pool, policy, rng, task)
    incumbent, depth = rng.integers(0, len(bare), 100), rng.integers(1, world.turns, 100)
    state = bare.states[incumbent, depth]
    extra = sample(pool, policy, rng, task[incumbent], depth=depth, state=state, incumbent=incumbent)
    return pool, policy, bare, extra


@pytest.mark.parametrize("world", SMALL, ids=lambda world: world.name)
@pytest.mark.parametrize("credit", ["sibling-tree", "critic-td"])
def test_array_credit_equals_the_real_functions(world, credit):
    pool, policy, bare, extra = forest(world, 3)
    predicted = np.clip(pool.values(policy[..., 0]), 0.01, 0.99)
    found, wanted = advantages(credit, bare, extra, predicted), tree_credit(credit, bare, extra, predicted)
    assert np.abs(wanted[1]).sum() > 0
    for own, real in zip(found, wanted, strict=True):
        assert own == pytest.approx(real, abs=1e-12)


def test_array_credit_without_continuations():
    pool, policy, bare, _ = forest(SMALL[0], 4)
    nothing = sample(pool, policy, np.random.default_rng(0), np.zeros(0, dtype=np.int64))
    own, branches = advantages("sibling-tree", bare, nothing, np.zeros((TASKS, 6, 2)))
    means = np.bincount(bare.task, bare.rewards) / np.maximum(np.bincount(bare.task), 1)
    assert own == pytest.approx(np.repeat((bare.rewards - means[bare.task])[:, None], 5, axis=1))
    assert branches.shape == (0, 5)


def test_the_array_gradient_equals_a_sum_over_turns():
    pool, policy, _, extra = forest(SMALL[1], 5)
    weights = np.random.default_rng(0).normal(size=extra.actions.shape)
    wanted = np.zeros_like(pool.theta)
    for rollout, turn in zip(*np.nonzero(extra.actions >= 0), strict=True):
        task = extra.task[rollout]
        step = np.eye(ACTIONS)[extra.actions[rollout, turn]] - policy[task, turn]
        wanted[pool.cluster[task], turn] += weights[rollout, turn] * step
    assert gradient(pool, policy, extra, weights) == pytest.approx(wanted)


def test_trees_are_those_of_the_arrays():
    _, _, bare, extra = forest(SMALL[2], 6)
    turns = 8
    depths, rewards = np.concatenate([bare.depth, extra.depth]), np.concatenate([bare.rewards, extra.rewards])
    seen = []
    for task, tree, where in to_trees(bare, extra):
        seen.append(where)
        for index, place in enumerate(where, start=1):
            rollout, turn = divmod(int(place), turns)
            assert tree.depth(index) == turn + 1
            assert tree.nodes[index].is_leaf == (turn + 1 == turns)
            kind = tree.nodes[index].origin.kind
            assert kind == ("continuation" if depths[rollout] else "bare")
            if tree.nodes[index].is_leaf:
                assert tree.nodes[index].reward == rewards[rollout]
            if kind == "continuation":
                origin = tree.nodes[index].origin
                own = extra.incumbent[rollout - len(bare)]
                assert where[origin.anchor - 1] == own * turns + depths[rollout] - 1
                assert bare.task[own] == task
                assert origin.count == np.sum((extra.incumbent == own) & (extra.depth == depths[rollout]))
    taken = np.concatenate([bare.actions, extra.actions]).ravel() >= 0
    assert sorted(np.concatenate(seen)) == np.flatnonzero(taken).tolist()


@pytest.mark.parametrize("world", study.WORLDS, ids=lambda world: f"{world.name}, {world.turns}")
def test_worlds(world):
    """Mean success near 1/2 and a base effective ratio near .33, as drawn; the turns that decide are where they say."""
    pool = draw_pool(world, range(4))
    start = pool.values(pool.policy()[..., 0])[:, 0, 0]
    assert start.mean() == pytest.approx(0.5, abs=0.07)
    assert mixed_probability(start, 8).mean() == pytest.approx(0.33, abs=0.05)
    assert pool.decides.shape == (4 * CLUSTERS, world.turns)
    number = {"all": world.turns, "a quarter": world.turns // 4}.get(world.decides, 1)
    assert (pool.decides.sum(axis=1) == number).all()
    if world.decides == "one late":
        assert not pool.decides[:, : world.turns - world.turns // 3].any()
    if world.decides == "one early":
        assert not pool.decides[:, world.turns // 3 :].any()


def test_a_seed_has_the_same_tasks_whatever_the_others():
    both, second = draw_pool(SMALL[1], [0, 1]), draw_pool(SMALL[1], [1])
    assert (both.offset[TASKS:] == second.offset).all()


@pytest.mark.parametrize("world", SMALL, ids=lambda world: world.name)
def test_sampled_rollouts_have_the_exact_values(world):
    pool, rng = draw_pool(world, [0]), np.random.default_rng(0)
    policy = pool.policy()
    values = pool.values(policy[..., 0])
    hardest = int(np.argmin(np.abs(values[:, 0, 0] - 0.5)))
    bare = sample(pool, policy, rng, np.full(4000, hardest))
    assert abs(bare.rewards.mean() - values[hardest, 0, 0]) < 4 * 0.5 / np.sqrt(4000)
    deep = sample(pool, policy, rng, bare.task, depth=np.full(4000, 2), state=np.full(4000, 1))
    assert abs(deep.rewards.mean() - values[hardest, 2, 1]) < 4 * 0.5 / np.sqrt(4000)
    assert deep.turns.tolist() == [world.turns - 2] * 4000


def test_stage_two_spends_at_most_its_turns():
    rng = np.random.default_rng(0)
    left = np.tile(np.arange(5.0, 0, -1), 12)
    prefixes = Prefixes(np.repeat(np.arange(4), 15), rng.random(60), rng.integers(0, 2, 60).astype(float), left)
    for rule in (trace_per_cost, random_per_cost):
        counts = rule(prefixes, 20.0, 3, rng)
        assert counts @ left <= 20
        assert counts.max() <= EACH
    assert trace(prefixes, 20.0, 3, rng).sum() == 3
    assert random_prefixes(prefixes, 20.0, 3, rng).sum() == 2
    by_task = np.bincount(prefixes.task, trace_by_task(prefixes, 20.0, 3, rng))
    assert by_task.tolist() == [2, 2, 2, 2]  # 3 bare rollouts each, N = 2/3


@pytest.mark.parametrize("name", list(study.WAYS))
def test_no_way_spends_more_than_its_turns(name):
    steps, world = 6, World("recoverable", 6, "all", recoverable=True)
    found = train(world, range(2), name, study.WAYS[name], steps=steps, size=0.3)
    allowed = 64 * 6 * np.arange(1, steps + 1)[:, None]
    assert (found.turns[1:] <= allowed).all()
    assert (found.turns[-1] > 0.9 * allowed[-1]).all()
    assert ((found.success > 0) & (found.success < 1)).all()


def test_training_is_reproducible_and_learns():
    world = World("one", 4, "one")
    first, again = (train(world, [0], "stage 1", Method(), steps=20, size=0.3) for _ in range(2))
    assert (first.success == again.success).all()
    assert first.success[-1, 0] > first.success[0, 0] + 0.02


def curves(success: list[float], turns: float) -> Curves:
    return Curves(np.array(success)[:, None], turns * np.arange(len(success))[:, None])


def test_turns_efficiency_by_hand():
    """Stage 1 gains .1 a step of 10 turns; a method that reaches .75 in 20 turns is worth 25 of its turns."""
    reference = curves([0.5, 0.6, 0.7, 0.8, 0.9], 10)
    assert study.efficiency(reference, curves([0.5, 0.6, 0.75], 10), 2) == pytest.approx(1.25)
    assert study.efficiency(reference, curves([0.5, 0.6, 0.75], 5), 2) == pytest.approx(2.5)
    assert study.efficiency(reference, reference, 2) == pytest.approx(1.0)
    assert study.efficiency(reference, curves([0.5, 0.7, 0.95], 10), 2) == np.inf
    assert study.efficiency(reference, curves([0.5, 0.5, 0.4], 10), 2) == 0.0


def test_errors_are_over_paired_seeds():
    """Two seeds: the jackknife leaves one out in turn, so the error is half the difference of their efficiencies."""
    reference = Curves(np.array([[0.5, 0.5], [0.6, 0.6], [0.7, 0.7], [0.8, 0.8]]), np.arange(4.0)[:, None] * [1, 1])
    found = Curves(np.array([[0.5, 0.5], [0.6, 0.7]]), np.arange(2.0)[:, None] * [1, 1])
    value, error = study.with_error(reference, found, 1)
    assert value == pytest.approx(1.5)
    assert error == pytest.approx(0.5)
