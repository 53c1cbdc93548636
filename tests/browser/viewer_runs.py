"""Run folders for the browser: small ones whose numbers are known by hand, and a large one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from treeroll.sinks import RunFolder
from treeroll.tree import Node, Origin, RolloutTree, Task

BARE = Origin("bare", count=2, gain=0.5, rank=0, prediction=0.5, strength=4.0, cost=1.0)
FORKED = Origin(
    "continuation", round=1, anchor=3, count=2, gain=0.91, rank=1, prediction=0.7, strength=2.0, cost=1.0,
    outcome=0.0, propensity=0.25, blind=False,
)  # fmt: skip
BLIND = Origin(
    "continuation", round=1, anchor=3, count=4, gain=0.031, rank=0, prediction=0.0091, strength=1.04, cost=1.0,
    outcome=1.0, blind=True, score=0.0314, promised=0.0123, price=0.0021,
)  # fmt: skip
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> \u202e\x1b[2J"


def node(parent: int, text: str, seen: str = "", reward: float | None = None, origin: Origin = BARE) -> Node:
    """A turn of three sampled tokens; a leaf where a reward is given."""
    size = 0 if parent < 0 else 3
    return Node(
        parent, np.arange(size, dtype=np.int32), np.ones(size, np.bool_), np.full(size, -0.5, np.float32), text, seen,
        reward, None if reward is None else "answer", Origin("root") if parent < 0 else origin,
    )  # fmt: skip


def branched(name: str, step: int, why: Origin = FORKED) -> RolloutTree:
    """Two bare rollouts, one right (nodes 1, 2) and one wrong (3, 4); two continuations of node 3, one right (5)."""
    question = f"Which currency is used where {name} lies?"
    search = f"Thought: where is {name}?\nAction: search[{name}]"
    nodes = (
        node(-1, question),
        node(0, search, f"{name}: located in France. " + "A long fact. " * 40),
        node(1, "Thought: that settles it.\nAction: answer[euro]", reward=1.0),
        node(0, search, f"{name}: nothing found."),
        node(3, "Action: answer[dollar]", reward=0.0),
        node(3, "Action: answer[euro]", reward=1.0, origin=why),
        node(3, "Action: answer[franc]", reward=0.0, origin=why),
    )
    return RolloutTree(Task(name, question), nodes, step=step)


def flat(name: str, step: int, rewards: Sequence[float], text: str = "realm search lyon CAPITAL") -> RolloutTree:
    """Bare rollouts of two turns each."""
    nodes = [node(-1, f"Q {name} ? T")]
    for reward in rewards:
        nodes += [node(0, text, f"O CAPITAL {name} T"), node(len(nodes), "done answer paris", reward=reward)]
    return RolloutTree(Task(name, f"Q {name} ? T"), tuple(nodes), step=step)


def write_run(
    path: Path, steps: dict[int, list[RolloutTree]], credit: str = "group-unscaled", **config: dict[str, int]
) -> Path:
    """Writes a run folder with these trees."""
    folder = RunFolder.create(path, {"method": "trace", "env": "atlas", "learner": {"credit": credit}} | config, {})
    for step, trees in steps.items():
        folder.append_metrics({"step": step})
        folder.write_trees(step, trees)
    return folder.path


def small_run(path: Path, credit: str = "group-unscaled") -> Path:
    """Two steps; the second holds a success, a failure, a mixed tree, and a mixed one with continuations."""
    second = [
        flat("berlin", 2, [1, 1]),
        flat("rome", 2, [0, 0, 0]),
        flat("oslo", 2, [1, 0], text="Thought: a pangolin?\nAction: search[pangolin]"),
        branched("Lyon", 2),
    ]
    return write_run(path, {1: [branched("Nice", 1)], 2: second}, credit)


def large_run(path: Path, trees: int = 1000) -> Path:
    """One step of many trees, each of 50 nodes: 7 rollouts of 7 turns below the prompt."""
    grown = []
    for number in range(trees):
        nodes = [node(-1, f"question {number}")]
        for rollout in range(7):
            for turn in range(7):
                parent = 0 if turn == 0 else len(nodes) - 1
                reward = float((number + rollout) % 3 == 0) if turn == 6 else None
                nodes.append(node(parent, f"look up word {turn}", f"entry {number} of the book of facts", reward))
        grown.append(RolloutTree(Task(f"task-{number}", f"question {number}"), tuple(nodes), step=1))
    return write_run(path, {1: grown})
