"""The README's main table: from a comparison's numbers, and of the numbers that are committed."""

import json
import math
from pathlib import Path

import pytest

import main_table

ROOT = Path(__file__).parent.parent


def parts(**values):
    return {part: dict(values) for part in ("mean", "low", "high")}


def gap(mean, low, high):
    return {"success_tokens": {"mean": mean, "low": low, "high": high}}


@pytest.fixture
def found():
    trace = {"env": "a", "name": "trace", "difference": {"success_tokens": None}}
    trace |= parts(start=0.5, success_tokens=0.75, efficiency=None)
    other = {"env": "a", "name": "grpo", "difference": gap(-0.125, -0.25, 0.0625)}
    other |= parts(start=0.5, success_tokens=0.625, efficiency=0.5)
    other["low"]["efficiency"], other["high"]["efficiency"] = 0.0, 0.8
    pooled = [{"name": "grpo", "difference": gap(-0.125, -0.25, -0.0625)}]
    return {"envs": ["a"], "arms": [trace, other], "pooled": pooled}


def test_differences_and_ratios_are_turned_round(found):
    assert main_table.main_table(found).splitlines()[2:] == [
        "| `a`, from .500 | `trace` | .750 |  |  |",
        "|  | `grpo` | .625 | +.125 [-.062, +.250] | 2.00 [1.25, ∞] |",
        "| all 1 | `grpo` | | **+.125 [+.062, +.250]** | |",
    ]


def test_the_table_stands_between_its_marks(found):
    page = f"before {main_table.MARKS[0]}\nold\n{main_table.MARKS[1]} after"
    once = main_table.placed(page, "new")
    assert once == f"before {main_table.MARKS[0]}\nnew\n{main_table.MARKS[1]} after"
    assert main_table.placed(once, "new") == once
    with pytest.raises(ValueError, match="lacks"):
        main_table.placed("a page without marks", "new")


def test_the_readme_shows_the_committed_results():
    found = json.loads((ROOT / "benchmarks" / "results" / "compare.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert main_table.placed(text, main_table.main_table(found)) == text
    assert found["problems"] == []
    assert all(math.isfinite(arm["mean"]["success_tokens"]) for arm in found["arms"])
