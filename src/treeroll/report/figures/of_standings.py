"""The differences to the reference as figures."""

from __future__ import annotations

from treeroll.report.compared import Comparison, Estimate
from treeroll.report.figures.forest import forest
from treeroll.report.figures.strokes import Stroke, stroke
from treeroll.report.figures.svg import Figure, showable


def of_standings(found: Comparison, key: str) -> list[Figure]:
    """Returns the differences to the reference in a column: over all environments, where pooled, and on each."""
    places = {arm.name: arm.place for arm in found.arms}
    bounds = {arm.name for arm in found.arms if arm.bound}
    over = [(arm.name, arm.difference[key]) for arm in found.pooled if key in arm.difference]
    parts = [("All worlds", "Each world has the same weight.", over)]
    parts += [
        (env, "", [(arm.name, arm.difference[key]) for arm in found.on(env) if key in arm.difference])
        for env in found.envs
    ]

    def row(name: str, gap: Estimate) -> tuple[str, Stroke, Estimate]:
        return f"{showable(name)} (bound)" if name in bounds else name, stroke(places.get(name)), gap

    drawn = (
        forest(
            title, f"Difference on {place}, {title}", caption, [row(*pair) for pair in rows],
            xlabel=f"difference to {showable(found.reference)}",
        )
        for place, (title, caption, rows) in enumerate(parts)
    )  # fmt: skip
    return [figure for figure in drawn if figure is not None]
