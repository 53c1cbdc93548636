"""Predictions on disk against what came of them: pairs from saved trees, and their bins.

A tree holds what was predicted at its root and at all of its prefixes (`RolloutTree.values`); a run of a method without
a predictor has none. Files of earlier versions hold only the predictions that an allocation relied on, at the anchors
that were chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll import sinks
from treeroll.contrast import expected_flip_probability, repeat_posterior
from treeroll.errors import AllocationError, DataError
from treeroll.tree import Origin, RolloutTree
from treeroll.treefile import scan_trees

MOST_STEPS = 100
"""Saved steps that the report of one run reads: some seconds."""

Pairs: TypeAlias = list[tuple[float, bool]]
"""A probability that was predicted, and whether it came so."""


@dataclass
class Calibration:
    """What saved trees say of a predictor."""

    roots: Pairs = field(default_factory=list)
    """Success of each bare rollout, as predicted at its root."""
    prefixes: Pairs = field(default_factory=list)
    """Success of each prefix's incumbent, as predicted at the prefix; see `chosen_only`."""
    flips: Pairs = field(default_factory=list)
    """Whether one of an anchor's continuations ended unlike the incumbent."""
    chosen_only: int = 0
    """How many of the pairs at roots and prefixes are from trees without values: at roots that were chosen by their
    prediction, and at prefixes each continuation of one that was chosen by prediction and incumbent together."""

    @property
    def coverage(self) -> str:
        """Which anchors the pairs at roots and prefixes are from, one or two sentences for a reader."""
        if not self.chosen_only:
            return "Of all roots by their bare rollouts, and of all prefixes by the rollout that made them."
        whose = "Trees" if self.chosen_only == len(self.roots) + len(self.prefixes) else "Some trees"
        return (
            f"{whose} of an earlier version hold predictions only where budget went; prefixes that were chosen for "
            "disagreeing with their outcome lie further off than all would."
        )

    def add(self, tree: RolloutTree) -> None:
        """Adds a tree's pairs. Rollouts that never ended, or have no reward, are left out."""
        if tree.values is not None:
            self._add_all(tree, tree.values)
        for (_, origin), outcomes in _allocations(tree).items():
            if origin.prediction is None:
                continue
            if tree.values is None:
                pairs = self.roots if origin.kind == "bare" else self.prefixes
                pairs.extend((origin.prediction, outcome) for outcome in outcomes)
                self.chosen_only += len(outcomes)
            if origin.kind == "continuation" and origin.outcome is not None:
                success = origin.outcome >= tree.success_at
                strength = origin.strength or math.inf
                posterior = repeat_posterior(origin.prediction, strength, success)
                expected = float(expected_flip_probability(*posterior, len(outcomes)))
                self.flips.append((expected, any(outcome != success for outcome in outcomes)))

    def _add_all(self, tree: RolloutTree, values: NDArray[np.float64]) -> None:
        """Adds a pair for each bare rollout and for each prefix's incumbent, as `scoring.scored_outcomes` does.

        Continuations are no pairs of the prefix that they start from: it was chosen by prediction and incumbent
        together, so they would judge the prediction only where it may be wrong.
        """
        ends: list[int | None] = []  # of the rollout that made each node; None where it never ended with a reward
        for index in reversed(range(len(tree.nodes))):
            node, below = tree.nodes[index], tree.children(index)
            ended = isinstance(node.reward, (int, float)) and node.is_leaf
            ends.append(index if ended else ends[len(tree.nodes) - 1 - below[0]] if below else None)
        ends.reverse()
        bare = [leaf for leaf in tree.bare_leaves if ends[leaf] is not None]
        self.roots.extend((float(values[0]), tree.succeeded(leaf)) for leaf in bare)
        made = [(float(values[index]), ends[index]) for index in tree.prefixes]
        self.prefixes.extend((value, tree.succeeded(leaf)) for value, leaf in made if leaf is not None)

    def join(self, other: Calibration) -> None:
        """Adds the pairs of another one."""
        self.roots += other.roots
        self.prefixes += other.prefixes
        self.flips += other.flips
        self.chosen_only += other.chosen_only


@dataclass(frozen=True)
class Bins:
    """Pairs in bins of equal width; empty bins are left out."""

    predicted: NDArray[np.float64]
    """[bins] mean prediction."""
    realised: NDArray[np.float64]
    """[bins] share that came so."""
    count: NDArray[np.int64]
    """[bins] pairs."""


def load(run_dir: Path, notices: list[str], *, most: int = MOST_STEPS) -> Calibration:
    """Returns the calibration of a run's saved trees. A file or line that cannot be read becomes a notice.

    Args:
      run_dir: the run's folder.
      notices: where sentences on what cannot be read are added.
      most: saved steps that are read; of more, as many at even distances, the first and the last among them.
    """
    found = Calibration()
    steps = sinks.tree_steps(run_dir)
    if len(steps) > most:
        steps = [steps[place] for place in np.linspace(0, len(steps) - 1, most).round().astype(int)]
    for step in steps:
        file = sinks.trees_file(run_dir, step)
        try:
            trees, problems = scan_trees(file)
        except DataError as error:
            notices.append(f"{error}. Its predictions are left out.")
            continue
        notices += [f"{problem}. Its predictions are left out." for problem in problems]
        for tree in trees:
            try:
                found.add(tree)
            except AllocationError as error:
                notices.append(f"{file}, task {tree.task.id!r}: {error}. Its predictions are left out.")
    return found


def bins(pairs: Iterable[tuple[float, bool]], count: int = 10) -> Bins:
    """Returns pairs by prediction, in `count` bins of equal width over [0, 1]."""
    table = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)
    place = np.clip((table[:, 0] * count).astype(np.int64), 0, count - 1)
    size = np.bincount(place, minlength=count)
    held = size > 0
    predicted, realised = (np.bincount(place, weights=column, minlength=count)[held] for column in table.T)
    return Bins(predicted / size[held], realised / size[held], size[held])


def _allocations(tree: RolloutTree) -> dict[tuple[int, Origin], list[bool]]:
    """Returns the outcomes of what each allocation sampled from an anchor, finished and rewarded rollouts alone."""
    found: dict[tuple[int, Origin], list[bool]] = {}
    for leaf in tree.leaves:
        node = tree.nodes[leaf]
        if isinstance(node.reward, (int, float)):
            found.setdefault((node.origin.anchor, node.origin), []).append(tree.succeeded(leaf))
    return found
