"""The markdown tables of `estimators.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from machine import table
from tabular.prose import page
from treeroll import credit

Record = dict[str, Any]
CASES = ("flat", "exact"), ("random", "exact"), ("trace", "exact"), ("flat", "noisy"), ("trace", "noisy")
"""What is measured: design, accuracy of predicted values."""

DIGITS = {"scale": 2, "bias": 2, "cosine": 3, "noise": 2, "alignment": 3}
"""Columns of the last tables, with their decimals."""


def write(records: list[Record], biases: dict[str, list[Record]], options: dict[str, Any]) -> str:
    """Returns the page."""
    leaves = biases["leaf mean"]
    off = [record["restart_off_its_objective"] for record in records]
    return page(
        "# Backups and credit against the truth",
        f"""`make bench-estimators`, or `python benchmarks/estimators.py`; raw results in
        `benchmarks/results/estimators.json`. {options["blocks"] * options["trees"]:,} trees for each task, design and
        accuracy of predicted values ({options["blocks"]} blocks of {options["trees"]}, seed {options["seed"]}).""",
        """Tasks (`benchmarks/tabular/examples.py`): T turns, 3 actions, exact values and gradients. *Decisive late*:
        only the last turn decides. *Any error fatal*: every turn must be right, and the policy does not see whether it
        has erred. *Recoverable*: later right actions make up for errors. *Stochastic*: the same with chance moves.""",
        """Designs, compared at equal sampled turns: *flat*, 8 bare rollouts a tree; *random*, 4 bare rollouts and about
        4 T turns of continuations from prefixes drawn at random (`RandomPrefixes(2)`); *trace*, the same from
        `TracePrefixes` with the paper's score per remaining turn, at most 2 a prefix. Values, for the allocator and for
        the credit that uses any: *exact*, or *noisy* (an error of standard deviation 1 in the logit for each state,
        drawn anew for each block).""",
        "## Credit: one number",
        f"""Alignment: the expected cosine between the exact gradient of V(root) and an update from
        {options["update"]} T sampled turns (one flat tree): signal / sqrt(squared length of the mean + trace of the
        covariance / trees). Mean over
        the tasks below ± standard error; 1 is perfect.""",
        table(["credit", *(f"{design}, {values}" for design, values in CASES)], _summary(records)),
        f"""`restart` against its own objective, V(root) plus the sum of V(h) over expanded prefixes h held fixed: of
        {sum(one["coordinates"] for one in off)} gradient coordinates the largest deviation
        is {max(one["max_z"] for one in off):.1f} standard errors.""",
        "## Backups",
        """Error of a node's value against the exact one: bias ± standard error (root mean square error), at the root
        and at the prefixes that were expanded. *Leaf mean*: all leaves below (the paper's). *Child mean*: mean over the
        children (SPO's). *Fresh and incumbent*: rollouts started at the node and the one that created it (the default;
        at the root the bare rollouts). *Fresh only*: rollouts started at the node. *Incumbent*: the outcome of the
        rollout that created the node (at the root, of the first one).""",
        table(
            ["task", "T", "backup", "root, random", "root, trace", "prefix, random", "prefix, trace"], _backups(records)
        ),
        "## Two biases, exactly",
        """Summed over all outcomes, nothing sampled. Leaf mean of the root after the paper's stage 2: 2 turns, of which
        the first leads with even chances to V = truth + .15 or - .15; 4 bare rollouts, 8 continuations from their first
        turns by `TracePrefixes` with exact values.""",
        table(
            ["true V(root)", "expected leaf mean"], [[_three(one["true"]), _three(one["expected"])] for one in leaves]
        ),
        """Value of a prefix that gets a continuations after a success of its incumbent and b after a failure: incumbent
        and continuations pooled, the formula V + V(1-V)(b-a)/((1+a)(1+b)), and the continuations alone (V where there
        are none).""",
        table(
            ["true V", "a", "b", "pooled", "formula", "continuations alone"],
            [
                [_three(one["true"]), str(one["after_success"]), str(one["after_failure"])]
                + [_three(one[key]) for key in ("pooled", "formula", "fresh")]
                for one in biases["pooling"]
            ],
        ),
        "## Credit, task by task",
        """G = 1/m sum over turns of advantage * grad log pi, m bare rollouts; g = gradient of V(root). *Scale*:
        (E G . g) / (g . g). *Bias*: length of E G - g over that of g. *Cosine*: of E G and g. *Noise*: root of the
        trace of G's covariance over the signal, which is E G . g over the length of g; for one tree. *Alignment*: as
        above. ± standard error: a jackknife over blocks. With noisy values, bias and cosine are root mean squares over
        the blocks' errors. Flat and noisy: only credit that uses values.""",
        *_details(records),
    )


def _find(records: list[Record], **wanted: Any) -> Record:
    return next(record for record in records if all(record[key] == value for key, value in wanted.items()))


def same_as_exact(name: str, design: str, values: str) -> bool:
    """Returns whether a rule neither uses the values nor sees trees that they chose."""
    return values == "noisy" and design != "trace" and not credit.ESTIMATORS[name].needs_values


def _summary(records: list[Record]) -> list[list[str]]:
    lines = []
    for name in credit.ESTIMATORS:
        cells = []
        for design, values in CASES:
            if same_as_exact(name, design, values):
                cells.append("as exact")
                continue
            cases = [record for record in records if (record["design"], record["values"]) == (design, values)]
            own, errors = np.array([record["credit"][name]["alignment"] for record in cases]).T
            cells.append(f"{own.mean():.3f} ± {np.sqrt((errors**2).sum()) / len(own):.3f}")
        lines.append([f"`{name}`", *cells])
    return lines


def _backups(records: list[Record]) -> list[list[str]]:
    lines = []
    for task, turns in dict.fromkeys((record["task"], record["turns"]) for record in records):
        wanted = {"task": task, "turns": turns, "values": "exact"}
        both = [_find(records, design=design, **wanted)["backups"] for design in ("random", "trace")]
        for name in both[0]:
            cells = [
                f"{own[name][place]['bias']:+.3f} ± {own[name][place]['se']:.3f} ({own[name][place]['rmse']:.2f})"
                for place in ("root", "prefix")
                for own in both
            ]
            lines.append([task, str(turns), name, *cells])
    return lines


def _details(records: list[Record]) -> list[str]:
    """Returns a heading and a table for each task."""
    found = []
    for task, turns in dict.fromkeys((record["task"], record["turns"]) for record in records):
        lines = []
        for design, values in CASES:
            record = _find(records, task=task, turns=turns, design=design, values=values)
            lines += [
                [
                    f"{design}, {values}",
                    f"`{name}`",
                    *(_cell(*own[key], digits=digits) for key, digits in DIGITS.items()),
                ]
                for name, own in record["credit"].items()
            ]
        found += [f"### {task}, T = {turns}", table(["design, values", "credit", *DIGITS], lines)]
    return found


def _three(value: float) -> str:
    return f"{value:.3f}"


def _cell(value: float, error: float, *, digits: int) -> str:
    return f"{value:.{digits}f} ± {error:.{digits}f}" if np.isfinite(value) else "-"
