"""The README's main table from the comparison on disk, with its raw results, page and report; `make compare` runs both.

Reads the run folders of runs/compare, takes differences to `trace`, and writes

benchmarks/results/compare.json   all numbers, every seed
docs/tables/compare.md            all columns
docs/reports/compare.html         the report
README.md                         the table between its two marks
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from machine import RESULTS
from treeroll.compare.command import write
from treeroll.comparison import COMPARISON, TABLE
from treeroll.sinks import read_json

Record = dict[str, Any]
HERE = Path(__file__).parent.parent
MARKS = ("<!-- main table: make compare -->", "<!-- end of the main table -->")
REFERENCE = "trace"


def main() -> None:
    """Writes all four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/compare"), help="what treeroll compare wrote")
    folder = parser.parse_args().folder
    report = write(folder, reference=REFERENCE)
    found = read_json(folder / COMPARISON)
    if found["problems"]:
        raise SystemExit(f"{folder}: not written, the comparison is not whole:\n" + "\n".join(found["problems"]))
    shutil.copy(folder / COMPARISON, RESULTS / "compare.json")
    shutil.copy(folder / TABLE, HERE / "docs" / "tables" / "compare.md")
    shutil.copy(report, HERE / "docs" / "reports" / "compare.html")
    readme = HERE / "README.md"
    readme.write_text(placed(readme.read_text(encoding="utf-8"), main_table(found)), encoding="utf-8")
    print(f"written: {readme}")


def placed(text: str, table: str) -> str:
    """Returns a page with the table between its marks replaced.

    Raises:
      ValueError: the page lacks a mark.
    """
    before, _, rest = text.partition(MARKS[0])
    _, found, after = rest.partition(MARKS[1])
    if not found:
        raise ValueError(f"the page lacks {MARKS[0]} or {MARKS[1]}")
    return f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}"


def main_table(found: Record) -> str:
    """Returns success of each arm, and what `trace` has over it: success, and tokens for the same success.

    Args:
      found: `comparison.json`, its differences taken to `trace`.
    """
    lines = ["| world | method | success | TRACE over it | tokens, times |", "|---|---|---|---|---|"]
    for env in found["envs"]:
        arms = [arm for arm in found["arms"] if arm["env"] == env]
        start = next(arm["mean"]["start"] for arm in arms)
        first = f"`{env}`, from {_share(start)}"
        for arm in arms:
            own = _share(arm["mean"]["success_tokens"])
            lines.append(f"| {first} | `{arm['name']}` | {own} | {_over(arm)} | {_times(arm)} |")
            first = ""
    lines += [
        f"| all {len(found['envs'])} | `{arm['name']}` | | {_gap(arm['difference']['success_tokens'])} | |"
        for arm in found["pooled"]
    ]
    return "\n".join(lines)


def _share(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _gap(theirs: Record) -> str:
    """Returns `trace` minus an arm, from the arm minus `trace`."""
    if theirs["low"] is None:  # too few seeds for an interval
        return _sign(-theirs["mean"])
    mean, low, high = -theirs["mean"], -theirs["high"], -theirs["low"]
    shown = f"{_sign(mean)} [{_sign(low)}, {_sign(high)}]"
    return f"**{shown}**" if low > 0 or high < 0 else shown


def _sign(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


def _over(arm: Record) -> str:
    theirs = arm["difference"]["success_tokens"]
    return "" if theirs is None else _gap(theirs)


def _times(arm: Record) -> str:
    """Returns what an arm samples for the same success, over what `trace` does: the inverse of its efficiency."""
    mean, low, high = (arm[part]["efficiency"] for part in ("mean", "high", "low"))
    if mean is None:
        return ""
    return _ratio(mean) if low is None else f"{_ratio(mean)} [{_ratio(low)}, {_ratio(high)}]"


def _ratio(efficiency: float | str) -> str:
    """Returns 1 over an efficiency, a number or `"inf"`; one of 0 did not learn: no number of tokens is enough."""
    return f"{1 / float(efficiency):.2f}" if float(efficiency) > 0 else "∞"


if __name__ == "__main__":
    main()
