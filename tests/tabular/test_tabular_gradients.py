"""What each credit rule's gradient is on average: exactly, over all trees, and on sampled forests."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pytest

from tabular.critics import Critic
from tabular.examples import any_error_fatal, recoverable, stochastic, two_paths
from tabular.forests import Forester
from tabular.mdp import TabularMDP
from tabular.measure import Turns, gradients, restart_gradients, scores
from tabular.plans import allocated, by_outcome
from treeroll import credit
from treeroll.allocation import TracePrefixes
from treeroll.credit.restart import restart
from treeroll.tree import RolloutTree

RULES = list(credit.ESTIMATORS)


def by_rule(forester: Forester, forest: Sequence[RolloutTree], name: str, critic: Critic) -> np.ndarray:
    """[n, R, A] gradients of a forest."""
    given = [credit.get(name)(tree, critic.values(tree)) for tree in forest]
    return gradients(forester, Turns.of(forester, forest), forest, given)


def expected(forester: Forester, trees: list[tuple[float, RolloutTree]], name: str, critic: Critic) -> np.ndarray:
    """[R, A] exact mean over all trees."""
    chances, forest = zip(*trees, strict=True)
    return np.tensordot(np.array(chances), by_rule(forester, forest, name, critic), axes=1)


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float((left * right).sum() / (np.linalg.norm(left) * np.linalg.norm(right)))


FLAT = Forester(two_paths(0.3))
FLAT_TREES = list(FLAT.every(3, lambda tree: []))
BRANCHED = Forester(two_paths(0.3))
BRANCHED_TREES = list(BRANCHED.every(2, lambda tree: by_outcome(tree, 2, 3)))


@pytest.mark.parametrize("name", RULES)
def test_on_bare_rollouts_every_rule_follows_the_gradient(name):
    """Binary outcomes, exact values: the mean gradient is a positive multiple of the exact one, whatever the rule."""
    found = expected(FLAT, FLAT_TREES, name, Critic(FLAT))
    assert cosine(found, FLAT.mdp.gradient()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "multiple"),
    [
        ("group-unscaled", 2),  # R - mean of all 3 has 2/3 of the gradient of R, 3 times
        ("sibling-tree", 2),
        ("treepo", 2),
        ("spo", 2),
        ("sibling", 3),
        ("restart", 3),
        ("critic", 3),
        ("critic-td", 3),
        ("sibling-shrunk", 3),
        ("sibling-tree-critic", 5),
    ],
)
def test_multiples_of_the_gradient_on_three_bare_rollouts(name, multiple):
    found = expected(FLAT, FLAT_TREES, name, Critic(FLAT))
    assert found == pytest.approx(multiple * FLAT.mdp.gradient(), abs=1e-12)


def test_wrong_values_bias_critic_td_and_no_other_rule():
    wrong = Critic(FLAT, noise=2.0, rng=np.random.default_rng(1))
    exact = FLAT.mdp.gradient()
    for name in ("critic", "sibling-shrunk"):
        assert expected(FLAT, FLAT_TREES, name, wrong) == pytest.approx(3 * exact, abs=1e-12)
    assert np.abs(expected(FLAT, FLAT_TREES, "critic-td", wrong) - 3 * exact).max() > 0.1


def test_restart_has_its_objective_exactly_although_outcomes_choose_the_prefixes():
    """E[sum A g] = m * grad J: 2 continuations after a success, 3 after a failure, over all outcomes."""
    chances, forest = zip(*BRANCHED_TREES, strict=True)
    goal = 2 * np.tensordot(np.array(chances), restart_gradients(BRANCHED, forest, eta=1.0), axes=1)
    found = expected(BRANCHED, BRANCHED_TREES, "restart", Critic(BRANCHED))
    assert found == pytest.approx(goal, abs=1e-12)
    assert np.abs(goal - 2 * BRANCHED.mdp.gradient()).max() > 0.1
    for name in ("group-unscaled", "sibling-tree", "trace-paper"):
        other = expected(BRANCHED, BRANCHED_TREES, name, Critic(BRANCHED))
        assert cosine(other, goal) < 0.9999, name


def test_critic_has_the_gradients_of_its_start_states_whatever_the_values():
    """E[sum A g] = m grad V(root) + E[sum over expanded prefixes h of k_h grad V(h)], with k_h = 2 or 3 here."""
    wrong = Critic(BRANCHED, noise=2.0, rng=np.random.default_rng(1))
    goal = 2 * BRANCHED.mdp.gradient()
    for chance, tree in BRANCHED_TREES:
        for node, count in by_outcome(tree, 2, 3):
            goal = goal + chance * count * BRANCHED.mdp.gradient(*BRANCHED.state(tree.nodes[node]))
    found = expected(BRANCHED, BRANCHED_TREES, "critic", wrong)
    assert found == pytest.approx(goal, abs=1e-12)


Sampled = tuple[Forester, list[RolloutTree], np.ndarray]


@pytest.fixture(scope="module", params=[any_error_fatal, recoverable], ids=lambda make: make.__name__)
def sampled(request) -> Sampled:
    return sample(request.param(3))


def sample(mdp: TabularMDP) -> Sampled:
    """A forest of TRACE's stage 2 (m = 4, N = 2, an oracle), and m times the gradient of its restart objective."""
    forester, rng = Forester(mdp), np.random.default_rng(11)
    forest = forester.sample(1200, 4, rng)
    plans = allocated(forest, TracePrefixes(posterior=False), 8, Critic(forester, unit="rollouts"), rng)
    forest = forester.extend(forest, plans, rng)
    return forester, forest, 4 * restart_gradients(forester, forest, eta=1.0)


