"""Shares of several arms over the same bins: one row an arm, squares whose area is the share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treeroll.report.figures.strokes import Stroke
from treeroll.report.figures.svg import Figure, draw, showable

MOST_BINS = 11
"""More bins than that are joined, the larger values first."""
ROW = 0.27
"""Inches."""
LARGEST = 190.0
"""Area in square points of the square that stands for all of a row."""


def matrix(
    title: str,
    name: str,
    caption: str,
    rows: Sequence[tuple[str, Stroke, Mapping[int, float]]],
    *,
    xlabel: str,
) -> Figure | None:
    """Returns the rows' histograms as shares of each row; None where nothing was counted.

    Args:
      title: above the figure.
      name: the title with its environment; unique on the page.
      caption: below the title.
      rows: (label, stroke, counts by integer value); a row without counts is left out.
      xlabel: what the values are.
    """
    rows = [(label, how, counts) for label, how, counts in rows if sum(counts.values()) > 0]
    if not rows:
        return None
    edges = joined(sorted({value for *_, counts in rows for value, count in counts.items() if count > 0}))
    shares = [
        [sum(counts.get(value, 0.0) for value in part) / sum(counts.values()) for part in edges] for *_, counts in rows
    ]

    def paint(axes: Any) -> None:
        for row, (_, how, _) in enumerate(rows):
            for place, share in enumerate(shares[row]):
                if not share:
                    continue
                axes.scatter([place], [row], s=LARGEST * share, marker="s", color=how.colour, linewidths=0)
                if len(edges) > 1:
                    axes.annotate(
                        f"{100 * share:.0f}", (place, row), xytext=(LARGEST**0.5 * share**0.5 / 2 + 1.5, 0),
                        textcoords="offset points", fontsize=6.5, va="center_baseline",
                    )  # fmt: skip
        axes.set(xlim=(-0.6, len(edges) - 0.2), ylim=(len(rows) - 0.4, -0.6), xlabel=xlabel)
        axes.set_xticks(range(len(edges)), [_bin(part) for part in edges])
        axes.set_yticks(range(len(rows)), [showable(label) for label, *_ in rows])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)

    words = "; ".join(
        f"{label}: " + ", ".join(f"{_bin(part)} {share:.0%}" for part, share in zip(edges, found, strict=True) if share)
        for (label, *_), found in zip(rows, shares, strict=True)
    )
    return Figure(title, caption, draw(name, f"{name}. {words}.", paint, height=0.75 + ROW * len(rows)))


def joined(values: Sequence[int]) -> list[list[int]]:
    """Returns at most `MOST_BINS` bins of neighbouring values; the first ones keep a bin of their own.

    Wider and wider bins cover the tail, so that a few large groups do not squeeze the small ones.
    """
    if len(values) <= MOST_BINS:
        return [[value] for value in values]
    single = MOST_BINS - 4
    bins, rest = [[value] for value in values[:single]], list(values[single:])
    for left in (4, 3, 2, 1):
        size = len(rest) if left == 1 else max(1, len(rest) // (2 * left - 1))
        if rest:
            bins.append(rest[:size])
        rest = rest[size:]
    return bins


def _bin(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]}\u2013{values[-1]}"
