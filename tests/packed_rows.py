"""Rows of small random forests, and rows by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treeroll.packing import TreeRow

SHAPES = ("chain", "group", "tree", "forest", "shared")
"""One rollout; bare rollouts of one prompt; those and continuations; several trees; trees whose prompts begin alike."""


def row(
    prompt: Sequence[int],
    completion: Sequence[int],
    advantages: float | Sequence[float] = 1.0,
    mask: Sequence[int] | None = None,
    behaviour: float | Sequence[float] = -1.0,
    *,
    group: str = "task",
) -> TreeRow:
    """A row by hand; trained on wholly unless a mask is given."""
    size = len(completion)
    trained = np.ones(size, np.bool_) if mask is None else np.asarray(mask, np.bool_)
    return TreeRow(
        np.asarray(prompt, np.int32),
        np.asarray(completion, np.int32),
        trained,
        np.where(trained, behaviour, 0).astype(np.float32),
        np.where(trained, advantages, 0).astype(np.float32),
        group,
        0,
    )


def forest(shape: str, seed: int, words: int, prompt: int = 4) -> list[TreeRow]:
    """Rows of random trees, each trained turn in one row, as `packing.rows` makes them; tokens are 1..words."""
    draw = np.random.default_rng(seed)
    trees = {"chain": 1, "group": 1, "tree": 1}.get(shape, 3)
    opening = draw.integers(1, words + 1, prompt) if shape == "shared" else np.zeros(0, int)
    found = []
    for number in range(trees):
        start = np.concatenate([opening, draw.integers(1, words + 1, draw.integers(1, 2 * prompt))])
        found += _tree(
            draw,
            words,
            start,
            rollouts=1 if shape == "chain" else 4,
            flat=shape in ("group", "chain"),
            name=str(number),
        )
    return found


def _tree(
    draw: np.random.Generator, words: int, start: np.ndarray, *, rollouts: int, flat: bool, name: str
) -> list[TreeRow]:
    found: list[TreeRow] = []
    for _ in range(rollouts):
        before = None if flat or not found or draw.random() < 0.4 else found[draw.integers(len(found))]
        kept = 0 if before is None else int(draw.integers(1, len(before.completion_ids) + 1))
        size = int(draw.integers(1, 9))
        mask = draw.random(size) < 0.7
        mask[-1] = True
        advantages = np.where(mask, draw.normal(size=size), 0)
        shared = np.zeros(0, int) if before is None else before.completion_ids[:kept]
        found.append(
            row(
                start,
                np.concatenate([shared, draw.integers(1, words + 1, size)]),
                np.concatenate([np.zeros(kept), advantages]),
                np.concatenate([np.zeros(kept, int), mask]),
                np.concatenate([np.zeros(kept), -draw.uniform(0.5, 4, size)]),
                group=name,
            )
        )
    return found
