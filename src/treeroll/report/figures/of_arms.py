"""The figures of a comparison on one environment: each is left out where nothing has numbers for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from treeroll.comparison.outcomes import number
from treeroll.report import data
from treeroll.report.calibration import Pairs, bins
from treeroll.report.compared import Arm
from treeroll.report.figures.arms import Curve, arms
from treeroll.report.figures.band import Band, band
from treeroll.report.figures.flips import flips
from treeroll.report.figures.lines import Points
from treeroll.report.figures.matrix import matrix
from treeroll.report.figures.reliability import Group, reliability
from treeroll.report.figures.stacked import stacked
from treeroll.report.figures.strokes import stroke
from treeroll.report.figures.svg import Figure

Members = Sequence[Arm]


def of_arms(env: str, members: Members, sweep: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Returns the figures of the arms on one environment, in the order of the page.

    Args:
      env: the environment.
      members: its arms.
      sweep: the rows of the learning rates that were tried; rows of other environments are left out.
    """
    drawn = [
        *_success(env, members),
        *_contrast(env, members),
        *_allocation(env, members),
        *_predictions(env, members),
        stacked(
            "Time by phase",
            f"Time by phase on {env}",
            "CPU seconds of a run, mean over seeds.",
            [(arm.name, _seconds(arm)) for arm in members],
            xlabel="CPU seconds",
        ),
        _passed(env, members),
        _sweep(env, members, [row for row in sweep if row.get("env") == env]),
    ]
    return [figure for figure in drawn if figure is not None]


def _success(env: str, members: Members) -> list[Figure | None]:
    def against(title: str, start: str, key: str, xlabel: str) -> Figure | None:
        runs = [arm.per_run("heldout", "success", against=("spent", key)) for arm in members]
        caption = f"{start} Mean over seeds, with its 95\u00a0% interval; too few seeds for one are thin lines."
        return arms(title, f"{title} on {env}", caption, _curves(members, runs), xlabel=xlabel)

    return [
        against("Held-out success against sampled tokens", "At equal cost.", "sampled_tokens", "sampled tokens"),
        against("Held-out success against rollouts", "At equal rollouts.", "rollouts", "rollouts"),
    ]


def _contrast(env: str, members: Members) -> list[Figure | None]:
    def over_steps(title: str, caption: str, key: str) -> Figure | None:
        runs = [arm.per_run("contrast", key, against=("step",)) for arm in members]
        curves = _curves(members, runs, smooth=True)
        return arms(title, f"{title} on {env}", caption, curves, xlabel="step", bottom=0.0)

    return [
        over_steps(
            "Effective ratio",
            "Share of a step's active tasks whose tree holds both outcomes. Fewer or easier tasks raise it too.",
            "effective_ratio",
        ),
        over_steps(
            "Mixed groups per 1,000 rollouts",
            "What 1,000 rollouts of any kind bought. Smaller groups raise it too: read it with the group sizes.",
            "mixed_groups_per_1000",
        ),
    ]


def _allocation(env: str, members: Members) -> list[Figure | None]:
    def shares(title: str, of: str, key: str, xlabel: str) -> Figure | None:
        rows = [(arm.name, stroke(arm.place), data.histogram(arm.records(), "allocation", key)) for arm in members]
        return matrix(title, f"{title} on {env}", f"Share of the {of}, in %.", rows, xlabel=xlabel)

    return [
        shares("Group sizes", "active tasks", "groups", "bare rollouts of a task"),
        shares("Where continuations branch", "continuations", "branch_turns", "turn"),
    ]


