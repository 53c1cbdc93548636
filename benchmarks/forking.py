"""What forking costs: `treeroll env check` on the worlds that need no data file; wall milliseconds, medians."""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

from machine import RESULTS, about, save, table
from treeroll import envs
from treeroll.envs import conformance

WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "atlas, compact": ("atlas", {"rendering": "compact"}),
    "atlas, prose": ("atlas", {"rendering": "prose"}),
    "bfcl-web": ("bfcl-web", {}),
    "bfcl": ("bfcl", {}),
    "reasoning-gym": ("reasoning-gym", {"train": 50, "test": 10}),
    "textworld": ("textworld", {"train": 4, "test": 1}),
}
"""Label -> world and its options."""


def main() -> None:
    """Checks each world, prints the table and writes the raw results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS / "forking.json")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as cache:
        for label, (name, options) in WORLDS.items():
            own = {"cache": cache} if name == "textworld" else {}
            report = conformance.check(envs.load(name, **options, **own), episodes=arguments.episodes)
            times = {key: getattr(report, key) for key in ("keep_ms", "continue_ms", "step_ms")}
            found.append({"world": label, "way": report.method, "ok": report.ok, "forks": report.forks, **times})
            print(f"{label}: {'passed' if report.ok else 'FAILED'}", flush=True)
    lines = [
        [
            one["world"],
            one["way"],
            str(one["forks"]),
            *(_shown(one[key]) for key in ("keep_ms", "continue_ms", "step_ms")),
        ]
        for one in found
    ]
    print("\n" + table(["world", "way", "places forked", "to save, ms", "to continue, ms", "a step, ms"], lines))
    save(arguments.out, {"about": about(), "episodes": arguments.episodes, "worlds": found})


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


if __name__ == "__main__":
    main()
