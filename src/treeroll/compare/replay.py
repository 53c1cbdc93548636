"""`treeroll compare --replay DIR`: rules judged offline; see `treeroll.comparison.replay` for what that can say."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from treeroll import methods, predictor
from treeroll.allocation import RandomPrefixes, TracePrefixes
from treeroll.allocation.base import Allocator
from treeroll.compare.arms import parse_arms, parse_options
from treeroll.compare.recordings import Recording, recordings
from treeroll.comparison.forests import forests
from treeroll.comparison.plan import Arm, replace_file
from treeroll.comparison.replay import Tally, judge_prefixes, judge_roots
from treeroll.comparison.replay_page import page
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
HIDDEN = ("head", "latent", "mlp", "paper", "shuffled")
"""Predictors that read histories through an encoder, the policy's hidden states unless another is named."""


@dataclass(eq=False)
class _Rival:
    """An arm on its way through the record."""

    arm: Arm
    config: Config
    roots: Allocator | None
    prefixes: Allocator | None
    tallies: defaultdict[str, tuple[Tally, Tally]] = field(
        default_factory=lambda: defaultdict(lambda: (Tally(), Tally()))
    )
    """{world: what it came to in stage 1 and stage 2}."""

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
      DataError: no trees are there, or none that can be judged on.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"--share {share:g}: must be above 0 and at most 1")
    rivals = [_rival(arm, options) for arm in parse_arms(names or ARMS)]
    problems: list[str] = []
    recorded = recordings(path, problems)
    hidden = False
    with threadpool_limits(limits=1, user_api="blas"):  # the matrices are small: a second thread only waits
        for number, recording in enumerate(recorded):
            hidden |= _judge(rivals, recording, number, share, problems)
    found = jsonable(
        {
            "about": provenance(),
            "share": share,
            "runs": [recording.folder.relative_to(path).as_posix() for recording in recorded],
            "envs": list(dict.fromkeys(recording.world for recording in recorded)),
            "roots": list(_entries(rivals, 0)),
            "prefixes": list(_entries(rivals, 1)),
            "notes": list(_notes(rivals, hidden)),
            "problems": problems,
        }
    )
    replace_file(path / "replay.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    text = page(found)
    replace_file(path / "replay.md", text)
    return f"{text}\n{path / 'replay.json'}"


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


def _judge(rivals: Sequence[_Rival], recording: Recording, number: int, share: float, problems: list[str]) -> bool:
    """Takes every rule through one recorded run; returns whether its trees hold hidden states."""
    # All rules see the same steps, so equal predictors learn the same: one serves all arms that have it.
    predictors = {rival.config.predictor: rival.predictor() for rival in rivals}
    hidden = False
    for step, forest in forests(recording.folder, problems):
        hidden |= any(node.hidden is not None for tree in forest for node in tree.nodes)
        for rival in rivals:
            forecaster = predictors[rival.config.predictor]
            for stage, (rule, judge) in enumerate(((rival.roots, judge_roots), (rival.prefixes, judge_prefixes))):
                if rule is not None and forest and recording.stages[stage]:
                    rng, tally = generator(0, "replay", number, step, stage), rival.tallies[recording.world][stage]
                    judge(rule, forest, forecaster, rng=rng, share=share, tally=tally)
        for forecaster in predictors.values():
            forecaster.update(forest)
    return hidden


def _entries(rivals: Sequence[_Rival], stage: int) -> Iterator[dict[str, Any]]:
    """Yields what each rule that was judged in a stage came to, world by world."""
    for rival in rivals:
        for world, tallies in rival.tallies.items():
            tally = tallies[stage]
            if tally.steps:
                yield {
                    "env": world,
                    "name": rival.arm.name,
                    "method": rival.arm.method,
                    "predictor": rival.config.predictor.name,
                    "rule": type((rival.roots, rival.prefixes)[stage]).__name__,
                    "steps": tally.steps,
                    "informed": tally.informed / tally.steps,
                    "rollouts": tally.judged,
                    "anchors": tally.anchors,
                    "cut": tally.cut,
                    "comparable": tally.comparable,
                    "per_1000": tally.per_1000,
                    "share_of_bound": tally.share,
                    "predicted": _mean(tally.predicted),
                    "realised": _mean(tally.realised),
                }


def _notes(rivals: Sequence[_Rival], hidden: bool) -> Iterator[str]:
    """Yields a sentence for each thing that makes predictors worse here than they were in training."""
    learning = [rival for rival in rivals if rival.config.predictor.name != "constant"]
    tallies = [tally for rival in learning for both in rival.tallies.values() for tally in both]
    if any(tally.steps for tally in tallies) and not any(tally.informed for tally in tallies):
        yield (
            "No predictor was relied on: too few steps in a row are recorded for one to learn from, so this says "
            "nothing of what predictors are worth. Record with --trees all."
        )
    chosen = [rival.config.predictor for rival in learning]
    readers = sorted({own.name for own in chosen if own.name in HIDDEN and own.encoder == "hidden"})
    if readers and not hidden:
        yield (
            f"No hidden states are saved in these trees, so this is not the predictor that trained (here: "
            f"{', '.join(readers)}): in training it reads the policy's hidden state, and here the other features alone."
        )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
