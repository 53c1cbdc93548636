"""`treeroll compare --replay DIR`: rules judged offline; see `treeroll.comparison.replay` for what that can say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from treeroll import methods, predictor
from treeroll.allocation import RandomPrefixes, TracePrefixes
from treeroll.allocation.base import Allocator
from treeroll.compare.arms import parse_arms, parse_options
from treeroll.comparison.forests import forests, recorded_runs
from treeroll.comparison.plan import Arm, replace_file
from treeroll.comparison.replay import Tally, judge_prefixes, judge_roots
from treeroll.comparison.table import rows
from treeroll.config import Config
from treeroll.errors import ConfigError
from treeroll.metrics import jsonable
from treeroll.predictor.base import Predictor
from treeroll.seeding import generator
from treeroll.sinks import provenance

ARMS = (
    "grpo,pcl,knapsack,vip,trace,trace-beta=trace:predictor.name=beta,"
    "trace-mean=trace:budget.posterior=false,tree-random"
)
"""Rules that are judged unless others are named."""
NEEDS_A_MODEL = ("oracle", "value-lm")
"""Predictors that no record can stand in for."""
BRANCHING = (TracePrefixes, RandomPrefixes)
"""Rules of stage 2 that decide once, among prefixes of bare rollouts."""
LIMITS = (
    "Judged on recorded outcomes, by means over all draws from the record; nothing was sampled. It ranks rules on the "
    "tasks and prefixes that were recorded, at the policy that recorded them: not on what the recording rule dropped "
    "or never continued, and not by what a policy learns. Cut: planned rollouts beyond the record, which count for "
    "nothing. Relied on: steps in which the rule's predictor was informed; in the others it allocated uniformly. The "
    "bound knows all outcomes of the record, luck included."
)


@dataclass(eq=False)
class _Rival:
    """An arm on its way through the record."""

    arm: Arm
    config: Config
    roots: Allocator | None
    prefixes: Allocator | None
    tallies: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))

    def predictor(self) -> Predictor:
        """Returns its predictor, which has learned nothing yet."""
        own = self.config.predictor
        return predictor.get(
            own.name, forgetting=own.forgetting, warmup=own.warmup, encoder=own.encoder, model=self.config.model
        )


def replay(path: Path, names: str | None, options: Sequence[str], *, share: float) -> str:
    """Judges rules on the trees of a run or a comparison; writes `replay.json` and `replay.md` there, and returns them.

    Every rule sees the recorded steps in order. Its predictor decides step t by what the steps before t taught, starts
    anew with every run, and reads what is in the trees: hidden states where they were saved, else the prompt's tokens
    and the cheap features.

    Args:
      path: the folder.
      names: arms as in `--methods`; `ARMS` where None.
      options: `key=value` for all of them.
      share: of the recorded rollouts that a rule may spend, in (0, 1]; at 1 there is nothing to choose.

    Raises:
      ConfigError: an arm that cannot be judged, or an option that cannot work.
      DataError: no trees are there.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"--share {share:g}: must be above 0 and at most 1")
    rivals = [_rival(arm, options) for arm in parse_arms(names or ARMS)]
    problems: list[str] = []
    folders = recorded_runs(path)
    with threadpool_limits(limits=1, user_api="blas"):  # the matrices are small: a second thread only waits
        for number, folder in enumerate(folders):
            _judge(rivals, folder, number, share, problems)
    found = jsonable(_record(rivals, folders, path, share, problems))
    replace_file(path / "replay.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    page = _page(found)
    replace_file(path / "replay.md", page)
    return f"{page}\n{path / 'replay.json'}"


def _rival(arm: Arm, options: Sequence[str]) -> _Rival:
    """Returns an arm with those of its rules that can be judged.

    Raises:
      ConfigError: there are none, its predictor needs a model, or its options cannot work.
    """
    own = {**parse_options(options, "options"), **arm.options, "method": arm.method}
    try:
        config = Config.resolve([f"{key}={value}" for key, value in own.items()])
    except ConfigError as error:
        raise ConfigError(f"arm {arm.name!r}: {error}") from error
    if config.budget.unit != "rollouts":
        raise ConfigError(f"arm {arm.name!r}: a replay counts in rollouts. Leave out budget.{config.budget.unit}")
    if config.predictor.name in NEEDS_A_MODEL:
        raise ConfigError(
            f"arm {arm.name!r}: predictor {config.predictor.name!r} needs the model, and a replay has records only. "
            f"Take another: {arm.method}:predictor.name=head, beta or constant"
        )
    first, *others = methods.get(arm.method).rounds(config.budget.options())
    roots = first if first.scope == "pool" and not first.repeats else None
    prefixes = next((rule for rule in others if isinstance(rule, BRANCHING)), None)
    if roots is None and prefixes is None:
        raise ConfigError(
            f"arm {arm.name!r}: its rules look at outcomes between their rounds, so a record cannot judge them. Take "
            "methods that decide at once, e.g. trace, trace-stage1, grpo, pcl, vip, knapsack, tree-random"
        )
    return _Rival(arm, config, roots, prefixes)


def _judge(rivals: Sequence[_Rival], folder: Path, number: int, share: float, problems: list[str]) -> None:
    """Takes every rule through one recorded run."""
    # All rules see the same steps, so equal predictors learn the same: one serves all arms that have it.
    predictors = {rival.config.predictor: rival.predictor() for rival in rivals}
    for step, forest in forests(folder, problems):
        for rival in rivals:
            forecaster = predictors[rival.config.predictor]
            for stage, (rule, judge) in enumerate(((rival.roots, judge_roots), (rival.prefixes, judge_prefixes))):
                if rule is not None and forest:
                    rng = generator(0, "replay", number, step, stage)
                    judge(rule, forest, forecaster, rng=rng, share=share, tally=rival.tallies[stage])
        for forecaster in predictors.values():
            forecaster.update(forest)


def _record(
    rivals: Sequence[_Rival], folders: Sequence[Path], path: Path, share: float, problems: Sequence[str]
) -> dict[str, Any]:
    return {
        "about": provenance(),
        "share": share,
        "runs": [folder.relative_to(path).as_posix() for folder in folders],
        "roots": list(_entries(rivals, 0)),
        "prefixes": list(_entries(rivals, 1)),
        "problems": list(problems),
    }


def _entries(rivals: Sequence[_Rival], stage: int) -> Iterator[dict[str, Any]]:
    """Yields what each rule that was judged in a stage came to."""
    for rival in rivals:
        tally = rival.tallies[stage]
        if tally.steps:
            predicted = tally.predicted
            yield {
                "name": rival.arm.name,
                "method": rival.arm.method,
                "predictor": rival.config.predictor.name,
                "rule": type((rival.roots, rival.prefixes)[stage]).__name__,
                "steps": tally.steps,
                "informed": tally.informed / tally.steps,
                "rollouts": tally.judged,
                "anchors": tally.anchors,
                "cut": tally.cut,
                "per_1000": tally.per_1000,
                "share_of_bound": tally.share,
                "predicted": sum(predicted) / len(predicted) if predicted else math.nan,
                "realised": tally.found / tally.anchors if tally.anchors else math.nan,
            }


def _page(found: dict[str, Any]) -> str:
    runs = f"{len(found['runs'])} recorded run{'s' if len(found['runs']) > 1 else ''}"
    parts = ["# Rules on recorded forests", f"{runs}; rules spend {found['share']:g} of what was recorded. {LIMITS}"]
    shared = ["rule", "predictor", "steps", "relied on", "rollouts", "cut", "a choice", "per 1,000", "of the bound"]
    for key, title, more in (
        ("roots", "Stage 1: mixed groups", []),
        ("prefixes", "Stage 2: flips", ["flips predicted", "flips realised"]),
    ):
        lines = [_line(entry, bool(more)) for entry in found[key]]
        parts += [f"## {title}", rows([*shared, *more], lines) if lines else "No rule could be judged here."]
    if found["problems"]:
        parts += ["## Problems", "\n".join(f"- {problem}" for problem in found["problems"])]
    return "\n\n".join(parts) + "\n"


def _line(entry: dict[str, Any], flips: bool) -> list[str]:
    def shown(key: str, form: str) -> str:
        return "-" if entry[key] is None else f"{entry[key]:{form}}"

    size = entry["rollouts"] / entry["anchors"] if entry["anchors"] else 0.0
    cells = [
        f"`{entry['name']}`", entry["predictor"], str(entry["steps"]), shown("informed", ".0%"),
        f"{entry['rollouts']:,}", shown("cut", ".0%"), f"{size:.1f}", shown("per_1000", ".0f"),
        shown("share_of_bound", ".2f"),
    ]  # fmt: skip
    return [*cells, shown("predicted", ".2f"), shown("realised", ".2f")] if flips else cells
