"""The parts of `profiling.py` and its page in docs/tables."""

from __future__ import annotations

from typing import Any

from machine import table

MODEL = {
    "prefill": "the sampler's forward passes over what is new in a history",
    "decode": "its forward passes over one token a rollout, output head included",
    "update forward": "the update's forward passes, output head and log-probabilities included",
    "update backward": "its backward passes",
}
REST = {
    "drawing": "tokens drawn: softmax, cumulative sums, search",
    "sampling": "all else in the sampler: keys and values laid side by side and cut out again, turns made",
    "tokenising": "words to ids and back",
    "environments": "episodes opened, stepped, saved",
    "growing trees": "the engine: nodes, histories, what is spent",
    "predictor": "predictions, and learning from trees",
    "allocation": "the rules that say where rollouts go",
    "credit, rows, packs": "advantages, and what the update is given",
    "loss": "all else in an update but the optimizer: loss and its statistics",
    "optimizer": "AdamW, the gradient's norm, the look for weights that are not finite",
    "metrics": "all else in a step or an evaluation: metrics and views of trees",
    "writing": "trees, metrics and checkpoints",
    "other": "all else between steps",
}
PARTS = {**MODEL, **REST}
"""Part of a run -> what it is. Start-up and the report at the end have parts of their own."""
CHAPTERS = ("training", "evaluation", "between steps")


def steps(run: dict[str, Any]) -> dict[str, float]:
    """Returns the CPU seconds of each part over all steps and evaluations of a run, without start-up and report."""
    found = dict.fromkeys(PARTS, 0.0)
    for chapter in CHAPTERS:
        for part, seconds in run["seconds"].get(chapter, {}).items():
            if part != "report":
                found[part] += seconds
    return found


def share(run: dict[str, Any]) -> float:
    """Returns the share of the steps' time in the model's forward and backward passes, in [0, 1]."""
    found = steps(run)
    return sum(found[part] for part in MODEL) / sum(found.values())


def middle(values: list[float]) -> float:
    """Returns the median, the upper one of two."""
    return sorted(values)[len(values) // 2]


def page(result: dict[str, Any]) -> str:
    """Returns the page of docs/tables."""
    machine = result["about"]["machine"]
    lines = "\n\n".join(_load(load) for load in result["loads"])
    return (
        f"""# Where a run's time goes

Written by `make bench-profile` from benchmarks/results/profile.json; with `AGAINST=DIR/src`, beside the version in DIR
(`git archive COMMIT | tar -x -C DIR`). "now" is {result["about"]["commit"]}.
CPU seconds of `treeroll train` in one thread of {machine["processor"]}, by what they are spent
on, each second counted once; load when it began: {machine["load"][0]}.
Medians of {result["repeats"]} runs, each in its own process. Evaluations and what is written count among the steps;
start-up and the report at the end are apart. As much is evaluated for each step as in a default run of the packaged
model. There is one checkpoint, at the end: among so few steps it weighs more than in a default run, which writes one in
twenty. The large model stands in for the packaged one, with the same words, and plays `benchmarks/coins.py`.

{lines}

| part | what it is |
| --- | --- |
"""
        + "\n".join(f"| {part} | {what} |" for part, what in PARTS.items())
        + "\n"
    )


def _load(load: dict[str, Any]) -> str:
    """Returns one load's section: its parts, those of the other version beside them where there are any."""
    sides = {name: runs for name, runs in load["runs"].items() if runs}
    shares = {name: middle([share(run) for run in runs]) for name, runs in sides.items()}
    seconds = {
        name: {part: middle([steps(run)[part] for run in runs]) for part in PARTS} for name, runs in sides.items()
    }
    totals = {name: middle([sum(steps(run).values()) for run in runs]) for name, runs in sides.items()}
    heading = ["part"]
    for name in sides:
        heading += [f"{name}, s", "share"]
    rows = [["**model**"], *([part] for part in PARTS), ["**all**"]]
    for name in sides:
        own = sum(seconds[name][part] for part in MODEL)
        rows[0] += [f"**{own:.2f}**", f"**{shares[name]:.0%}**"]
        for row, part in zip(rows[1:-1], PARTS, strict=True):
            row += [f"{seconds[name][part]:.2f}", f"{seconds[name][part] / totals[name]:.1%}"]
        rows[-1] += [f"**{totals[name]:.2f}**", ""]
    words = [f"## {load['name']}", f"`treeroll train {' '.join(load['options'])}`. {_apart(sides)}"]
    if len(sides) == 2:
        before, after = sides
        rest = {name: totals[name] - sum(seconds[name][part] for part in MODEL) for name in sides}
        words[1] += (
            f" In all {totals[before] / totals[after]:.2f} times as fast as {before}; what is not the model, "
            f"{rest[before] / rest[after]:.2f} times. Both found the same, bit for bit."
        )
    return "\n\n".join([*words, table(heading, rows)])


def _apart(sides: dict[str, list[dict[str, Any]]]) -> str:
    """Returns what start-up and report take, in words."""
    told = []
    for name, runs in sides.items():
        start = middle([sum(run["seconds"]["start-up"].values()) for run in runs])
        imports = middle([run["seconds"]["start-up"]["imports"] for run in runs])
        world = middle([run["seconds"]["start-up"]["making the world"] for run in runs])
        report = middle([run["seconds"]["between steps"].get("report", 0.0) for run in runs])
        told.append(f"{name}: start-up {start:.1f} s (imports {imports:.1f}, world {world:.1f}), report {report:.1f} s")
    return "; ".join(told) + "."
