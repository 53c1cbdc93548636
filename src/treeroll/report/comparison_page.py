"""The report of a comparison: what `templates/comparison.html.j2` shows, put together from its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from treeroll.comparison.outcomes import number
from treeroll.comparison.statistics import LEAST
from treeroll.comparison.table import BOUND
from treeroll.report import compared, data, figures, grid, html, standings
from treeroll.report.compared import Arm, Comparison
from treeroll.report.figures.strokes import stroke


def write_comparison(directory: str | os.PathLike[str], *, notices: list[str] | None = None) -> Path:
    """Writes the report of a comparison as one HTML file that needs no network, and returns its path.

    Runs, lines and files that cannot be read are left out and named at the top of the page.

    Args:
      directory: the folder that `treeroll compare` wrote, with its `comparison.json`.
      notices: where the page's sentences on what is left out, or to be read with care, are added.

    Raises:
      DataError: there is no such folder, or no comparison in it.
      MissingExtraError: jinja2 or matplotlib is not installed.
    """
    found = compared.load_comparison(Path(directory))
    if notices is not None:
        notices += found.notices
    return html.write(found.path / "report.html", render(found))


def render(found: Comparison) -> str:
    """Returns the page of a comparison; errors as in `write_comparison`."""
    key, measured = standings.measure(found)
    arms = [_arm(found, arm) for arm in found.arms]
    stands = [one for env in found.envs if (one := standings.standing(found, env)) is not None]
    return html.render(
        "comparison.html.j2",
        kind="comparison",
        title=standings.title(found),
        folder=found.path.resolve().name,
        notices_title="Read with care: not all runs are there, whole and alike",
        notices=found.notices,
        asked=found.seeds,
        least=LEAST,
        bound=BOUND,
        unit=found.unit or "an unknown unit",
        reference=found.reference,
        standings=stands,
        measured=measured,
        gaps=html.drawings(figures.of_standings(found, key)),
        envs=[_env(found, env) for env in found.envs],
        about=[("seeds", _seeds(found)), *data.provenance(found.about)],
        arms=arms,
        unlinked=[name for arm in arms for name, link in arm["runs"] if not link],
        columns=[(column.title, column.about) for column in found.columns if column.about],
        options=data.flatten(found.options),
    )


def _env(found: Comparison, env: str) -> dict[str, Any]:
    arms = found.on(env)
    target = number(found.target, env)
    return {
        "name": env,
        "target": "" if target is None else f"{target:.3f}",
        "grids": grid.grids(found, env),
        "arms": [
            {
                "name": arm.name,
                "letter": arm.letter,
                "stroke": stroke(arm.place),
                "reference": arm.place is None,
                "bound": arm.bound,
            }
            for arm in arms
        ],
        "figures": html.drawings(figures.of_arms(env, arms, found.sweep)),
    }


def _arm(found: Comparison, arm: Arm) -> dict[str, Any]:
    rate = {} if arm.learning_rate is None else {"learner.learning_rate": arm.learning_rate}
    return {
        "letter": arm.letter,
        "name": arm.name,
        "env": arm.env,
        "method": arm.method,
        "seeds": ", ".join(arm.seeds),
        "options": "  ".join(f"{name}={value}" for name, value in data.flatten({**rate, **arm.options})),
        "runs": [(name, _link(found.path, name)) for name, _ in arm.runs],
    }


def _link(path: Path, run: str) -> str:
    """Returns the address of a run's own report, relative to the page; empty where it has none."""
    return quote(f"{run}/report.html") if (path / run / "report.html").is_file() else ""


def _seeds(found: Comparison) -> str:
    """Returns the seeds of the arms; those of the first arm stand for all where all have the same."""
    sets = list(dict.fromkeys(tuple(arm.seeds) for arm in found.arms))
    return ", ".join(sets[0]) if len(sets) == 1 else "not the same for all arms; see the arms"
