"""Worlds of free text driven by a script: every message is one token, so a scripted policy can say anything.

`trace_step` samples a TRACE allocation with continuations, credits the trees and updates a small random model on their
rows: a whole training step on any world, without a model that speaks its language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from treeroll import credit, methods, packing
from treeroll.engine import Engine
from treeroll.envs.base import Done, Env, Observation, World
from treeroll.envs.forking import Ladder
from treeroll.learner.policy import Policy
from treeroll.learner.update import Learner
from treeroll.methods.base import RoundOptions
from treeroll.predictor import DepthCost, OraclePredictor
from treeroll.rounds import Rounds
from treeroll.samplers.scripted import ScriptedSampler
from treeroll.tree import RolloutTree, Task

Script = Callable[[list[str], np.random.Generator], str]
"""Maps the messages of a history (prompt, action, observation, ...) to the next action."""


class Spoken:
    """A dialogue whose tokens are whole messages; it learns the words as they come."""

    stop_ids = frozenset([0])

    def __init__(self) -> None:
        self.words = ["<stop>"]

    def index(self, text: str) -> int:
        if text not in self.words:
            self.words.append(text)
        return self.words.index(text)

    def prompt(self, question: str) -> np.ndarray:
        return np.asarray([self.index(question)], np.int32)

    def action(self, token_ids: np.ndarray) -> str:
        return self.words[token_ids[0]]

    def observation(self, text: str, *, stopped: bool) -> np.ndarray:
        assert stopped
        return np.asarray([self.index(text)], np.int32)


def engine(world: World, script: Script, seed: int = 7) -> Engine:
    dialogue = Spoken()

    def policy(history: list[str], rng: np.random.Generator) -> list[str]:
        said = script([word for word in history if word != "<stop>"], rng)
        dialogue.index(said)
        return [said, "<stop>"]

    sampler = ScriptedSampler(policy, [])
    sampler.words = dialogue.words
    return Engine(world, sampler, dialogue, seed=seed)


def trace_step(world: World, script: Script, rollouts: int = 30) -> list[RolloutTree]:
    """Returns the trees of a TRACE step that has been trained on; asserts that it branched and that weights moved."""
    it = engine(world, script)
    knows = OraclePredictor(lambda anchors: (np.full(len(anchors), 0.5), np.ones(len(anchors))))
    knows.cost = DepthCost("rollouts", longest=world.max_turns)
    rules = methods.get("trace").rounds(RoundOptions(group=4, mixed_weight=1.0, explore=0.0))
    rounds = Rounds(it, rules, knows, seed=7, continuations=0.5)
    forest = rounds.spend(it.plant(world.train, step=1), rollouts, step=1)
    assert 0 < it.spent.rollouts <= rollouts
    assert any(node.origin is not None and node.origin.kind == "continuation" for tree in forest for node in tree.nodes)
    credited = [credit.get("sibling-tree")(tree, None) for tree in forest]
    rows = [row for tree, one in zip(forest, credited, strict=True) for row in packing.rows(tree, one)]
    words = it.dialogue.words
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    policy = Policy(LlamaForCausalLM(config), None, "spoken")
    before = [parameter.detach().clone() for parameter in policy.trainable()]
    Learner(policy, learning_rate=1e-3).update(rows, packing.denominator(forest, credited, "tokens"))
    assert any(not torch.equal(old, new) for old, new in zip(before, policy.trainable(), strict=True))
    return forest


def play(env: Env, actions: Sequence[str]) -> list[Observation | Done]:
    return [env.step(action) for action in actions]


def assert_forks_exactly(world: World, task: Task, actions: Sequence[str], other: str, method: str) -> None:
    """Forks at every turn: two forks end as the unforked run did, though another one went elsewhere in between.

    Args:
      actions: a whole episode.
      other: an action that changes something, if only the count of turns.
      method: the rung of the ladder that must have been taken.
    """
    plain = world.make()
    plain.reset(task)
    whole = play(plain, actions)
    assert isinstance(whole[-1], Done)
    ladder, parent, kept = Ladder(world), world.make(), []
    parent.reset(task)
    for action in actions[:-1]:
        parent.step(action)
        kept.append(ladder.keep(parent))
    assert ladder.method == method
    history = [(action, said.text) for action, said in zip(actions, whole, strict=True)]
    for turn, fork in enumerate(kept, start=1):
        ladder.go_on(fork, task, history[:turn]).step(other)
        for _ in range(2):
            assert play(ladder.go_on(fork, task, history[:turn]), actions[turn:]) == whole[turn:]
    assert parent.step(actions[-1]) == whole[-1]


def from_page(adapter: str) -> dict[str, Any]:
    """Returns what the code of docs/adapters.md for an adapter defines."""
    page = (Path(__file__).parents[1] / "docs" / "adapters.md").read_text(encoding="utf-8")
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if f"adapters import {adapter}\n" in block
    ]
    defined: dict[str, Any] = {"__name__": f"page_{adapter}"}
    exec(compile(code, f"docs/adapters.md, {adapter}", "exec"), defined)
    return defined
