"""From a configuration to the parts of a run; everything that can be known beforehand is checked here."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from treeroll import credit, methods, predictor
from treeroll.budget import Spent
from treeroll.clock import Clock
from treeroll.config import Config
from treeroll.credit.base import Estimator
from treeroll.engine import Engine, Playing
from treeroll.envs.atlas import compact
from treeroll.envs.base import World
from treeroll.errors import ConfigError, DataError
from treeroll.learner.checkpoint import load_optimizer, read_predictor, read_state
from treeroll.learner.lora import load_adapters
from treeroll.learner.policy import Policy, load_policy
from treeroll.learner.states import States
from treeroll.learner.twin import twin
from treeroll.learner.update import Learner
from treeroll.models import check_model
from treeroll.parallel import ParallelEngine
from treeroll.predictor.base import Predictor
from treeroll.predictor.encoders import Encoder, HiddenEncoder
from treeroll.preflight import check_processes, load_world, longest, rendering
from treeroll.ranks import Ranks
from treeroll.rounds import Rounds
from treeroll.samplers.base import Dialogue, Sampler
from treeroll.samplers.dialogue import ChatDialogue, CompletionDialogue, PlainDialogue
from treeroll.samplers.local import LocalSampler
from treeroll.samplers.remembering import RememberingDialogue
from treeroll.samplers.vllm.terms import Terms
from treeroll.seeding import derive
from treeroll.sinks import check_free
from treeroll.tasks import TaskStream
from treeroll.tree import Task

SMALL = 5_000_000
"""Below this many parameters one thread is faster than two: the matrices are too small to share."""

PROBES = 16
"""Uncharged rollouts from each anchor that the oracle predictor is told of."""

UNPROBED = frozenset(predictor.NAMES) - {"oracle"}
"""Predictors that never sample from a prefix of their own accord."""

FIXED = (
    "method", "env", "model", "seed", "out", "world.rendering", "world.data", "predictor.name", "predictor.encoder",
    "budget.unit", "learner.train_layers", "learner.lora",
)  # fmt: skip
"""Options that a run keeps for life: with another value, the steps before would belong to another run."""
MOVABLE = frozenset(["cache", "retrieval"])
"""Options of worlds that may change: where something lies, not what it is (a server may get another address)."""


@dataclass(eq=False)
class Parts:
    """What a run is made of."""

    config: Config
    world: World
    policy: Policy
    sampled: Policy
    """The policy as the sampler has it: the same, or where sampling runs ahead of learning, a copy that lags behind."""
    sampler: Sampler
    engine: Engine
    examiner: Engine
    """Plays held-out tasks; its spending is not part of the training budget."""
    held_out: list[Task]
    stream: TaskStream
    rounds: Rounds
    predictor: Predictor
    credit: Estimator
    learner: Learner
    clock: Clock
    ranks: Ranks


def build(config: Config, checkpoint: Path | None = None, ranks: Ranks | None = None) -> Parts:
    """Returns the parts of a run, as new or as a checkpoint left them; of one of several processes, where there are.

    Raises:
      ConfigError, DataError, SamplerError: something cannot work; nothing was sampled or written yet.
    """
    ranks = ranks or Ranks()
    check_processes(config, ranks.count)
    method = methods.get(config.method)
    rules = method.rounds(config.budget.options())
    check_model(str(checkpoint / "model") if checkpoint else config.model)
    world = load_world(config)
    stream = TaskStream(world.train, config.pool(len(world.train)), config.seed)
    policy = _policy(config, checkpoint, ranks)
    sampled = twin(policy) if config.sampling.staleness else policy
    dialogue = RememberingDialogue(load_dialogue(config, world, policy))
    sampler = _sampler(config, sampled, dialogue, checkpoint)
    forks = method.branches or config.predictor.name not in UNPROBED
    playing = _playing(config, sampler)
    engine, examiner = (
        _engine(config, world, sampler, dialogue, ranks, forks=branches, playing=playing, everywhere=training)
        for branches, training in ((forks, True), (False, False))
    )
    held_out = list(world.test[: config.evaluation.tasks])
    _check_prompts(engine, [*held_out, *world.train])
    learner = _learner(config, policy, ranks)
    unit = config.budget.unit
    forecaster = predictor.get(
        config.predictor.name,
        seed=config.seed,
        forgetting=config.predictor.forgetting,
        warmup=config.predictor.warmup,
        unit=unit,
        longest=longest(config, world),
        encoder=_encoder(config, sampled),
        model=config.model,
        device=str(policy.model.device),
        probe=lambda anchors: engine.probe(anchors, PROBES, unit),
        samples=PROBES,
    )
    estimator = credit.get(config.learner.credit)
    clock = Clock(time.thread_time if config.sampling.staleness else None)
    rounds = Rounds(engine, rules, forecaster, config.seed, config.budget.unit, config.budget.continuations, clock)
    parts = Parts(
        config, world, policy, sampled, sampler, engine, examiner, held_out, stream, rounds, forecaster, estimator,
        learner, clock, ranks,
    )  # fmt: skip
    if checkpoint:
        _restore(parts, checkpoint)
    return parts


def _sampler(config: Config, policy: Policy, dialogue: Dialogue, checkpoint: Path | None) -> Sampler:
    """Returns what samples from a policy; see `sampling.backend`.

    Raises:
      SamplerError, ConfigError, MissingExtraError: it cannot sample from it.
    """
    sampling, stop_ids = config.sampling, dialogue.stop_ids
    if sampling.backend == "local":
        return LocalSampler(
            policy.model,
            stop_ids=stop_ids,
            temperature=sampling.temperature,
            batch=sampling.batch,
            context=policy.context,
        )
    terms = Terms(stop_ids, sampling.temperature, int(policy.model.config.vocab_size), policy.context)
    shared: dict[str, Any] = {"batch": sampling.batch, "tolerance": sampling.tolerance}
    if sampling.backend == "vllm":
        from treeroll.samplers.vllm.colocated import ColocatedSampler

        model = check_model(str(checkpoint / "model") if checkpoint else config.model)
        dtype = "bfloat16" if policy.rounds else "float32"
        return ColocatedSampler(model, policy, terms, dtype=dtype, memory=sampling.memory, **shared)
    from treeroll.samplers.vllm.server import ServerSampler

    patience, folder = sampling.patience, sampling.weights
    return ServerSampler(sampling.backend, policy, terms, patience=patience, folder=folder, **shared)


def _encoder(config: Config, policy: Policy) -> str | Encoder:
    """Returns the predictor's encoder: `hidden` computes the states itself where the sampler has none to give."""
    if config.predictor.encoder != "hidden" or config.sampling.backend == "local":
        return config.predictor.encoder
    return HiddenEncoder(seed=config.seed, states=States(policy, config.learner.micro_tokens))


