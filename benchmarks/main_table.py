"""The table of a comparison on disk, with its raw results, page and report; `make compare` and its sister end with it.

`python benchmarks/main_table.py NAME` reads the run folders of runs/NAME, takes differences to `trace`, and writes

benchmarks/results/NAME.json    all numbers, every seed
docs/tables/NAME.md             all columns
docs/reports/NAME.html          the report
README.md (of `compare`), docs/experiments.md (of `compare-rivals`)     the table between its two marks
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from machine import RESULTS
from treeroll.compare.command import write
from treeroll.comparison import COMPARISON, TABLE
from treeroll.comparison.statistics import LEAST, differences, pooled_difference
from treeroll.errors import TreerollError
from treeroll.sinks import read_json

Record = dict[str, Any]
HERE = Path(__file__).parent.parent
PAGES = {"compare": "README.md", "compare-rivals": "docs/experiments.md"}
"""Where the table of a comparison stands."""
REFERENCE, STAGE_1 = "trace", "trace-stage1"


def main() -> None:
    """Writes all four; where there are too few seeds for intervals, prints the table alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PAGES, help="which comparison")
    parser.add_argument("--folder", type=Path, help="what treeroll compare wrote; runs/NAME unless given")
    asked = parser.parse_args()
    folder = asked.folder or Path("runs") / asked.name
    try:
        report = write(folder, reference=REFERENCE)
    except TreerollError as error:
        raise SystemExit(f"{folder}: {error}") from error
    found = read_json(folder / COMPARISON)
    if found["problems"]:
        raise SystemExit(f"{folder}: not written, the comparison is not whole:\n" + "\n".join(found["problems"]))
    table = main_table(found)
    if len(found["seeds"]) < LEAST:
        print(f"{table}\n{len(found['seeds'])} seeds are a trial: no page was written. {LEAST} or more are a result")
        return
    shutil.copy(folder / COMPARISON, RESULTS / f"{asked.name}.json")
    shutil.copy(folder / TABLE, HERE / "docs" / "tables" / f"{asked.name}.md")
    shutil.copy(report, HERE / "docs" / "reports" / f"{asked.name}.html")
    page = HERE / PAGES[asked.name]
    page.write_text(placed(page.read_text(encoding="utf-8"), asked.name, table), encoding="utf-8")
    print(f"written: {page}")


def placed(text: str, name: str, table: str) -> str:
    """Returns a page with the table between its marks replaced.

    Raises:
      ValueError: the page lacks a mark.
    """
    start, end = f"<!-- table: make {name} -->", f"<!-- end of table: make {name} -->"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page lacks {start} or {end}")
    return f"{before}{start}\n{table}\n{end}{after}"


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
    pooled = {f"`{arm['name']}`": _turned(arm["difference"]["success_tokens"]) for arm in found["pooled"]}
    names = [arm["name"] for arm in found["pooled"]]
    if STAGE_1 in names:
        pooled |= {f"`{STAGE_1}` over `{name}`": _stage_1_over(found, name) for name in names if name != STAGE_1}
    lines += [f"| all {len(found['envs'])} | {who} | | {_gap(gap)} | |" for who, gap in pooled.items()]
    return "\n".join(lines)


def _stage_1_over(found: Record, name: str) -> Record:
    """Returns what the first stage alone has over an arm, over all worlds."""
    values = {
        (arm["env"], arm["name"]): dict(zip(arm["seeds"], arm["values"]["success_tokens"], strict=True))
        for arm in found["arms"]
        if arm["name"] in (STAGE_1, name)
    }
    worlds = [differences(values[env, STAGE_1], values[env, name]) for env in found["envs"]]
    return pooled_difference(worlds).to_json()


def _share(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _turned(theirs: Record) -> Record:
    """Returns `trace` minus an arm, from the arm minus `trace`."""
    low, high = theirs["high"], theirs["low"]
    if low is None:  # too few seeds for an interval
        return {"mean": -theirs["mean"], "low": None, "high": None}
    return {"mean": -theirs["mean"], "low": -low, "high": -high}


def _gap(gap: Record) -> str:
    mean, low, high = gap["mean"], gap["low"], gap["high"]
    if low is None:
        return _sign(mean)
    shown = f"{_sign(mean)} [{_sign(low)}, {_sign(high)}]"
    return f"**{shown}**" if low > 0 or high < 0 else shown


def _sign(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


def _over(arm: Record) -> str:
    theirs = arm["difference"]["success_tokens"]
    return "" if theirs is None else _gap(_turned(theirs))


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
