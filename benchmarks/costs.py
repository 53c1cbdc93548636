"""What continuations were expected to cost, what they cost, and their share of all tokens: from a comparison's trees.

Reads runs/compare (`make compare`), arm `trace`, the trees of its evaluated steps. Stage 2 divides by expected cost, so
a prefix that looks cheaper than it is gets continuations that it should not: a choice finds what is underestimated.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from machine import RESULTS, about, elsewhere, save, table
from treeroll.budget import cost
from treeroll.comparison.plan import read_plan
from treeroll.errors import DataError
from treeroll.tree import RolloutTree
from treeroll.treefile import load_trees


def continuations(tree: RolloutTree) -> Iterator[tuple[int, float, int]]:
    """Yields each continuation's turn, counted at its anchor, its expected cost and its cost, in sampled tokens."""
    for index, node in enumerate(tree.nodes):
        origin = node.origin
        if origin.kind == "continuation" and node.parent == origin.anchor and origin.cost is not None:
            path = tree.path(tree.incumbent(index))
            own = [tree.nodes[place] for place in path[path.index(index) :]]
            yield tree.depth(origin.anchor), origin.cost, cost(own, "tokens")


def measure(folder: Path) -> list[dict[str, Any]]:
    """Returns the mean expected and actual cost of each world's continuations, of all and by turn; of all, also the
    share of the sampled tokens that they took."""
    found = []
    for world in sorted(path.parent for path in folder.glob("runs/*/trace")):
        files = sorted(world.glob("trace/seed-*/trees/*"))
        trees = [tree for file in files for tree in load_trees(file)]
        seen = np.array([one for tree in trees for one in continuations(tree)]).reshape(-1, 3)
        share = seen[:, 2].sum() / sum(cost(tree.nodes[1:], "tokens") for tree in trees) if len(seen) else 0.0
        turns = sorted(set(seen[:, 0].astype(int).tolist()))
        for turn in (None, *turns) if turns else ():
            own = seen if turn is None else seen[seen[:, 0] == turn]
            expected, actual = own[:, 1:].mean(axis=0).tolist()
            found.append({"env": world.name, "turn": turn, "number": len(own), "expected": expected, "actual": actual})
            if turn is None:
                found[-1]["share"] = share
    return found


def main() -> None:
    """Prints the means of each world and writes all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/compare"), help="a comparison [%(default)s]")
    parser.add_argument("--out", type=Path, default=RESULTS / "costs.json", help="raw results [%(default)s]")
    options = parser.parse_args()
    try:
        runs = read_plan(options.folder).about.get("commit")
        found = measure(options.folder)
    except DataError as error:
        raise SystemExit(str(error)) from error
    if not found:
        raise SystemExit(f"{options.folder}: no continuations of trace in saved trees: run make compare first")
    whole = [one for one in found if one["turn"] is None]
    lines = [
        [one["env"], f"{one['number']:,}", f"{one['expected']:.1f}", f"{one['actual']:.1f}", f"{one['share']:.0%}"]
        for one in whole
    ]
    print(table(["world", "continuations", "expected tokens", "tokens", "of all tokens"], lines))
    save(options.out, {**about(), "folder": elsewhere(str(options.folder)), "runs_commit": runs, "costs": found})


if __name__ == "__main__":
    main()
