"""What every benchmark says about itself, and how its results are saved."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from treeroll.metrics import jsonable
from treeroll.sinks import provenance

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "torch", "transformers", "tokenizers")


def about() -> dict[str, Any]:
    """Returns versions, commit, machine and command of this process; the load tells whether others were at work."""
    said = provenance([f"benchmarks/{Path(sys.argv[0]).name}", *map(elsewhere, sys.argv[1:])])
    said["packages"] = {name: metadata.version(name) for name in _PACKAGES}
    said["machine"] |= {"processor": _processor(), "load": [round(load, 2) for load in os.getloadavg()]}
    return said


def save(path: Path, value: dict[str, Any]) -> None:
    """Writes a result as JSON; NaN becomes null, and a folder that is missing is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(jsonable(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}")


def table(heading: list[str], lines: list[list[str]]) -> str:
    """Returns a markdown table whose first column is text and whose other columns are numbers."""
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, rule, *lines))


def elsewhere(word: str) -> str:
    """Returns an argument as another machine may know it: a path inside the project from there, one outside by name."""
    key, equal, value = word.rpartition("=")
    path = Path(value)
    if path.is_absolute():
        value = path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else path.name
    return f"{key}{equal}{value}"


def _processor() -> str:
    """Returns the processor's name, which Linux only tells in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
