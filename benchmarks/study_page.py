"""The markdown tables of `study.py`."""

from __future__ import annotations

from typing import Any

from machine import table
from tabular.prose import page
from tabular.spending import EACH, STAGE2
from tabular.training import GROUP, ROLLOUTS
from tabular.worlds import ACTIONS, BEHIND, CLUSTERS, SPREAD, TASKS

REFERENCE = "stage 1"
COLUMNS = [
    ["`stage 1`", "`allocate_roots` at predicted values", "none", "sibling-tree (R - mean on bare rollouts)"],
    ["`U8`", f"{GROUP} a task, tasks drawn at random", "none", "sibling-tree"],
    ["`rand`", "as `stage 1`", "prefixes drawn uniformly; budget in rollouts", "sibling-tree"],
    ["`rand/c`", "as `stage 1`", "chances proportional to 1 / remaining turns; budget in turns", "sibling-tree"],
    ["`TR1`", "as `stage 1`", "`expand_prefixes` at predicted values; budget in rollouts", "sibling-tree"],
    ["`TRc1`", "as `stage 1`", "the same with `cost` = remaining turns; budget in turns", "sibling-tree"],
    ["`VC1`", "as `stage 1`", "largest V(1-V) / remaining turns; budget in turns", "sibling-tree"],
    ["`A1`", "as `stage 1`", "none", "critic-td: predicted V after the turn - V before it, at the end the outcome"],
]


def write(results: dict[str, Any], options: dict[str, Any]) -> str:
    """Returns the page."""
    ways, causes, twice, rules = (results[name] for name in ("ways", "causes", "twice the update", "credit"))
    return page(
        "# Where a tree can pay at all: a tabular study",
        f"""`make bench-estimators`, or `python benchmarks/study.py`; raw results in `benchmarks/results/study.json`.
        {options["steps"]} steps of {ROLLOUTS} T turns, updates of norm {ways["size"]:g}; {ways["seeds"]} paired seeds
        in the first table, {causes["seeds"]} in the others.""",
        f"""Each cell is a method's turns-efficiency ± standard error: turns that stage 1 alone needs until its mean
        success equals the method's mean final success, over the turns that the method used (stage 1 alone = 1.00; a
        jackknife over the paired seeds; `>`: stage 1 alone did not get there in {options["longer"]} times the steps).
        `start` and `stage 1` are exact mean success before training, and of stage 1 alone after the last step.""",
        "## Ways to spend the turns",
        _table(ways),
        _left(["column", "stage 1", "stage 2", "credit"], COLUMNS),
        f"""Setting (`benchmarks/tabular/worlds.py`): {TASKS} tasks a seed in {CLUSTERS} clusters of
        {TASKS // CLUSTERS}. The tasks of a cluster share the turns that decide and their policy: one vector of
        {ACTIONS} logits a turn, blind to whether an error was made. Success probabilities start at logits drawn from
        N(0, {SPREAD:g}^2), which gives a base effective ratio (uniform groups of {GROUP}) of about .33. Recoverable: up
        to {BEHIND} errors are remembered, each right action makes up for one, and an episode succeeds if it ends with
        none. Stage 2: {STAGE2:g} of the step's turns, {EACH} continuations a prefix at most, chosen over all trees of
        the step; unused turns go to the next step's stage 1. Predicted values: true ones plus N(0, 1) in the logit,
        drawn anew each step for each task, turn and state; stage 1 uses them too, for every method but `U8`. All turns
        cost the same.""",
        "## What changes when one thing changes",
        _table(causes),
        """`groups of 4`: stage 1 alone, smallest group 4 (2 elsewhere). `TR1, by task`: each task spends its own share
        of the continuations, as in the paper. `noise`: standard deviation of the error of predicted logits at prefixes,
        and of the critic's (roots keep 1). `A1, shared`: all states of a task share one error a step, so that
        differences of values are nearly free of it.""",
        f"Updates of twice the norm ({twice['size']:g}), for stage 1 alone as well:",
        _table(twice),
        "## Credit on trees",
        """Every rule of `treeroll.credit`, the functions themselves, on the trees of `VC1`; values with noise 1 where a
        rule uses any.""",
        _upright(rules),
    )


def _table(part: dict[str, Any]) -> str:
    """Returns a table with a line a world."""
    names = [name for name in part["worlds"][0]["methods"] if name != REFERENCE]
    lines = [
        [row["world"]["name"], str(row["world"]["turns"]), f"{row['start']:.2f}",
         f"{row['methods'][REFERENCE]['final_success']:.2f}", *(_cell(row["methods"][name]) for name in names)]
        for row in part["worlds"]
    ]  # fmt: skip
    return table(["world", "T", "start", REFERENCE, *names], lines)


def _upright(part: dict[str, Any]) -> str:
    """Returns a table with a line a method."""
    worlds = part["worlds"]
    heading = ["credit", *(f"{row['world']['name']}, T = {row['world']['turns']}" for row in worlds)]
    names = [name for name in worlds[0]["methods"] if name != REFERENCE]
    return table(heading, [[f"`{name}`", *(_cell(row["methods"][name]) for row in worlds)] for name in names])


def _left(heading: list[str], lines: list[list[str]]) -> str:
    """Returns a table of text."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *lines))


def _cell(row: dict[str, Any]) -> str:
    if row["at_least"] is not None:
        return f"> {row['at_least']:.1f}"
    return f"{row['turns_efficiency']:.2f} ± {row['standard_error']:.2f}"
