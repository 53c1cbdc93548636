"""What is said about the trees, and what of TRL's settings they cannot go with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from typing import Any

from packaging.version import Version

from treeroll import credit, methods, predictor
from treeroll.envs.base import Forking
from treeroll.errors import ConfigError, did_you_mean
from treeroll.methods.base import Method, RoundOptions

OLDEST, NEWEST = "1.12", "2"
"""The versions of TRL in [OLDEST, NEWEST): before 1.12 the dapo loss is divided by the wrong number."""
LOSSES = ("dapo", "cispo", "dr_grpo")
"""Losses whose divisor is the same for all tokens of a generation batch: trained tokens of all ranks (dapo, cispo), or
rows of the budget times max_completion_length (dr_grpo)."""
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1.0,), "top_k": (0, None), "min_p": (None, 0.0), "repetition_penalty": (1.0,),
    "generation_kwargs": (None, {}), "cache_implementation": (None,),
}  # fmt: skip
"""Settings of generation that the sampler does not have, with the values that mean nothing."""


@dataclass(frozen=True)
class TreeOptions:
    """How a `TreeGRPOTrainer` samples and learns."""

    method: str | Method = "trace"
    """A name of `treeroll methods`, or a `treeroll.methods.base.Method`."""
    success_at: float = 0.5
    """The summed reward from which a rollout counts as a success, for the allocation. The advantages see the reward."""
    continuations: float | None = None
    """Continuations for each bare rollout, >= 0; None: the method's own."""
    rounds: Mapping[str, Any] = field(default_factory=dict)
    """Options of `RoundOptions` by name, such as min_group. Unless it is named, group is num_generations where a method
    takes tasks as they come."""
    credit: str | None = None
    """One of `treeroll.credit`; None: the method's own. TRL's scale_rewards means nothing here."""
    predictor: str | None = None
    """One of `treeroll.predictor`, or "package.module:Class"; None: the method's own."""
    encoder: str = "hidden"
    """What the predictor sees of a history: the policy's hidden state, or another of `treeroll.predictor.encoders`."""
    warmup: int = 128
    """Rollouts of this rank that the predictor learns from before it is relied on."""
    forgetting: float = 0.9
    """Share of its certainty that the predictor keeps from one generation to the next, in (0, 1]."""
    forking: Forking = "auto"
    """How a rollout is continued from its middle: snapshot, copy, replay, roots, or the first that works."""
    sampling_batch: int = 256
    """Most rows that decode together."""
    tool_workers: int = 1
    """Episodes of a rank that call tools and rewards at the same time, in threads."""
    tool_seconds: float | None = None
    """Wall seconds that the tools of one turn may take, its reward functions included; None: no limit."""


@dataclass(frozen=True)
class Plan:
    """The options, resolved for one rank."""

    method: Method
    rounds: RoundOptions
    continuations: float
    credit: str
    predictor: str
    budget: int
    """Rollouts of this rank for each generation: the rows of its generation batch."""
    pool: int
    """Tasks that they are spent on, at most."""


def check_version() -> None:
    """Raises `ConfigError` where the installed TRL is none that this works with."""
    found = version("trl")
    if not Version(OLDEST) <= Version(found) < Version(NEWEST):
        raise ConfigError(f"trl {found} is installed; TreeGRPOTrainer needs trl>={OLDEST},<{NEWEST}")


def check_arguments(args: Any, rollout_func: Any, train_dataset: Any, reward_funcs: Any) -> None:
    """Checks TRL's settings before the trainer loads anything.

    Args:
      args: the `GRPOConfig`.
      rollout_func, train_dataset, reward_funcs: arguments of the trainer.

    Raises:
      ConfigError: with every setting that cannot go with trees, one a line, and what to do.
    """
    wrong = _of_loss(args) + _of_generation(args)
    if rollout_func is not None:
        wrong.append("rollout_func: it returns one completion a prompt; pass tools or environment_factory instead")
    if train_dataset is None:
        wrong.append("no train_dataset: the rollouts of a tree need the same task; give the data set a row for each")
    for reward in reward_funcs if isinstance(reward_funcs, list) else [reward_funcs]:
        if reward is not None and not is_function(reward):
            wrong.append(f"the reward model {reward!r:.60}: wrap it in a function of prompts and completions")
    if wrong:
        raise ConfigError("TreeGRPOTrainer cannot work with these settings:\n- " + "\n- ".join(wrong))


