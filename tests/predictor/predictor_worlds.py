"""Made-up tasks of known success probability, recognisable by hidden state, by token and by word."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from handmade import bare, plant
from treeroll.predictor import Predictor
from treeroll.scoring import auc, scored_outcomes, skill
from treeroll.tree import Anchor, RolloutTree

SIZE = 6
"""Length of a hidden state."""


def task(name: str, success: float, rng: np.random.Generator, group: int = 4, step: int = 1) -> RolloutTree:
    """Bare rollouts of one task: success is logit-linear in the first number of the hidden state."""
    word = "easy" if success > 0.5 else "hard"
    tree = replace(plant(prompt=(5 if success > 0.5 else 6, 7), name=name), step=step)
    for _ in range(group):
        tree = bare(tree, float(rng.random() < success))
    hidden = np.append(np.log(success / (1 - success)) / 3, rng.standard_normal(SIZE - 1))
    nodes = [replace(node, hidden=(hidden + 0.1 * rng.standard_normal(SIZE)).astype(np.float32)) for node in tree.nodes]
    nodes[0] = replace(nodes[0], text=f"an {word} question")
    return replace(tree, nodes=tuple(nodes))


def forest(rng: np.random.Generator, tasks: int = 24, **options: Any) -> list[RolloutTree]:
    """New tasks, half of them nearly always solved, half nearly never."""
    return [task(f"task-{number}", 0.9 if rng.random() < 0.5 else 0.1, rng, **options) for number in range(tasks)]


def anchors(trees: list[RolloutTree]) -> list[Anchor]:
    return [Anchor(tree, node) for tree in trees for node in (0, *tree.prefixes)]


def scores(predictor: Predictor, trees: list[RolloutTree]) -> tuple[float, float]:
    """Returns Brier skill and AUC at the roots."""
    roots = [Anchor(tree) for tree in trees]
    (prediction, outcome), _ = scored_outcomes(roots, predictor.predict(roots).mean)
    return skill(prediction, outcome), auc(prediction, outcome)


def saved(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a state as it comes back from a checkpoint's file."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{key: np.asarray(value) for key, value in state.items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return {key: arrays[key].item() if arrays[key].ndim == 0 else arrays[key] for key in arrays.files}


def assert_alike(one: Predictor, other: Predictor, trees: list[RolloutTree]) -> None:
    """Fails unless two predictors say exactly the same of all roots and prefixes."""
    first, second = (predictor.predict(anchors(trees)) for predictor in (one, other))
    for name in ("mean", "strength", "cost"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert one.informed == other.informed
