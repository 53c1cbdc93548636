"""From a configuration to the parts of a run; everything that can be known beforehand is checked here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from treeroll import credit, envs, methods, predictor
from treeroll.allocation.base import Allocator
from treeroll.budget import Spent
from treeroll.clock import Clock
from treeroll.config import Config
from treeroll.credit.base import Estimator
from treeroll.engine import Engine
from treeroll.envs.atlas import compact
from treeroll.envs.base import World
from treeroll.learner.checkpoint import load_optimizer, read_predictor, read_state
from treeroll.learner.policy import Policy, check_model, load_policy
from treeroll.learner.update import Learner
from treeroll.predictor.base import Predictor
from treeroll.samplers.base import Dialogue
from treeroll.samplers.dialogue import ChatDialogue, CompletionDialogue, PlainDialogue
from treeroll.samplers.local import LocalSampler
from treeroll.tasks import TaskStream
from treeroll.tree import Task

SMALL = 5_000_000
"""Below this many parameters one thread is faster than two: the matrices are too small to share."""

LONGEST = 32
"""How many of the longest prompts are measured against the context before a run starts."""


@dataclass(eq=False)
class Parts:
    """What a run is made of."""

    config: Config
    world: World
    policy: Policy
    sampler: LocalSampler
    engine: Engine
    examiner: Engine
    """Plays held-out tasks; its spending is not part of the training budget."""
    held_out: list[Task]
    stream: TaskStream
    rounds: tuple[Allocator, ...]
    predictor: Predictor
    credit: Estimator
    learner: Learner
    clock: Clock


def build(config: Config, checkpoint: Path | None = None) -> Parts:
    """Returns the parts of a run, as new or as a checkpoint left them.

    Raises:
      ConfigError, DataError, SamplerError: something cannot work; nothing was sampled or written yet.
    """
    method = methods.get(config.method)
    rounds = method.rounds(config.budget.options())
    check_model(config.model)
    world = load_world(config)
    stream = TaskStream(world.train, config.pool(len(world.train)), config.seed)
    torch.manual_seed(config.seed)
    policy = load_policy(
        str(checkpoint / "model") if checkpoint else config.model, device=_device(config.device), dtype=config.dtype
    )
    policy.name = config.model
    torch.set_num_threads(config.threads or (1 if policy.parameters < SMALL else os.cpu_count() or 1))
    if config.learner.train_layers is not None:
        policy.train_top_layers(config.learner.train_layers)
    dialogue = load_dialogue(config, world, policy)
    sampling = config.sampling
    sampler = LocalSampler(
        policy.model,
        stop_ids=dialogue.stop_ids,
        temperature=sampling.temperature,
        batch=sampling.batch,
        context=policy.context,
    )
    engine, examiner = (
        Engine(
            world,
            sampler,
            dialogue,
            seed=config.seed,
            max_turns=sampling.max_turns,
            turn_tokens=sampling.turn_tokens,
            forks=forks,
        )
        for forks in (len(rounds) > 1, False)
    )
    held_out = list(world.test[: config.evaluation.tasks])
    for task in sorted((*held_out, *world.train), key=lambda task: -len(task.prompt))[:LONGEST]:
        engine.prompt(task)
    learner = Learner(
        policy,
        learning_rate=config.learner.learning_rate,
        weight_decay=config.learner.weight_decay,
        clip_low=config.learner.clip_low,
        clip_high=config.learner.clip_high,
        gradient_clip=config.learner.gradient_clip,
        updates=config.learner.updates,
        micro_tokens=config.learner.micro_tokens,
        temperature=sampling.temperature,
    )
    forecaster = predictor.get(
        config.predictor.name,
        seed=config.seed,
        forgetting=config.predictor.forgetting,
        warmup=config.predictor.warmup,
    )
    if checkpoint:
        state = read_state(checkpoint)
        policy.version = sampler.version = state["policy_version"]
        engine.spent = Spent(**state["spent"])
        load_optimizer(checkpoint, learner.optimizer)
        forecaster.load_state_dict(read_predictor(checkpoint))
    estimator = credit.get(config.learner.credit)
    return Parts(
        config, world, policy, sampler, engine, examiner, held_out, stream, rounds, forecaster, estimator, learner,
        Clock(),
    )  # fmt: skip


def load_world(config: Config) -> World:
    """Returns the world of a run, worded for its model, with the user's own training tasks if there are any."""
    return envs.load(config.env, rendering=rendering(config), seed=0, data=config.world.data)


def rendering(config: Config) -> str:
    """Returns how the world is worded: compact for the packaged model, prose for any other."""
    if config.world.rendering != "auto":
        return config.world.rendering
    return "compact" if config.model == "tiny" else "prose"


def load_dialogue(config: Config, world: World, policy: Policy) -> Dialogue:
    """Returns how an episode becomes tokens for this model."""
    kind = config.sampling.dialogue
    if kind == "auto":
        chat = getattr(policy.tokenizer, "chat_template", None)
        kind = "plain" if rendering(config) == "compact" else "chat" if chat else "completion"
    if kind == "plain":
        return PlainDialogue(policy.tokenizer, compact.STOP)
    dialogue = ChatDialogue if kind == "chat" else CompletionDialogue
    return dialogue(policy.tokenizer, world.instructions, world.examples)


def plan(config: Config) -> str:
    """Checks everything that a run needs and returns what it would do and cost; nothing is sampled or written.

    Raises:
      ConfigError, DataError, SamplerError: as `build`.
    """
    parts = build(config)
    budget, method = config.budget, methods.get(config.method)
    evaluations = len({0, config.steps} | set(range(0, config.steps + 1, config.evaluation.every or config.steps)))
    turns = parts.engine.max_turns
    lines = [
        f"method      {method.name}: {method.summary}",
        f"world       {parts.world.name}: {len(parts.world.train)} training tasks, {len(parts.world.test)} held out",
        f"model       {config.model}: {parts.policy.parameters:,} parameters on {parts.policy.model.device}, "
        f"{sum(parameter.numel() for parameter in parts.policy.trainable()):,} trained",
        f"steps       {config.steps} of {budget.rollouts} rollouts: {config.steps * budget.rollouts:,} rollouts, "
        f"at most {turns} turns of {parts.engine.turn_tokens} tokens each",
        f"evaluation  {evaluations} times {len(parts.held_out)} held-out tasks, one rollout each",
        f"predictor   {config.predictor.name}, credit {config.learner.credit}",
        f"seed        {config.seed}",
        f"writes      {config.run_dir()}",
    ]
    return "\n".join(lines)


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
