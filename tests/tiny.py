"""A tiny model that plays in seconds, and tasks that it solves half the time: drives whole runs in tests.

The model looks something up once or twice, then answers one of two words at random; which of them is right depends
on the task. So groups are mixed, trees branch, and there is something to learn.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import torch

from treeroll import cli, envs, methods
from treeroll.envs.atlas import compact
from treeroll.samplers.dialogue import PlainDialogue
from treeroll.seeding import generator
from treeroll.tree import Task
from treeroll.warmup import _row, build

ANSWERS = ("france", "japan")
LOOKUP = "CAPITAL search france CAPITAL E"
STEPS, BATCH = 80, 4


OPTIONS = {
    "world.rendering": "compact",
    "budget.rollouts": 32,
    "budget.pool": 8,
    "budget.group": 4,
    "predictor.warmup": 16,
    "learner.learning_rate": 1.5e-3,
    "learner.rise": 1,
    "evaluation.tasks": 6,
    "evaluation.every": 2,
    "checkpoint_every": 2,
    "report": "false",
}
"""Options of a run of about 0.2 CPU-seconds a step."""
BRANCHING = {
    "budget.continuations": 0.25,
    "budget.mixed_weight": 1.0,
    "budget.blind": "false",
    "budget.max_per_prefix": 2,
    "budget.scope": "task",
    "budget.worth": 0.0,
}
"""Those with which a method that branches has continuations in every step."""


def make_model(folder: Path) -> Path:
    """Trains the model and saves it with its tokenizer; about 1 CPU-second."""
    torch.manual_seed(0)
    policy = build(compact.vocabulary(compact.known()))
    dialogue = PlainDialogue(policy.tokenizer, compact.STOP)
    tasks = envs.load("atlas", rendering="compact").train
    optimizer = torch.optim.AdamW(policy.trainable(), lr=5e-3)
    for step in range(STEPS):
        draw = generator(0, "tiny", step)
        rows = [_row(dialogue, tasks[draw.integers(len(tasks))], _episode(draw)) for _ in range(BATCH)]
        logprobs, _ = policy.logprobs(rows, temperature=1.0)
        optimizer.zero_grad()
        (-logprobs.mean()).backward()
        optimizer.step()
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


def write_tasks(path: Path, count: int = 24) -> Path:
    """Writes a task file with the two answers in turn."""
    asked = envs.load("atlas", rendering="compact").train[:count]
    lines = [
        {"id": f"own-{number}", "prompt": task.prompt, "data": {"answer": ANSWERS[number % 2]}}
        for number, task in enumerate(asked)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _episode(draw) -> list[tuple[str, str]]:
    env = compact.CompactEnv(compact.known())
    env.reset(Task("tiny", "", {"answer": ""}))
    looked = [(LOOKUP, env.step(LOOKUP).text) for _ in range(draw.integers(1, 3))]
    return [*looked, (f"done answer {ANSWERS[draw.integers(2)]} E", "")]


def words(directory: Path, tasks: Path, **changed: object) -> list[str]:
    """Returns the command line of a small run; in `changed`, `__` stands for a dot."""
    options = {"model": directory, "world.data": tasks, **OPTIONS}
    changed = {key.replace("__", "."): value for key, value in changed.items()}
    method = methods.METHODS.get(str(changed.get("method", "trace")))
    if method is not None and "worth" in method.uses:
        options |= BRANCHING
    options |= changed
    return ["train", *(f"{key}={value}" for key, value in options.items())]


def printed(arguments: Sequence[str]) -> list[str]:
    """Runs a command that must succeed and returns the lines that it printed."""
    with redirect_stdout(io.StringIO()) as out:
        assert cli.main(list(arguments)) == 0
    return out.getvalue().splitlines()
