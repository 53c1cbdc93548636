"""From the words of the command line to a plan whose every configuration is known to work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from treeroll import methods
from treeroll.budget import UNITS
from treeroll.compare.arms import parse_arms, parse_options, parse_seeds, parse_sweep, parse_worlds
from treeroll.comparison.plan import PLAN, TREES, Arm, Plan, World, read_plan
from treeroll.comparison.summary import RATE
from treeroll.config import Budget, Config
from treeroll.errors import ConfigError, did_you_mean
from treeroll.models import check_model
from treeroll.preflight import load_world, longest
from treeroll.sinks import provenance

REFERENCE = "grpo"
"""What differences are taken to, where it is among the arms and nothing else is said."""


@dataclass(frozen=True)
class Request:
    """The command line."""

    methods: str
    out: Path
    seeds: str = "8"
    envs: str = "atlas"
    options: Sequence[str] = ()
    """`key=value` for all runs."""
    unit: str | None = None
    """What budgets must be counted in; None: whatever the options say."""
    reference: str | None = None
    target: float | None = None
    trees: str = "last"
    sweep: str | None = None
    sweep_seeds: int = 2
    pair: bool = True
    """Whether `grpo` is also shown at the number of active tasks that small groups have."""


def make_plan(request: Request) -> tuple[Plan, list[str]]:
    """Returns the plan of a request, joined with the one that its folder holds, and sentences on what was added.

    Raises:
      ConfigError: an arm, world, seed, rate or option that cannot work, named with its arm; or a sweep that differs
        from that of the folder.
      DataError: the folder's plan cannot be read.
    """
    seeds = parse_seeds(request.seeds)
    rates, sweep_seeds = parse_sweep(request.sweep, request.sweep_seeds, seeds)
    plan = Plan(
        arms=parse_arms(request.methods),
        worlds=parse_worlds(request.envs),
        seeds=seeds,
        options=parse_options(request.options, "options"),
        unit=request.unit or "rollouts",
        reference="",
        target=request.target,
        trees=request.trees,
        rates=rates,
        sweep_seeds=sweep_seeds,
        about=provenance(),
    )
    if request.unit is not None:
        _check_amount(plan, request.unit)
    notes = []
    earlier = read_plan(request.out) if (request.out / PLAN).exists() else None
    if request.pair and (partner := _partner(plan, earlier)) is not None:
        plan = replace(plan, arms=_after(plan.arms, partner))
        notes.append(
            f"added {partner.name}: grpo at the group size of {REFERENCE} and at the number of active tasks that small "
            "groups have are both shown (--no-pair leaves it out)"
        )
    if earlier is not None:
        plan = joined(earlier, plan)
    plan = replace(plan, reference=_reference(plan, request.reference))
    configs = [resolved(plan, world, arm, plan.seeds[0]) for world, arm in plan.cells()]
    _check_inputs(configs)
    plan = replace(plan, unit=_unit(plan, configs, request.unit))
    _check_groups(plan, configs)
    return plan, notes


def words(plan: Plan, world: World, arm: Arm, seed: int, rate: float | None = None) -> list[str]:
    """Returns the options of a run as `key=value`, but for its folder; a rate of its own wins."""
    own = {**plan.options, **world.options, **arm.options}
    own.setdefault("threads", "1")  # runs share the cores, one each
    if rate is not None:
        own[RATE] = repr(rate)  # in full: of two close rates, each has runs of its own
    own |= {"method": arm.method, "env": world.env, "seed": str(seed)}
    own |= {"report": "false", "trees_every": str(TREES[plan.trees])}
    return [f"{key}={value}" for key, value in own.items()]


def resolved(plan: Plan, world: World, arm: Arm, seed: int, rate: float | None = None) -> Config:
    """Returns the configuration of a run.

    Raises:
      ConfigError: its options cannot work; the arm is named.
    """
    try:
        return Config.resolve(words(plan, world, arm, seed, rate))
    except ConfigError as error:
        raise ConfigError(
            f"arm {arm.name!r} on {world.name}: {error}\nAn option of some arms only goes with them: METHOD:key=value"
        ) from error


def joined(before: Plan, now: Plan) -> Plan:
    """Returns a plan with the arms, worlds and seeds of two: the older ones first.

    What is only shown (reference, target) is as now. Options of runs that were started are held against their folders;
    see `jobs.check_same`.

    Raises:
      ConfigError: the sweeps differ.
    """
    if (before.rates, before.sweep_seeds) != (now.rates, now.sweep_seeds):
        raise ConfigError(
            f"the comparison in this folder has --sweep {_listed(before.rates)} over seeds "
            f"{_listed(before.sweep_seeds)}, not {_listed(now.rates)} over {_listed(now.sweep_seeds)}, and its runs "
            "have the rates chosen there. Give the same, or start elsewhere: --out DIR"
        )
    arms = {arm.name: arm for arm in (*before.arms, *now.arms)}
    worlds = {world.name: world for world in (*before.worlds, *now.worlds)}
    seeds = dict.fromkeys((*before.seeds, *now.seeds))
    return replace(
        now, arms=tuple(arms.values()), worlds=tuple(worlds.values()), seeds=tuple(seeds), about=before.about
    )


def retold(plan: Plan, reference: str | None, target: float | None) -> Plan:
    """Returns the plan of the same runs, told against another arm or another target; None: as it was.

    Raises:
      ConfigError: the reference is none of the arms.
    """
    return replace(
        plan,
        reference=plan.reference if reference is None else _reference(plan, reference),
        target=plan.target if target is None else target,
    )


def _check_amount(plan: Plan, unit: str) -> None:
    if unit not in UNITS:
        raise ConfigError(f"--budget-unit {unit}: unknown.{did_you_mean(unit, list(UNITS))}")
    key = f"budget.{unit}"
    for world in plan.worlds if unit != "rollouts" else ():
        if key not in {**plan.options, **world.options} and not all(key in arm.options for arm in plan.arms):
            raise ConfigError(
                f"--budget-unit {unit} needs the {unit} of a step on {world.name}: give {key}=N for all worlds, or "
                f"--envs {world.name}:{key}=N. What uniform groups spend in a step is shown by: "
                f"treeroll train --method grpo --env {world.env} --steps 1"
            )


def _partner(plan: Plan, earlier: Plan | None) -> Arm | None:
    """Returns GRPO with the smallest groups that the other arms may have, where it is not there yet.

    At equal rollouts a rule with groups of 4 sees twice the tasks of one with groups of 8, and either difference alone
    changes what is learned. So GRPO is shown at both (METHOD 8).
    """
    named = {arm.name: arm for arm in plan.arms}
    grpo = named.get(REFERENCE)
    if grpo is None or grpo.method != REFERENCE or "budget.group" in grpo.options:
        return None
    small = {group for world in plan.worlds for group in _small_groups(plan, world)}
    group = min(small) if small else int(Budget().min_group)
    partner = Arm(f"{REFERENCE}-{group}", REFERENCE, {**grpo.options, "budget.group": str(group)})
    has = {resolved(plan, plan.worlds[0], arm, plan.seeds[0]).budget.group for arm in plan.arms if arm.method == "grpo"}
    for arm in (
        earlier.arms if earlier is not None else ()
    ):  # a folder of an earlier version has it by its option's name
        if arm.name != partner.name and (arm.method, arm.options) == (partner.method, partner.options):
            return None
    return None if group in has or partner.name in named else partner


def _small_groups(plan: Plan, world: World) -> Iterator[int]:
    for arm in plan.arms:
        if "min_group" in methods.get(arm.method).uses:
            yield resolved(plan, world, arm, plan.seeds[0]).budget.min_group


def _after(arms: Sequence[Arm], partner: Arm) -> tuple[Arm, ...]:
    place = [arm.name for arm in arms].index(REFERENCE) + 1
    return (*arms[:place], partner, *arms[place:])


def _reference(plan: Plan, asked: str | None) -> str:
    names = [arm.name for arm in plan.arms]
    if asked is None:
        return REFERENCE if REFERENCE in names else names[0]
    if asked not in names:
        raise ConfigError(f"--reference {asked!r} is not among the arms.{did_you_mean(asked, names)}")
    return asked


def _unit(plan: Plan, configs: Sequence[Config], asked: str | None) -> str:
    """Returns what all budgets are counted in."""
    units = {config.budget.unit: cell for cell, config in zip(plan.cells(), configs, strict=True)}
    if asked is not None and set(units) != {asked}:
        other = next(unit for unit in units if unit != asked)
        raise ConfigError(
            f"--budget-unit {asked}, but arm {units[other][1].name!r} has a budget in {other}. Leave out one of the two"
        )
    if len(units) > 1:
        said = ", ".join(f"{arm.name} on {world.name} in {unit}" for unit, (world, arm) in units.items())
        raise ConfigError(f"budgets must be in one unit to be compared: {said}. Give the same one to all")
    if plan.rates:
        fixed = [RATE] if RATE in plan.options else [arm.name for arm in plan.arms if RATE in arm.options]
        if fixed:
            raise ConfigError(f"--sweep chooses {RATE}, which {fixed[0]} sets already. Leave out one of the two")
    return next(iter(units))


def _check_inputs(configs: Sequence[Config]) -> None:
    """Checks the models as far as their files tell, and makes each world once: its options and files hold, or not."""
    for model in {config.model for config in configs}:
        check_model(model)
    for config in {(config.env, config.model, repr(config.world)): config for config in configs}.values():
        load_world(config)


def _check_groups(plan: Plan, configs: Sequence[Config]) -> None:
    """Checks that each arm's budget pays for a group on each world; worlds are made for that, but not in rollouts."""
    for (world, arm), config in zip(plan.cells(), configs, strict=True):
        if config.budget.unit != "rollouts":
            try:
                longest(config, load_world(config))
            except ConfigError as error:
                raise ConfigError(f"arm {arm.name!r} on {world.name}: {error}") from error


def _listed(values: Sequence[float]) -> str:
    return ",".join(map(repr, values)) or "none"
