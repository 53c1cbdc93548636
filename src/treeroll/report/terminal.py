"""`treeroll tree`: trees of a run, drawn in the terminal; plain text where the output is no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treeroll import sinks
from treeroll.comparison.plan import runs_with_trees
from treeroll.errors import DataError, did_you_mean, require
from treeroll.report.advantages import recompute, rule
from treeroll.report.drawing import draw, one_line
from treeroll.tree import RolloutTree
from treeroll.treefile import scan_trees

PLAIN_WIDTH = 100
"""Characters a line where the output is a file or a pipe."""
MOST_NAMED = 12
"""Runs of a comparison that are named."""

_STYLES = {
    "text": "bold", "label": "bold", "later": "bold magenta", "frame": "dim", "number": "dim", "success": "green",
    "failure": "red", "mixed": "magenta", "unfinished": "dim", "up": "blue", "down": "yellow", "zero": "dim",
    "chance": "cyan", "action": "", "seen": "dim", "reason": "magenta",
}  # fmt: skip
"""rich styles by the role of a part; the words and signs say the same without colour."""


def print_trees(
    run_dir: Path, *, step: int | None = None, task: str | None = None, mixed: bool = False, first: int | None = None
) -> None:
    """Draws trees of one step; with nothing chosen the one that shows most.

    Args:
      run_dir: the folder of a run.
      step: one whose trees are saved; None for the newest whose file can be read.
      task: only the tree of this task.
      mixed: only trees with a success and a failure.
      first: at most this many; 1 or more.

    Raises:
      DataError: no such run, step or task, or no mixed tree; a tree file that cannot be read.
      MissingExtraError: rich is not installed.
    """
    console = require("rich.console", "report").Console(highlight=False)
    rich_text = require("rich.text", "report").Text
    problems: list[str] = []
    step, trees = load_step(run_dir, step, problems)
    config = _config(run_dir, problems)
    for problem in problems:
        console.print(rich_text(f"problem: {one_line(problem, 10**6)}; it is left out"), soft_wrap=True)
    by = rule(config)
    width = console.width if console.is_terminal else PLAIN_WIDTH
    chosen = choose(trees, task=task, mixed=mixed, first=first)
    for place in chosen:
        tree = trees[place]
        scores, problem = recompute(tree, by)
        note = problem or f"credit by {by.name}"
        if tree.values is not None:
            note += "; p is the predicted success after a turn"
        head = one_line(f"step {step}, tree {place}, task {tree.task.id}; {note}", 10**6)
        console.print(rich_text(head, style="dim"), soft_wrap=True)
        for line in draw(tree, width, scores):
            console.print(rich_text.assemble(*((text, _STYLES[role]) for text, role in line)), soft_wrap=True)
        console.print()
    if len(chosen) < len(trees):
        count = sum(is_mixed(tree) for tree in trees)
        others = f"{len(chosen)} of {len(trees)} trees, {count} of them mixed. Others: --first N, --mixed, --task ID"
        console.print(rich_text(others, style="dim"), soft_wrap=True)


def load_step(run_dir: Path, step: int | None, problems: list[str]) -> tuple[int, list[RolloutTree]]:
    """Returns a step and its trees.

    Args:
      run_dir: the folder of a run.
      step: one whose trees are saved; None for the newest whose file can be read.
      problems: where sentences on what cannot be read are added: lines, beside which the trees of the other lines are
        returned, and with no step asked for also files.

    Raises:
      DataError: as in `print_trees`.
    """
    if not run_dir.is_dir():
        raise DataError(f"{run_dir}: no such run folder; name the DIR that `treeroll train --out DIR` wrote")
    steps = sinks.tree_steps(run_dir)
    if not steps:
        if runs := [run.relative_to(run_dir) for run in runs_with_trees(run_dir)]:
            named = ", ".join(run.as_posix() for run in runs[:MOST_NAMED])
            more = f" and {len(runs) - MOST_NAMED} more" if len(runs) > MOST_NAMED else ""
            raise DataError(f"{run_dir}: a comparison, which has many runs. Name one of them, there: {named}{more}")
        raise DataError(f"{run_dir}: no trees are saved there ({run_dir / sinks.TREES} holds none): see --trees_every")
    if step is not None and step not in steps:
        raise DataError(f"step {step} has no saved trees in {run_dir}. Steps that have: {ranges(steps)}")
    damaged: list[str] = []
    for tried in reversed(steps) if step is None else [step]:
        file = sinks.trees_file(run_dir, tried)
        try:
            trees, said = scan_trees(file)
        except DataError as error:
            trees, said = [], [str(error)]
        damaged += said
        if trees:
            problems += damaged
            return tried, trees
        if not said:
            raise DataError(f"{file}: holds no trees. Steps that are saved: {ranges(steps)}")
    raise DataError(f"{'; '.join(damaged)}. Steps that are saved: {ranges(steps)}")


def choose(
    trees: Sequence[RolloutTree], *, task: str | None = None, mixed: bool = False, first: int | None = None
) -> list[int]:
    """Returns the places of the trees to draw, in order; errors and arguments as in `print_trees`."""
    places = list(range(len(trees)))
    if task is not None:
        ids = [str(tree.task.id) for tree in trees]
        if task not in ids:
            raise DataError(f"no tree of this step is of task {task!r}.{did_you_mean(task, ids)}")
        places = [place for place in places if ids[place] == task]
    if mixed:
        places = [place for place in places if is_mixed(trees[place])]
        if not places:
            raise DataError("no such tree of this step holds both a success and a failure. Leave out --mixed")
    if task is None and not mixed and first is None:
        return [max(places, key=lambda place: (is_mixed(trees[place]), _branched(trees[place]), -place))]
    return places[:first]


def is_mixed(tree: RolloutTree) -> bool:
    """Returns whether a tree holds both a success and a failure; leaves without a reward are neither."""
    scored = [leaf for leaf in tree.leaves if isinstance(tree.nodes[leaf].reward, (int, float))]
    return len({tree.succeeded(leaf) for leaf in scored}) == 2


def ranges(steps: Sequence[int]) -> str:
    """Returns sorted steps in words: 1 to 4, 8, 10."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _config(run_dir: Path, problems: list[str]) -> dict[str, Any]:
    """Returns the options of a run, as far as they are there: without them trees are drawn without credit."""
    if not (run_dir / sinks.CONFIG).exists():
        return {}
    try:
        return sinks.read_json(run_dir / sinks.CONFIG)
    except DataError as error:
        problems.append(str(error))
        return {}


def _branched(tree: RolloutTree) -> bool:
    return any(node.origin.kind == "continuation" for node in tree.nodes)
