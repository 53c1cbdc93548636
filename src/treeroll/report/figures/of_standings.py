"""The differences to the reference as figures."""

from __future__ import annotations

from treeroll.report.compared import Comparison, Estimate
from treeroll.report.figures.forest import forest
from treeroll.report.figures.strokes import Stroke, stroke
from treeroll.report.figures.svg import Figure, showable


def of_standings(found: Comparison, key: str) -> list[Figure]:
    """Returns the differences to the reference in a column: over all environments, where pooled, and on each."""
    places = {arm.name: arm.place for arm in found.arms}
    over = [(name, gaps[key]) for name, gaps in found.pooled if key in gaps]
    parts = [("All worlds", "Each world has the same weight.", over)]
    parts += [
        (env, "", [(arm.name, arm.difference[key]) for arm in found.on(env) if key in arm.difference])
        for env in found.envs
    ]

    def row(name: str, gap: Estimate) -> tuple[str, Stroke, tuple[float, float | None, float | None]]:
        return name, stroke(places.get(name)), (gap.mean, gap.low, gap.high)

    drawn = (
        forest(
            title, f"Difference on {place}, {title}", caption, [row(*pair) for pair in rows],
            xlabel=f"difference to {showable(found.reference)}",
        )
        for place, (title, caption, rows) in enumerate(parts)
    )  # fmt: skip
    return [figure for figure in drawn if figure is not None]
