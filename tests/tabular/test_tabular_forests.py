"""Trees of the bench are trees like any others, with states that can be read off them."""

import numpy as np
import pytest

from tabular.critics import Critic
from tabular.examples import recoverable, stochastic, two_paths
from tabular.forests import Forester
from tabular.plans import allocated, by_outcome
from treeroll import backup
from treeroll.allocation import RandomPrefixes, TracePrefixes
from treeroll.tree import Anchor
from treeroll.treefile import tree_from_json, tree_to_json


def test_sampled_trees():
    forester, rng = Forester(stochastic(3)), np.random.default_rng(0)
    forest = forester.sample(50, 4, rng)
    plans = [[(2, 3), (4, 1)]] * 50
    for before, tree in zip(forest, forester.extend(forest, plans, rng), strict=True):
        assert tree.nodes[: len(before.nodes)] == before.nodes
        assert len(tree.leaves) == 8
        assert len(tree.bare_leaves) == 4
        assert backup.expanded(tree) == (2, 4)
        assert len(backup.fresh(tree, 2)) == 3
        for leaf in tree.leaves:
            path = tree.path(leaf)
            turns, levels = zip(*(forester.state(tree.nodes[node]) for node in path), strict=True)
            assert turns == (0, 1, 2, 3)
            assert tree.nodes[leaf].reward == forester.mdp.rewards[levels[-1]]
            assert len(tree.token_ids(leaf)) == 7
            taken = [int(tree.nodes[node].token_ids[0]) for node in path[1:]]
            for turn, action in enumerate(taken):
                chance = forester.mdp.policy[forester.mdp.row[turn, levels[turn]], action]
                assert tree.nodes[path[turn + 1]].logprobs[0] == pytest.approx(np.log(chance), rel=1e-6)


def test_they_survive_json():
    forester, rng = Forester(recoverable(3)), np.random.default_rng(0)
    tree = forester.extend(forester.sample(1, 2, rng), [[(1, 2)]], rng)[0]
    assert tree_to_json(tree_from_json(tree_to_json(tree))) == tree_to_json(tree)


def test_every_tree_once():
    forester = Forester(two_paths(0.2))
    found = list(forester.every(2, lambda tree: by_outcome(tree, 1, 2)))
    # 4 episodes of 2 turns: 16 pairs; each prefix gets 1 or 2 continuations with 2 outcomes each
    assert len(found) == 4 * (2 + 4) ** 2
    assert sum(chance for chance, _ in found) == pytest.approx(1.0)
    assert sum(chance * tree.nodes[tree.bare_leaves[1]].reward for chance, tree in found) == pytest.approx(0.2)


def test_a_fixed_plan_depends_on_the_outcome_only():
    forester, rng = Forester(recoverable(3)), np.random.default_rng(3)
    tree = forester.sample(1, 6, rng)[0]
    wins = [tree.succeeded(leaf) for leaf in tree.bare_leaves]
    assert True in wins
    assert False in wins
    plan = dict(by_outcome(tree, 0, 3, turns=2))
    assert plan == {tree.path(leaf)[2]: 3 for leaf, won in zip(tree.bare_leaves, wins, strict=True) if not won}


@pytest.mark.parametrize("rule", [RandomPrefixes(2), TracePrefixes(posterior=False)])
def test_allocators_spend_their_budget_of_turns(rule):
    forester, rng = Forester(stochastic(4)), np.random.default_rng(0)
    forest = forester.sample(30, 4, rng)
    critic = Critic(forester, noise=1.0, rng=rng)
    plans = allocated(forest, rule, 12.0, critic, rng)
    for tree, plan in zip(forest, plans, strict=True):
        expected = [float(critic.predict([Anchor(tree, node)]).cost[0]) for node, _ in plan]
        counts = [count for _, count in plan]
        if isinstance(rule, TracePrefixes):
            assert np.dot(expected, counts) <= 12.0
        assert sum(counts) >= 4
        assert max(counts) <= 2


def test_critics():
    forester = Forester(two_paths(0.2))
    tree = forester.sample(1, 2, np.random.default_rng(0))[0]
    exact, noisy = Critic(forester), Critic(forester, noise=1.0, rng=np.random.default_rng(1))
    values = exact.values(tree)
    assert values[0] == pytest.approx(0.2)
    assert values[1] in (pytest.approx(0.35), pytest.approx(0.05))
    assert np.isnan(values[2])
    prediction = noisy.predict([Anchor(tree), Anchor(tree, 1)])
    assert prediction.cost.tolist() == [2.0, 1.0]
    assert prediction.mean == pytest.approx(noisy.values(tree)[:2])
    assert np.abs(prediction.mean - values[:2]).min() > 1e-3
    assert Critic(forester, unit="rollouts").predict([Anchor(tree)]).cost.tolist() == [1.0]
    certain = Critic(forester, noise=1.0, rng=np.random.default_rng(2)).table[2]
    assert certain.tolist() == [1.0, 0.0, 0.0]
