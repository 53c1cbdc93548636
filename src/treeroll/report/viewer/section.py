"""The section of the report that holds the trees: style, packed data and scripts in one piece of HTML."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from treeroll import sinks
from treeroll.errors import DataError
from treeroll.report.advantages import rule
from treeroll.report.viewer import bundle
from treeroll.report.viewer.records import readable
from treeroll.report.viewer.steps import PackedStep, pack_steps

MOST_MEGABYTES = 12.0
"""Packed trees in one page; about 500 steps of the default run. A phone opens that."""


def section(run_dir: Path, *, most_megabytes: float = MOST_MEGABYTES, notices: list[str] | None = None) -> str:
    """Returns the HTML of the tree viewer of a run, self-contained; equal folders give equal text.

    A tree file that cannot be read is left out and named. Text from the run is escaped, or packed where it is not HTML.

    Args:
      run_dir: the folder that a run wrote, finished or not.
      most_megabytes: limit of the packed trees; what does not fit is left out, and the section says so.
      notices: where its sentences on what is left out are added.
    """
    try:
        config = sinks.read_json(run_dir / sinks.CONFIG)
    except DataError:
        config = {}  # the top of the report names the damage; here it costs the credit, which says so itself
    by = rule(config)
    packed, left_out = pack_steps(run_dir, by, int(most_megabytes * 1e6))
    if notices is not None:
        notices += left_out
    index = {
        "steps": [{"step": one.step, "trees": one.trees} for one in packed],
        "credit": readable(by.name),
        "problem": readable(by.problem),
        "unit": _unit(config),
    }
    return "\n".join(
        [
            '<section class="tv" id="trees" aria-labelledby="tv-title">',
            f"<style>\n{bundle.style()}</style>",
            '<h2 id="tv-title">Trees</h2>',
            *_words(packed, left_out),
            *(_viewer(index, packed) if packed else []),
            "</section>",
        ]
    )


def script_policy() -> str:
    """Returns the source expression with which a page's Content-Security-Policy lets the viewer's script run."""
    digest = hashlib.sha256(_module().encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _words(packed: list[PackedStep], notices: list[str]) -> list[str]:
    if not packed and not notices:
        return ['<p class="empty">No trees are saved in this run.</p>']
    lines = []
    if notices:
        items = "".join(f"<li>{escape(readable(notice))}</li>" for notice in notices)
        lines.append(f'<aside class="tv-notices" role="note"><b>Not everything is shown</b><ul>{items}</ul></aside>')
    if packed:
        lines.append(
            "<noscript><p>The viewer needs JavaScript. <code>treeroll tree DIR --step N</code> draws trees in a "
            "terminal.</p></noscript>"
        )
    return lines


def _viewer(index: dict[str, Any], packed: list[PackedStep]) -> list[str]:
    facts = json.dumps(index, separators=(",", ":")).replace("<", "\\u003c")
    return [
        '<div class="tv-app"></div>',
        f'<script type="application/json" class="tv-index">{facts}</script>',
        *(f'<script type="text/plain" class="tv-data" data-step="{one.step}">{one.data}</script>' for one in packed),
        f'<script type="module">{_module()}</script>',
    ]


def _module() -> str:
    return f"\n{bundle.script()}"


def _unit(config: dict[str, Any]) -> str:
    """Returns what the run's budget is counted in, which is the unit of an anchor's cost."""
    budget = config.get("budget")
    if isinstance(budget, dict):
        for unit in ("turns", "tokens"):
            if budget.get(unit) is not None:
                return unit
    return "rollouts"