def _of_loss(args: Any) -> list[str]:
    level, aggregation = args.importance_sampling_level, args.multi_objective_aggregation
    rules = (
        (
            args.loss_type not in LOSSES,
            f"loss_type={args.loss_type!r}: its divisor differs from row to row or from micro-batch to micro-batch, "
            f"and rows of a tree share turns; use one of {', '.join(LOSSES)}",
        ),
        (
            level != "token",
            f"importance_sampling_level={level!r}: rows of a tree train on parts of their sequences; use 'token'",
        ),
        (
            args.mask_truncated_completions,
            "mask_truncated_completions=True: a turn that other rollouts share would be masked too; set False",
        ),
        (
            aggregation != "sum_then_normalize",
            f"multi_objective_aggregation={aggregation!r}: rewards are summed with reward_weights; leave it out",
        ),
        (
            args.off_policy_mask_threshold is not None,
            "off_policy_mask_threshold: it masks whole sequences; leave it out",
        ),
        (
            bool(getattr(args, "use_liger_kernel", False)),
            "use_liger_kernel=True: TRL's fused loss takes one advantage a row; leave it out",
        ),
        (args.top_entropy_quantile != 1.0, "top_entropy_quantile: not proved with trees; leave it out"),
    )
    return [said for broken, said in rules if broken]


def _of_generation(args: Any) -> list[str]:
    rules = (
        (args.use_vllm, "use_vllm=True: trees are sampled in process for now; set use_vllm=False"),
        (
            args.use_transformers_continuous_batching,
            "use_transformers_continuous_batching=True: the tree sampler batches by itself; leave it out",
        ),
        (
            args.deepspeed is not None or bool(args.fsdp),
            "DeepSpeed or FSDP: a rank samples from whole weights; use DDP (accelerate launch --multi_gpu)",
        ),
        *(
            (
                getattr(args, name) not in neutral,
                f"{name}={getattr(args, name)!r}: the tree sampler has a temperature only; leave it out",
            )
            for name, neutral in NEUTRAL.items()
        ),
    )
    return [said for broken, said in rules if broken]


def plan(options: TreeOptions, args: Any) -> Plan:
    """Returns the options resolved against TRL's sizes; errors as in `planned`."""
    budget = args.per_device_train_batch_size * args.steps_per_generation
    return planned(options, budget, args.num_generations, "per_device_train_batch_size * steps_per_generation")


def planned(options: TreeOptions, budget: int, group: int, named: str) -> Plan:
    """Returns the options resolved.

    Args:
      options: what was said about the trees.
      budget: rollouts of one forest.
      group: num_generations.
      named: what sets the budget, for errors.

    Raises:
      ConfigError: an unknown name, or a budget that does not pay for a group.
    """
    method = methods.get(options.method) if isinstance(options.method, str) else options.method
    foreign = [name for name in method.options if name.startswith("learner.")]
    if foreign:
        raise ConfigError(
            f"method {method.name!r} sets {', '.join(foreign)}, which TRL's loss does not have. Use another method, or "
            "treeroll train"
        )
    if budget % group:
        raise ConfigError(
            f"a rank has {named} = {budget} rollouts, which is no multiple of num_generations={group}. Trees belong to "
            "one rank: make it one"
        )
    rounds = _rounds(method, options.rounds, group)
    continuations = method.continuations if options.continuations is None else options.continuations
    if continuations < 0 or (continuations and not method.branches):
        raise ConfigError(f"continuations={continuations:g}: method {method.name!r} {_continues(method)}")
    least, bare = method.least_rollouts(rounds.group, continuations), method.bare_rollouts(budget, continuations)
    if budget < least:
        raise ConfigError(
            f"{budget} rollouts of a rank do not pay for one group of {rounds.group} and its continuations: "
            f"{least} do. Raise {named}, or lower rounds['group']"
        )
    pool = budget // group
    if pool < bare // rounds.group:
        raise ConfigError(
            f"{bare} bare rollouts of a rank in groups of {rounds.group} need {bare // rounds.group} tasks, but a "
            f"generation has {budget} / num_generations = {pool}. Lower num_generations"
        )
    estimator, forecaster = options.credit or method.credit, options.predictor or method.predictor
    credit.get(estimator)
    predictor.check(forecaster)
    if forecaster == "oracle":
        raise ConfigError("predictor 'oracle' plays extra rollouts through your tools and rewards; use another")
    return Plan(method, rounds, continuations, estimator, forecaster, budget, pool)


def _rounds(method: Method, said: Mapping[str, Any], group: int) -> RoundOptions:
    known = [option.name for option in fields(RoundOptions)]
    for name in said:
        if name not in known:
            raise ConfigError(f"rounds: unknown option {name!r}.{did_you_mean(name, known)}")
    own = {name.removeprefix("budget."): value for name, value in method.options.items() if name.startswith("budget.")}
    uniform = {} if method.chooses_tasks else {"group": group}
    return RoundOptions(**{**uniform, **own, **said})


def _continues(method: Method) -> str:
    return "needs 0 or more" if method.branches else "has no continuations"


def is_function(reward: Any) -> bool:
    """Returns whether a reward is a function; a model is called, too, but takes tensors."""
    return callable(reward) and not hasattr(reward, "forward")
