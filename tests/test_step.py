"""Whole steps of the default size, with the packaged model: what they may spend and what they carry on."""

import pytest

from treeroll import methods
from treeroll.build import build
from treeroll.config import Config
from treeroll.step import train_step

STEPS = 3
"""Enough for the predictor: its default warm-up of 128 rollouts ends within the first two steps."""


@pytest.mark.parametrize("method", methods.names())
def test_a_step_never_overspends_and_what_is_left_is_carried(method):
    config = Config.resolve([f"method={method}", "evaluation.tasks=1"])
    parts = build(config)
    carried, before = 0, 0
    for step in range(1, STEPS + 1):
        record, forest, left = train_step(parts, step, carried)
        spent = parts.engine.spent.rollouts - before
        assert spent == sum(len(tree.leaves) for tree in forest)
        assert 0 < spent <= 128 + carried
        assert left == 128 + carried - spent
        assert (record["allocation"]["budget"], record["allocation"]["left"]) == (128 + carried, left)
        assert record["spent"]["rollouts"] == before + spent <= 128 * step
        carried, before = left, before + spent
    assert parts.predictor.informed == (methods.get(method).predictor == "head")


def test_by_default_only_trees_without_a_contrast_get_continuations_and_the_others_share_is_carried():
    parts = build(Config.resolve(["evaluation.tasks=1"]))
    record, forest, left = train_step(parts, step=1, carried=0)
    assert record["allocation"]["groups"] == {"8": 12}  # 102 bare rollouts: 12 groups of 8, and 6 that fill none
    mixed = [len({tree.succeeded(leaf) for leaf in tree.bare_leaves}) == 2 for tree in forest]
    continuations = [len(tree.leaves) - 8 for tree in forest]
    assert continuations == [0 if contrast else 2 for contrast in mixed]  # a quarter of 8
    assert left == 128 - 12 * 8 - 2 * mixed.count(False)
    assert 0 < mixed.count(True) < 12
