"""A histogram over integer bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treeroll.report.figures.svg import FIRST, Figure, draw


def bars(title: str, caption: str, counts: Mapping[int, float], *, xlabel: str) -> Figure | None:
    """Returns a bar chart over integer bins; None where nothing was counted."""
    counts = {value: count for value, count in counts.items() if count > 0}
    if not counts:
        return None
    if max(counts) - min(counts) < 16:
        counts = {value: counts.get(value, 0.0) for value in range(min(counts), max(counts) + 1)}

    def paint(axes: Any) -> None:
        places = range(len(counts))
        drawn = axes.bar(places, list(counts.values()), color=FIRST, width=0.68, alpha=0.85)
        if len(counts) <= 12:
            words = [f"{count:,.0f}" if count else "" for count in counts.values()]
            axes.bar_label(drawn, words, padding=2, fontsize=8)
            axes.set_yticks([])
        every = -(-len(counts) // 16)
        axes.set_xticks(list(places)[::every], [f"{value:,}" for value in counts][::every])
        axes.tick_params(axis="x", length=0)
        axes.margins(y=0.12)
        axes.set_xlabel(xlabel)

    words = ", ".join(f"{value}: {count:,.0f}" for value, count in list(counts.items())[:12])
    return Figure(title, caption, draw(title, f"{title}, {xlabel} and count: {words}.", paint))
