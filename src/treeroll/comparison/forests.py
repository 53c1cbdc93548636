"""Recorded forests, and what a rule may see of them: the moment of its decision, before anything was sampled for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from treeroll import backup, sinks
from treeroll.comparison.plan import runs_with_trees
from treeroll.errors import DataError
from treeroll.tree import ROOT, Anchor, RolloutTree
from treeroll.treefile import scan_trees


@dataclass(frozen=True, eq=False)
class Record:
    """The outcomes that were recorded at one anchor."""

    count: int
    """n: bare rollouts of a root, or fresh continuations of a prefix."""
    hits: int
    """Of these: successes at a root, flips of the incumbent's outcome at a prefix."""


def recorded_runs(path: Path) -> list[Path]:
    """Returns the folders with trees: that of a run, or those of a comparison's reported runs.

    Raises:
      DataError: there are none.
    """
    if sinks.tree_steps(path):
        return [path]
    found = [run for run in runs_with_trees(path) if sinks.tree_steps(run)]
    if not found:
        raise DataError(
            f"{path}: no trees are there to be judged on. Name the folder of a run, or of a comparison that kept trees "
            "(treeroll compare --trees all)"
        )
    return found


def forests(run: Path, problems: list[str]) -> Iterator[tuple[int, list[RolloutTree]]]:
    """Yields each recorded step of a run with its finished trees.

    Args:
      run: its folder.
      problems: where sentences on files and lines that cannot be read are added; the other lines are taken.
    """
    for step in sinks.tree_steps(run):
        try:
            trees, damaged = scan_trees(sinks.trees_file(run, step))
        except DataError as error:
            problems.append(f"{error}; the step is left out")
            continue
        problems += [f"{problem}; the rest of the step is judged" for problem in damaged]
        yield step, [tree for tree in trees if tree.leaves]


def root_view(tree: RolloutTree) -> RolloutTree:
    """Returns a tree as it was before its first rollout: the prompt alone."""
    return replace(tree, nodes=tree.nodes[:1])


def root_record(tree: RolloutTree) -> Record:
    """Returns the bare rollouts of a tree and how many of them succeeded."""
    return Record(len(tree.bare_leaves), sum(map(tree.succeeded, tree.bare_leaves)))


def prefix_view(tree: RolloutTree) -> tuple[RolloutTree, dict[int, Record]]:
    """Returns a tree as it was before its continuations, and what they showed: {prefix of that tree: record}.

    Only prefixes that were continued can be chosen from it: all others are marked as if they were no turns of a bare
    rollout, which is what rules look for (`allocation._build.branchable`).
    """
    kept = [index for index, node in enumerate(tree.nodes) if node.origin.kind in ("root", "bare")]
    place = {old: new for new, old in enumerate(kept)} | {-1: -1}
    records = {place[index]: _flips(tree, index) for index in backup.expanded(tree) if index in place}
    nodes = [replace(tree.nodes[old], parent=place[tree.nodes[old].parent]) for old in kept]
    for index, node in enumerate(nodes):
        if index and not node.is_leaf and index not in records:
            nodes[index] = replace(node, origin=ROOT)
    return replace(tree, nodes=tuple(nodes)), records


def won(anchor: Anchor) -> bool:
    """Returns whether the rollout that made a prefix succeeded."""
    return anchor.tree.succeeded(anchor.tree.incumbent(anchor.node))


def _flips(tree: RolloutTree, index: int) -> Record:
    outcome = tree.succeeded(tree.incumbent(index))
    fresh = backup.fresh(tree, index) >= tree.success_at
    return Record(len(fresh), int((fresh != outcome).sum()))
