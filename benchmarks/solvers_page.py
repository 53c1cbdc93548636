"""The markdown page of `solvers.py`."""

from __future__ import annotations

from typing import Any

from machine import table
from tabular.prose import page


def write(result: dict[str, Any]) -> str:
    """Returns the page of whichever parts were measured."""
    parts = ["# The solvers", "`make bench-solvers`; raw results in `benchmarks/results/solvers.json`."]
    if "speed" in result:
        parts += _speed(result["speed"])
    if "gap" in result:
        parts += _gap(result["gap"])
    return page(*parts)


def _speed(speed: dict[str, Any]) -> list[str]:
    rows = speed["rows"]
    sizes = sorted({row["n"] for row in rows})
    at = {(row["case"], row["n"]): row for row in rows}
    names = list(dict.fromkeys(row["case"] for row in rows))
    lines = [
        [name, *(f"{at[name, n]['ratio']:.1f}" for n in sizes), *(f"{value:.2f}" for value in speed["growth"][name]),
         *(f"{at[name, n]['bytes_per_element']:.0f}" for n in sizes[-2:])]
        for name in names
    ]  # fmt: skip
    lines.append(
        ["`numpy.argsort`", *("1.0" for _ in sizes), *(f"{v:.2f}" for v in speed["growth"]["argsort"]), "", ""]
    )
    heading = ["case", *(f"n = {n:,}" for n in sizes), "growth to 1e4", "to 1e5", "to 1e6", "bytes each at 1e5",
               "at 1e6"]  # fmt: skip
    kept = " ".join(
        f"{one['case']}, n = {one['n']:,}: {one['ratio']:.1f} (the goal: at most {one['limit']:g})."
        for one in speed["targets"]
    )
    return [
        "## Speed",
        f"CPU time in argsorts of as many random numbers, each taken next to the sort in one process and one thread; "
        f"medians of {speed['repeats']}. Growth is the exponent of n from one size to the next; bytes are what a call "
        f"allocates at most besides its input, per task or prefix. {kept}",
        table(heading, lines),
    ]


def _gap(gap: dict[str, Any]) -> list[str]:
    exact = [
        [row["kind"], str(row["anchors"]), f"{row['cases']:,}", f"{row['optimal']:.2%}", f"{row['worst_loss']:.1e}"]
        for row in gap["exact"]
    ]
    large = [
        [row["kind"], f"{row['anchors']:,}", str(row["cases"]), f"{row['median_below_bound']:.1e}",
         f"{row['worst_below_bound']:.1e}"]
        for row in gap["large"]
    ]  # fmt: skip
    return [
        "## What is lost where costs or strengths differ",
        "Against an exhaustive programme over all allocations; the loss is a share of the optimal value.",
        table(["kind", "anchors", "cases", "optimal", "worst loss"], exact),
        "Large problems against the Lagrangian bound, which is above the optimum: the share that is missing.",
        table(["kind", "anchors", "cases", "median", "worst"], large),
    ]