def _engine(
    config: Config, world: World, sampler: Sampler, dialogue: Dialogue, ranks: Ranks, *, forks: bool, playing: Playing,
    everywhere: bool,
) -> Engine:  # fmt: skip
    sampling = config.sampling
    make = Engine if ranks.count == 1 else partial(ParallelEngine, ranks=ranks, everywhere=everywhere)
    return make(
        world,
        sampler,
        dialogue,
        seed=config.seed,
        max_turns=sampling.max_turns,
        turn_tokens=sampling.turn_tokens,
        forks=forks,
        tool_workers=sampling.tool_workers,
        tool_seconds=sampling.tool_seconds,
        tool_errors=sampling.tool_errors,
        playing=playing,
    )


def _playing(config: Config, sampler: Sampler) -> Playing:
    """Returns how rollouts advance.

    Raises:
      ConfigError: they cannot advance like that.
    """
    probes = config.predictor.name == "oracle"
    if config.sampling.engine == "stream" and probes:
        raise ConfigError(
            "sampling.engine=stream, but predictor.name=oracle samples rollouts of its own between two others. "
            "Use sampling.engine=waves, or another predictor"
        )
    if config.sampling.engine != "auto":
        return config.sampling.engine
    return "stream" if sampler.continuous and config.predictor.name in UNPROBED else "waves"


def _restore(parts: Parts, checkpoint: Path) -> None:
    """Puts the parts where a checkpoint left them; the policy's weights are loaded already."""
    state, learner = read_state(checkpoint), parts.learner
    parts.policy.version = parts.sampled.version = parts.sampler.version = state["policy_version"]
    parts.engine.spent = Spent(**state["spent"])
    load_optimizer(checkpoint, learner.optimizer)
    for group in learner.optimizer.param_groups:  # a checkpoint holds the options it was saved under, too
        group["weight_decay"] = parts.config.learner.weight_decay
    try:
        parts.predictor.load_state_dict(read_predictor(checkpoint))
    except (KeyError, ValueError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{checkpoint}: the predictor cannot go on from there: {said}. Another version of treeroll has saved it, "
            "or other options: go on with those, or start the run anew in another folder"
        ) from error


def _policy(config: Config, checkpoint: Path | None, ranks: Ranks) -> Policy:
    """Returns the policy on its device, with the threads that suit its size."""
    source = str(checkpoint / "model") if checkpoint else config.model
    device, local = _device(config.device), Path(check_model(source)).is_dir()
    torch.manual_seed(derive(config.seed, "torch"))
    if local:
        _hide_progress()
    adapters = config.learner.lora
    if adapters is not None:
        source = config.model  # what a checkpoint holds has the adapters in it; they go on from files of their own
    policy = load_policy(source, device=device, dtype=config.dtype)
    _hide_progress()
    policy.name = config.model
    torch.set_num_threads(config.threads or (1 if policy.parameters < SMALL else _cores(ranks)))
    # The predictor's matrices are small whatever the model: a second BLAS thread only waits for the first.
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)
    if adapters is not None:
        torch.manual_seed(derive(config.seed, "adapters"))
        policy.add_adapters(adapters, config.learner.train_layers)
        if checkpoint is not None:
            load_adapters(policy.model, checkpoint / "adapter")
    elif config.learner.train_layers is not None:
        policy.train_top_layers(config.learner.train_layers)
    if config.learner.gradient_checkpointing:
        policy.compute_again()
    return policy