def _predictions(env: str, members: Members) -> list[Figure | None]:
    def plot(title: str, caption: str, pairs: Callable[[Arm], Pairs], xlabel: str, ylabel: str) -> Figure | None:
        groups = [(arm, stroke(arm.place), pairs(arm)) for arm in members]
        counts = ", ".join(f"{arm.letter}\u00a0{len(found):,}" for arm, _, found in groups if found)
        drawn = reliability(
            f"{title} on {env}",
            f"{caption}. From saved trees: {counts}; a dot's area is its count.",
            [Group(arm.name, bins(found), how.colour, how.dash, arm.letter) for arm, how, found in groups],
            xlabel=xlabel,
            ylabel=ylabel,
            legend=False,
        )
        return None if drawn is None else Figure(title, drawn.caption, drawn.svg)

    success = ("predicted success", "share that succeeded")
    old = next((f". {arm.calibration.coverage}"[:-1] for arm in members if arm.calibration.chosen_only), "")
    return [
        flips(f"Flips on {env}", [(arm.name, arm.letter, stroke(arm.place), _flips(arm)) for arm in members]),
        plot(
            "Flips against their prediction",
            "Of expanded anchors, by the predicted chance of a flip",
            lambda arm: arm.calibration.flips,
            "predicted chance of a flip",
            "share that flipped",
        ),
        plot(
            "Calibration at roots",
            f"Of bare rollouts, by the prediction at their root{old}",
            lambda arm: arm.calibration.roots,
            *success,
        ),
        plot(
            "Calibration at prefixes",
            f"Of prefixes, by the prediction there, against the rollout that made them{old}",
            lambda arm: arm.calibration.prefixes,
            *success,
        ),
    ]


def _curves(members: Members, runs: Sequence[list[Points]], *, smooth: bool = False) -> list[Curve]:
    """Returns the mean curves of those arms that have points; `runs` are the points of each arm's seeds."""
    means = [band(points, smooth=smooth) for points in runs]
    return [
        Curve(arm.name, arm.letter, stroke(arm.place), mean)
        for arm, mean in zip(members, means, strict=True)
        if mean is not None
    ]


def _passed(env: str, members: Members) -> Figure | None:
    runs = [[points for _, run in arm.runs if (points := _passes(run))] for arm in members]
    return arms(
        "pass@k",
        f"pass@k on {env}",
        "Chance that one of k rollouts of a held-out task succeeds, at the end.",
        _curves(members, runs),
        xlabel="k",
        dots=True,
        scale="log",
    )


def _passes(run: data.RunFiles) -> Points:
    """Returns (k, pass@k) of the last evaluation that measured it."""
    held = [record for record in run.records if data.histogram([record], "heldout", "pass")]
    return [(float(k), share) for k, share in data.histogram(held[-1:], "heldout", "pass").items()]


def _flips(arm: Arm) -> Points:
    """Returns for each run the means over its steps of the flips predicted and realised, where steps have both."""
    points = []
    for _, run in arm.runs:
        both = data.series(run.records, "predictor", "flips_realised", against=("predictor", "flips_predicted"))
        if both:
            points.append((float(np.mean([x for x, _ in both])), float(np.mean([y for _, y in both]))))
    return points


def _seconds(arm: Arm) -> dict[str, float]:
    """Returns the CPU seconds of each phase, mean over runs."""
    return {phase.name: phase.cpu / len(arm.runs) for phase in data.phases(arm.records())}


def _sweep(env: str, members: Members, rows: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Returns the learning rates that were tried, with a ring around the one that each arm was given."""
    curves = []
    for arm in members:
        tried = {number(row, "rate"): _scores(row) for row in rows if row.get("arm") == arm.name}
        points = sorted((rate, float(np.mean(scores))) for rate, scores in tried.items() if rate and scores)
        if points:
            x, mean = np.array(points).T
            ring = arm.learning_rate if arm.learning_rate in x else None
            curves.append(Curve(arm.name, arm.letter, stroke(arm.place), Band(x, mean, None, None, mean[None]), ring))
    return arms(
        "Learning rates tried",
        f"Learning rates tried on {env}",
        "Final held-out success on seeds that are not reported; a ring marks the rate that was taken.",
        curves,
        xlabel="learning rate",
        dots=True,
        scale="log",
    )


def _scores(row: Mapping[str, Any]) -> list[float]:
    values = row.get("values")
    found = (number({"value": value}, "value") for value in (values if isinstance(values, list) else []))
    return [value for value in found if value is not None]
