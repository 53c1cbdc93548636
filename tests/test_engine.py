"""The engine on a toy world with a scripted policy: trees, rounds, budgets and failures, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from corridor import WORDS, Words, at, engine, walk_then_say, world
from treeroll.allocation.base import Allocation
from treeroll.engine import Engine
from treeroll.errors import SamplerError
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.tree import Anchor, RolloutTree
from treeroll.treefile import tree_to_json

pytestmark = pytest.mark.usefixtures("either_way")


def test_bare_rollouts_store_each_turn_once_and_exactly():
    it = engine()
    (tree,) = it.plant([world().train[1]], step=1)
    (tree,) = it.extend([tree], at([Anchor(tree)], [1]))
    assert [node.text for node in tree.nodes] == ["q 2", "walk", "walk", "say"]
    assert " ".join(WORDS[i] for i in tree.token_ids(3)) == "q 2 walk . tick 1 walk . tick 2 say ."
    assert tree.nodes[1].sampled_mask.tolist() == [True, True, False, False]
    assert tree.nodes[3].reward == 1.0
    assert tree.nodes[3].stop_reason == "answer"
    assert (it.spent.rollouts, it.spent.turns, it.spent.sampled_tokens, it.spent.tool_calls) == (1, 3, 6, 2)


def test_continuation_starts_from_the_middle_and_leaves_its_parent_alone():
    it = engine()
    (tree,) = it.plant([world().train[2]], step=1)
    (bare,) = it.extend([tree], at([Anchor(tree)], [1]))
    (grown,) = it.extend([bare], at([Anchor(bare, 2)], [2]))
    assert [tree_to_json(grown)["nodes"][i] for i in range(5)] == [tree_to_json(bare)["nodes"][i] for i in range(5)]
    assert grown.children(2) == (3, 5, 6)
    assert {grown.nodes[leaf].reward for leaf in grown.leaves} == {1.0}
    assert grown.nodes[5].origin.kind == "continuation"
    assert (grown.nodes[5].origin.anchor, grown.nodes[5].origin.outcome) == (2, 1.0)


def test_an_origin_says_what_its_rule_relied_on():
    it = engine()
    (tree,) = it.plant([world().train[2]], step=1)
    (bare,) = it.extend([tree], replace(at([Anchor(tree)], [1]), blind=True))
    told = {"scores": np.array([0.2, 0.1]), "promised": np.array([0.15, 0.1]), "price": 0.05, "blind": True}
    (grown,) = it.extend([bare], replace(at([Anchor(bare, 1), Anchor(bare, 2)], [2, 1]), **told))
    (plain,) = it.extend([grown], at([Anchor(grown, 2)], [1]))
    origins = list(dict.fromkeys(node.origin for node in plain.nodes[1:]))
    assert [(one.kind, one.blind, one.score, one.promised, one.price) for one in origins] == [
        ("bare", None, None, None, None),  # no outcome could have been looked at
        ("continuation", True, 0.2, 0.15, 0.05),
        ("continuation", True, 0.1, 0.1, 0.05),
        ("continuation", None, None, None, None),  # its rule does not say
    ]
    assert [one.outcome for one in origins] == [None, 1.0, 1.0, 1.0]


def test_the_next_round_starts_as_soon_as_its_task_is_in_and_ends_when_nothing_is_allocated():
    asked: list[tuple[str, int, int]] = []
    waves: list[int] = []

    class Watching(ScriptedSampler):
        def sample(self, requests):
            waves.append(len(requests))
            return super().sample(requests)

    it = Engine(world(), Watching(walk_then_say, WORDS), Words(), seed=7, playing="waves")

    def branch(tree: RolloutTree) -> Allocation:
        asked.append((tree.task.id, len(waves), len(tree.leaves)))
        return at([Anchor(tree, tree.prefixes[0])], [1]) if len(tree.leaves) < 2 else at([], [])

    forest = it.plant([world().train[0], world().train[2]], step=1)
    trees = it.extend(forest, at([Anchor(tree) for tree in forest], [1, 1]), branch)
    # t1 is in after 2 waves and does not wait for t3
    assert asked == [("t1", 2, 1), ("t1", 3, 2), ("t3", 4, 1), ("t3", 7, 2)]
    assert waves == [2, 2, 2, 1, 1, 1, 1]
    assert [len(tree.leaves) for tree in trees] == [2, 2]
    assert [[tree.nodes[leaf].origin.round for leaf in tree.leaves] for tree in trees] == [[0, 1], [0, 1]]
    assert it.spent.rollouts == 4


def test_a_tree_that_waits_gets_its_next_round_though_nothing_else_is_sampled():
    it = engine()
    forest = it.plant(world().train[:2], step=1)
    first, idle = it.extend(forest, at([Anchor(forest[0])], [1]))

    def once_more(tree: RolloutTree) -> Allocation:
        return at([Anchor(tree)], [1]) if len(tree.leaves) < 2 else at([], [])

    first, idle = it.extend([first, idle], at([], []), once_more)
    assert (len(first.leaves), len(idle.leaves)) == (2, 0)
    assert [first.nodes[leaf].origin.round for leaf in first.leaves] == [0, 1]
    assert {first.nodes[leaf].origin.kind for leaf in first.leaves} == {"bare"}


def test_a_probe_tells_success_and_cost_and_leaves_no_trace():
    it = engine(lambda history, rng: [["walk", "."], ["say", "."]][int(rng.random() < 0.5)])
    forest = it.plant(world().train, step=1)
    tree = it.extend(forest, at([Anchor(forest[1])], [1]))[1]
    spent = it.spent
    success, cost = it.probe([Anchor(tree), Anchor(forest[0])], 400, "turns")
    assert success == pytest.approx([1 / 8, 1 / 4], abs=0.07)  # walk "length" times, then say: (1/2)^(length + 1)
    assert cost == pytest.approx([2, 2], abs=0.25)  # geometric with p = 1/2, cut at 6 turns
    assert it.spent == spent
    again = it.extend([tree], at([], []))[0]
    assert tree_to_json(again) == tree_to_json(tree)


def test_a_failing_environment_is_a_failed_rollout_with_its_cause():
    it = engine(lambda history, rng: ["fail", "."])
    (tree,) = it.plant([world().train[0]], step=1)
    (tree,) = it.extend([tree], at([Anchor(tree)], [1]))
    assert tree.nodes[1].stop_reason == "error: the floor broke"
    assert tree.nodes[1].reward == 0.0


def test_turn_limit_and_cut_turns():
    it = engine(lambda history, rng: ["walk", "walk", "walk"], max_turns=2)
    (tree,) = it.plant([world().train[0]], step=1)
    (tree,) = it.extend([tree], at([Anchor(tree)], [1]))
    assert tree.nodes[2].stop_reason == "turn limit"
    assert [WORDS[i] for i in tree.nodes[1].token_ids] == [
        "walk",
        "walk",
        ".",
        "tick",
        "1",
    ]  # the missing stop is added
    assert tree.nodes[1].sampled_mask.tolist() == [True, True, False, False, False]


def test_context_full_ends_the_rollout():
    it = engine(lambda history, rng: ["walk", "."])
    it.sampler.context = 9
    (tree,) = it.plant([world().train[0]], step=1)
    (tree,) = it.extend([tree], at([Anchor(tree)], [1]))
    assert tree.nodes[tree.leaves[0]].stop_reason == "token limit"
    assert len(tree.token_ids(tree.leaves[0])) <= 9


def test_prompt_over_the_context_names_the_task():
    it = engine()
    it.sampler.context = 3
    with pytest.raises(SamplerError, match=r"'t1' is 2 tokens.*context of 3"):
        it.plant(world().train, step=1)


def test_draws_have_addresses():
    def random_walk(history: list[str], rng: np.random.Generator) -> list[str]:
        return [["walk", "."], ["say", "."]][int(rng.random() < 0.4)]

    def forest(tasks):
        it = engine(random_walk)
        planted = it.plant(tasks, step=1)
        return it.extend(planted, at([Anchor(tree) for tree in planted], [4] * len(planted)))

    alone, together = forest(world().train[2:]), forest(world().train)
    for leaf in alone[0].leaves:
        np.testing.assert_array_equal(alone[0].token_ids(leaf), together[2].token_ids(leaf))
    assert len({len(tree.token_ids(leaf)) for tree in together for leaf in tree.leaves}) > 3