def _cores(ranks: Ranks) -> int:
    """Returns this process's share of the machine's cores."""
    return max(1, (os.cpu_count() or 1) // ranks.count)


def _learner(config: Config, policy: Policy, ranks: Ranks) -> Learner:
    return Learner(
        policy,
        learning_rate=config.learner.learning_rate,
        steps=config.steps if config.learner.schedule == "linear" else None,
        rise=config.learner.rise,
        weight_decay=config.learner.weight_decay,
        loss=config.learner.loss,
        ratio=config.learner.ratio,
        clip_low=config.learner.clip_low,
        clip_high=config.learner.clip_high,
        gradient_clip=config.learner.gradient_clip,
        updates=config.learner.updates,
        micro_tokens=config.learner.micro_tokens,
        packed=config.learner.packed,
        temperature=config.sampling.temperature,
        importance_cap=_cap(config),
        ranks=ranks,
    )


def _cap(config: Config) -> float | None:
    """Returns what the learner takes as its importance cap."""
    cap = config.learner.importance_cap
    return (math.inf if cap is None else cap) if config.sampling.staleness else None


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
    check_free(config.run_dir())
    parts = build(config)
    budget, method = config.budget, methods.get(config.method)
    evaluations = len({0, config.steps} | set(range(0, config.steps + 1, config.evaluation.every)))
    turns = parts.engine.max_turns
    lines = [
        f"method      {method.name}: {method.summary}",
        f"world       {parts.world.name}: {len(parts.world.train)} training tasks, {len(parts.world.test)} held out",
        f"model       {config.model}: {parts.policy.parameters:,} parameters on {parts.policy.model.device}, "
        f"{sum(parameter.numel() for parameter in parts.policy.trainable()):,} trained",
        f"steps       {config.steps} of {budget.amount} {budget.unit}: {config.steps * budget.amount:,} {budget.unit}, "
        f"at most {turns} turns of {parts.engine.turn_tokens} tokens each",
        f"evaluation  {evaluations} times {len(parts.held_out)} held-out tasks, one rollout each"
        + (f", at last {config.evaluation.rollouts}" if config.evaluation.rollouts > 1 else ""),
        f"predictor   {config.predictor.name}, credit {config.learner.credit}",
        f"seed        {config.seed}",
        f"writes      {config.run_dir()}",
    ]
    return "\n".join(lines)


def check_fixed(before: Config, now: Config) -> None:
    """Checks that a run is resumed as the run that it is.

    Raises:
      ConfigError: an option of `FIXED` differs, or one of the world's own that is not in `MOVABLE`.
    """
    pairs = [(key, attrgetter(key)(now), attrgetter(key)(before)) for key in FIXED]
    own, was = now.world.model_extra or {}, before.world.model_extra or {}
    pairs += [
        (f"world.{name}", own.get(name), was.get(name)) for name in sorted({*own, *was}) if name not in MOVABLE
    ]  # words of the command line and numbers of a file are the same
    changed = [f"{key}={one} (was {other})" for key, one, other in pairs if str(one) != str(other)]
    if changed:
        raise ConfigError(
            f"--resume goes on with the same run, so this cannot change: {', '.join(changed)}. "
            "Leave it out, or start a new run without --resume"
        )


def _check_prompts(engine: Engine, tasks: Sequence[Task]) -> None:
    """Raises `SamplerError` for the first prompt that leaves no room for a turn.

    A token stands for at least one byte, so only a text of more bytes than there is room for needs to be encoded.
    """
    sizes = [len(task.prompt.encode()) for task in tasks]
    around = len(engine.prompt(tasks[int(np.argmin(sizes))]))  # at least what instructions and examples take
    room = engine.sampler.context - engine.turn_tokens - around
    for task, size in zip(tasks, sizes, strict=True):
        if size > room:
            engine.prompt(task)


def _device(name: str) -> str:
    """Returns the torch device of a name; `auto` is the first GPU, else the CPU.

    Raises:
      ConfigError: torch knows no such device, or this machine has none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={name} cannot be used: {reason}. Name auto, cpu, cuda or cuda:1") from error
    return name


def _hide_progress() -> None:
    """Silences transformers' progress bars, which would break into the live view; a download keeps its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
