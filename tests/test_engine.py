"""The engine on a toy world with a scripted policy: trees, rounds, budgets and failures, worked out by hand."""

import numpy as np
import pytest

from treeroll.allocation.base import Allocation
from treeroll.engine import Engine
from treeroll.envs.base import Done, Observation, World
from treeroll.errors import EnvError, SamplerError
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.tree import Anchor, RolloutTree, Task, tree_to_json

WORDS = [".", "walk", "say", "fail", "tick", "q", "1", "2", "3", "4", "5", "6"]


class Corridor:
    """Walk `length` steps, then say: reward 1 if nothing was walked too far."""

    def reset(self, task: Task) -> None:
        self.length, self.walked = task.data["length"], 0

    def step(self, action: str) -> Observation | Done:
        if action == "fail":
            raise EnvError("the floor broke")
        if action == "say":
            return Done(1.0 if self.walked == self.length else 0.0)
        self.walked += 1
        return Observation("tick " + str(self.walked))


class Words:
    stop_ids = frozenset([0])

    def prompt(self, question: str) -> np.ndarray:
        return self._ids(question)

    def action(self, token_ids: np.ndarray) -> str:
        return " ".join(WORDS[index] for index in token_ids if index)

    def observation(self, text: str, *, stopped: bool) -> np.ndarray:
        return self._ids(text if stopped else ". " + text)

    def _ids(self, text: str) -> np.ndarray:
        return np.asarray([WORDS.index(word) for word in text.split()], np.int32)


def world(**changes: object) -> World:
    tasks = [Task(f"t{length}", f"q {length}", {"length": length}) for length in (1, 2, 3)]
    return World(
        **{"name": "corridor", "train": tasks, "test": [], "make": Corridor, "max_turns": 6, "turn_tokens": 2} | changes
    )


def walk_then_say(history: list[str], rng: np.random.Generator) -> list[str]:
    return ["walk", "."] if history.count("walk") < int(history[1]) else ["say", "."]


def at(anchors: list[Anchor], counts: list[int]) -> Allocation:
    blank = np.full(len(anchors), np.nan)
    return Allocation(tuple(anchors), np.asarray(counts), blank, blank, blank, sum(counts))


def engine(policy=walk_then_say, **changes: object) -> Engine:
    return Engine(world(**changes), ScriptedSampler(policy, WORDS), Words(), seed=7)


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


def test_local_rounds_start_as_soon_as_their_task_is_in():
    asked: list[tuple[str, int]] = []
    waves: list[int] = []

    class Watching(ScriptedSampler):
        def sample(self, requests):
            waves.append(len(requests))
            return super().sample(requests)

    it = Engine(world(), Watching(walk_then_say, WORDS), Words(), seed=7)

    def branch(tree: RolloutTree) -> Allocation:
        asked.append((tree.task.id, len(waves)))
        return at([Anchor(tree, tree.prefixes[0])], [1])

    forest = it.plant([world().train[0], world().train[2]], step=1)
    trees = it.extend(forest, at([Anchor(tree) for tree in forest], [1, 1]), [branch])
    assert asked == [("t1", 2), ("t3", 4)]  # t1 is in after 2 waves and does not wait for t3
    assert waves == [2, 2, 2, 1, 1, 1, 1]
    assert [len(tree.leaves) for tree in trees] == [2, 2]
    assert it.spent.rollouts == 4


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
