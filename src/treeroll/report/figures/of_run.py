"""The figures of one run: each is a line of `of_run`, and is left out where the run has no numbers for it."""

from __future__ import annotations

from collections.abc import Sequence

from treeroll.report import data
from treeroll.report.calibration import Calibration, bins
from treeroll.report.figures.bars import bars
from treeroll.report.figures.lines import Line, lines
from treeroll.report.figures.reliability import Group, pair, reliability
from treeroll.report.figures.svg import Figure


def of_run(records: Sequence[data.Record], calibration: Calibration) -> list[Figure]:
    """Returns the figures that a run's records and trees have numbers for, in the order of the page."""
    drawn = [*_of_records(records), *_of_predictions(calibration), *_of_allocation(records)]
    return [figure for figure in drawn if figure is not None]


def _of_records(records: Sequence[data.Record]) -> list[Figure | None]:
    def curve(label: str, *keys: str) -> Line:
        return Line(label, data.series(records, *keys))

    return [
        _heldout(records),
        lines(
            "Effective ratio",
            "Share of a step's tasks whose tree holds both a success and a failure. Dropping tasks raises it too.",
            [curve("effective ratio", "contrast", "effective_ratio")],
            bottom=0.0,
        ),
        lines(
            "Mixed groups per 1,000 rollouts",
            "Groups with both outcomes that 1,000 rollouts bought: all of them, and those of bare rollouts alone.",
            [
                curve("all", "contrast", "mixed_groups_per_1000"),
                curve("bare", "contrast", "mixed_bare_groups_per_1000"),
            ],
            bottom=0.0,
        ),
        lines(
            "Predictor skill",
            "Brier skill over the base rate, scored before each update; while it stays below 0 allocation is uniform.",
            [curve("roots", "predictor", "root_skill"), curve("prefixes", "predictor", "prefix_skill")],
            reference=0.0,
        ),
        lines(
            "Predictor AUC",
            "Chance that a success was predicted above a failure; 0.5 is a coin.",
            [curve("roots", "predictor", "root_auc"), curve("prefixes", "predictor", "prefix_auc")],
            reference=0.5,
        ),
        lines(
            "Flips, predicted and realised",
            "Share of branching points where a continuation ended otherwise. A gap is the optimiser's curse.",
            [curve("predicted", "predictor", "flips_predicted"), curve("realised", "predictor", "flips_realised")],
            bottom=0.0,
        ),
    ]


def _of_predictions(calibration: Calibration) -> list[Figure | None]:
    return [
        reliability(
            "Calibration",
            "Success, as predicted before the step's update and as it came, from the saved trees; a dot's area is its "
            f"count. {calibration.coverage}",
            pair(("roots", bins(calibration.roots)), ("prefixes", bins(calibration.prefixes))),
            xlabel="predicted success",
            ylabel="share that succeeded",
        ),
        reliability(
            "Flips against their prediction",
            "Chance that a branching point's continuations flip the outcome, once that is seen. Dots below the "
            "diagonal promised more than came.",
            [Group("branching points", bins(calibration.flips))],
            xlabel="predicted chance of a flip",
            ylabel="share that flipped",
        ),
    ]


def _of_allocation(records: Sequence[data.Record]) -> list[Figure | None]:
    return [
        bars(
            "Rollouts a task",
            "How many tasks got how many bare rollouts, over the whole run.",
            data.histogram(records, "allocation", "groups"),
            xlabel="bare rollouts",
        ),
        bars(
            "Where continuations branch",
            "After which turn continuations were sampled, over the whole run.",
            data.histogram(records, "allocation", "branch_turns"),
            xlabel="turn",
        ),
    ]


def _heldout(records: Sequence[data.Record]) -> Figure | None:
    """Returns success with its interval against rollouts spent, or against steps where no rollout was counted."""
    spent = ("spent", "rollouts")
    sampled = any(y > 0 for _, y in data.series(records, *spent))
    against = spent if sampled else ("step",)
    low, high, success = (data.series(records, "heldout", key, against=against) for key in ("low", "high", "success"))
    return lines(
        "Held-out success",
        "Share of held-out tasks answered right, with its 95\u00a0% interval, against what was spent.",
        [Line("success", success, (low, high))],
        xlabel="rollouts spent" if sampled else "step",
        smooth=False,
    )
