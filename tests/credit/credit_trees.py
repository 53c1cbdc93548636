"""Trees for the tests of credit: one worked out by hand everywhere, and random ones whose rollouts can be reordered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from handmade import bare, fork, plant
from treeroll.tree import RolloutTree

VALUES = np.array([0.5, 0.4, 0.25, np.nan, 0.8, np.nan, np.nan, 0.1, np.nan])
"""What a predictor says at the nodes of `worked()`; NaN at its leaves."""


def worked() -> RolloutTree:
    """Rollouts 1-2-3 (fails) and 4-5 (succeeds); from 2, continuations 6 (succeeds) and 7-8 (fails)."""
    tree = bare(bare(plant(), 0.0, turns=3), 1.0, turns=2)
    return fork(fork(tree, 2, 1.0), 2, 0.0, turns=2)


@dataclass(frozen=True)
class Plan:
    """A tree as its rollouts, so that the order in which they are sampled can change."""

    rollouts: tuple[tuple[float, int], ...]
    """(reward, turns) of each bare rollout."""
    forks: tuple[tuple[int, int, float, int], ...] = ()
    """(rollout, depth of the anchor in it, reward, turns) of each continuation."""

    def grow(self, rollouts: list[int], forks: list[int]) -> tuple[RolloutTree, dict[tuple[str, int, int], int]]:
        """Returns the tree grown in the order given, and where each turn (kind, number, turn) went."""
        tree, places = plant(), {}
        for number in rollouts:
            reward, turns = self.rollouts[number]
            places |= {("bare", number, turn): len(tree.nodes) + turn for turn in range(turns)}
            tree = bare(tree, reward, turns=turns)
        for number in forks:
            rollout, depth, reward, turns = self.forks[number]
            places |= {("fork", number, turn): len(tree.nodes) + turn for turn in range(turns)}
            tree = fork(tree, places["bare", rollout, depth], reward, turns=turns)
        return tree, places

    @property
    def tree(self) -> RolloutTree:
        return self.grow(list(range(len(self.rollouts))), list(range(len(self.forks))))[0]


@st.composite
def plans(draw: st.DrawFn, rewards: st.SearchStrategy[float]) -> Plan:
    rollouts = draw(st.lists(st.tuples(rewards, st.integers(1, 3)), min_size=1, max_size=4))
    anchors = [(number, depth) for number, (_, turns) in enumerate(rollouts) for depth in range(turns - 1)]
    forks = []
    if anchors:
        drawn = st.lists(st.tuples(st.sampled_from(anchors), rewards, st.integers(1, 2)), max_size=5)
        forks = [(*anchor, reward, turns) for anchor, reward, turns in draw(drawn)]
    return Plan(tuple(rollouts), tuple(forks))


GRADED = st.sampled_from([0.0, 0.1, 0.3, 1.0])


def shifted(plan: Plan, *, by: float = 0.0, times: float = 1.0) -> Plan:
    """Returns the plan with all rewards changed."""
    rollouts = tuple((by + times * reward, turns) for reward, turns in plan.rollouts)
    return Plan(rollouts, tuple((r, d, by + times * reward, turns) for r, d, reward, turns in plan.forks))
