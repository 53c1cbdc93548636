"""The world in the engine with a scripted policy: bare rollouts, and a continuation from the middle of one."""

import numpy as np

from corridor import at
from treeroll import envs
from treeroll.engine import Engine
from treeroll.envs.bfcl.entries import find
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.tree import Anchor

NAME = "multi_turn_miss_func_0"
WORLD = envs.load("bfcl")


class Texts:
    """Each text is one token; token 0 ends a turn."""

    stop_ids = frozenset([0])

    def __init__(self) -> None:
        self.words = ["."]

    def prompt(self, question: str) -> np.ndarray:
        return self._ids(question)

    def action(self, token_ids: np.ndarray) -> str:
        return " ".join(self.words[index] for index in token_ids if index)

    def observation(self, text: str, *, stopped: bool) -> np.ndarray:
        assert stopped
        return self._ids(text)

    def _ids(self, text: str) -> np.ndarray:
        if text not in self.words:
            self.words.append(text)
        return np.asarray([self.words.index(text)], np.int32)


def test_a_failed_rollout_is_mended_from_its_middle() -> None:
    dialogue, script = Texts(), []
    for turn in find(NAME).truth:
        script += [f"[{', '.join(turn)}]", "Done."] if turn else ["Done."]
    for action in script:
        dialogue.observation(action, stopped=True)  # so that the sampler knows its words
    careless = [True]

    def policy(history: list[str], draw: np.random.Generator) -> list[str]:
        place = (len(history) - 1) // 3  # the prompt, then action, stop and observation a turn
        forgets = careless[0] and place == 5
        return ["Done." if forgets else script[place], "."]

    sampler = ScriptedSampler(policy, dialogue.words)
    sampler.words = dialogue.words  # observations add to them
    engine = Engine(WORLD, sampler, dialogue, seed=0)
    (task,) = [task for task in (*WORLD.train, *WORLD.test) if task.id == NAME]
    (tree,) = engine.plant([task], step=1)
    (tree,) = engine.extend([tree], at([Anchor(tree)], [2]))
    assert [tree.nodes[leaf].reward for leaf in tree.leaves] == [0.0, 0.0]
    assert {tree.nodes[leaf].observation for leaf in tree.leaves} == {"no call in user turn 4"}

    careless[0] = False
    anchor = tree.path(tree.leaves[0])[5]  # the fifth turn: the user has just announced the function that was missing
    assert "What about now?\nsort(file_name)" in tree.nodes[anchor].observation
    (grown,) = engine.extend([tree], at([Anchor(tree, anchor)], [2]))
    new = [leaf for leaf in grown.leaves if leaf not in tree.leaves]
    assert [grown.nodes[leaf].reward for leaf in new] == [1.0, 1.0]
    assert {grown.nodes[leaf].origin.kind for leaf in new} == {"continuation"}
    assert [grown.nodes[leaf].reward for leaf in tree.leaves] == [0.0, 0.0]


def test_random_actions_are_calls_of_the_task_or_none() -> None:
    draw, task = np.random.default_rng(0), WORLD.train[0]
    assert WORLD.actions is not None
    seen = {WORLD.actions(task, draw) for _ in range(60)}
    assert "Done." in seen
    assert len(seen) > 3
    env = WORLD.make()
    env.reset(task)
    for action in sorted(seen - {"Done."}):
        assert not env.step(action).text.startswith("Malformed")