def bound(coordinates: int, mistake: float = 1e-3) -> float:
    """The largest of so many |z| that chance exceeds with probability `mistake` at most; 3.9 for 9."""
    return NormalDist().inv_cdf(1 - mistake / (2 * coordinates))


def test_restart_is_unbiased_with_chance_moves():
    check_restart(sample(stochastic(3)))


def test_restart_is_unbiased_in_every_coordinate(sampled):
    check_restart(sampled)


def check_restart(sampled: Sampled) -> None:
    """Also with eta = 0, where what is left is the policy gradient of V(root)."""
    forester, forest, goal = sampled
    found = scores(by_rule(forester, forest, "restart", Critic(forester)) - goal)
    assert np.abs(found).max() < bound(found.size)
    assert np.sqrt((found**2).mean()) < 2
    given = [restart(tree, eta=0.0) for tree in forest]
    found = gradients(forester, Turns.of(forester, forest), forest, given)
    assert np.abs(scores(found - 4 * forester.mdp.gradient())).max() < bound(9)


@pytest.mark.parametrize("name", ["trace-paper", "group-unscaled", "sibling-tree"])
def test_the_same_test_finds_a_biased_rule_even_at_its_best_scale(sampled, name):
    forester, forest, goal = sampled
    found = by_rule(forester, forest, name, Critic(forester))
    scale = (goal.mean(axis=0) ** 2).sum() / (found.mean(axis=0) * goal.mean(axis=0)).sum()
    assert np.abs(scores(scale * found - goal)).max() > 1.5 * bound(found[0].size)


def test_gradients_by_hand():
    """One rollout of two turns in the same row, with advantages 2 and -1: (2 - 1) (one-hot - pi)."""
    forester = Forester(recoverable(2))
    _, tree = next(forester.every(1, lambda tree: []))  # the first episode: right, right, in level 0 all along
    assert [int(node.token_ids[0]) for node in tree.nodes[1:]] == [0, 0]
    advantages = credit.Credit(np.array([np.nan, 2.0, -1.0]))
    found = gradients(forester, Turns.of(forester, [tree]), [tree], [advantages])[0]
    policy = forester.mdp.policy[0]
    assert found[0] == pytest.approx((2 - 1) * (np.array([1, 0, 0]) - policy))
    assert not found[1:].any()
