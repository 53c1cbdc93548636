"""Tables of comparisons: from their numbers, and of the numbers that are committed."""

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
    marks = "<!-- table: make compare -->", "<!-- end of table: make compare -->"
    once = main_table.placed(f"before {marks[0]}\nold\n{marks[1]} after", "compare", "new")
    assert once == f"before {marks[0]}\nnew\n{marks[1]} after"
    assert main_table.placed(once, "compare", "new") == once
    with pytest.raises(ValueError, match="lacks"):
        main_table.placed(once, "compare-rivals", "new")


def test_what_the_first_stage_alone_has_over_others(found):
    found["pooled"].append({"name": "trace-stage1", "difference": gap(0.0, -0.1, 0.1)})
    grpo, seeds = found["arms"][1], [0, 1, 2]
    grpo |= {"seeds": seeds, "values": {"success_tokens": [0.5, 0.625, 0.75]}}
    first = grpo | {"name": "trace-stage1", "seeds": [2, 1, 0], "values": {"success_tokens": [0.875, 0.75, 0.625]}}
    found["arms"].append(first)
    assert main_table.main_table(found).splitlines()[-1] == "| all 1 | `trace-stage1` over `grpo` | | +.125 | |"


def test_few_seeds_are_a_trial_and_change_no_page(found, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main_table, "write", lambda folder, reference: tmp_path / "report.html")
    monkeypatch.setattr(main_table, "read_json", lambda path: found | {"seeds": [0, 1], "problems": []})
    monkeypatch.setattr(main_table, "HERE", tmp_path)
    monkeypatch.setattr("sys.argv", ["main_table.py", "compare"])
    main_table.main()
    assert "2 seeds are a trial: no page was written" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_comparison_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["main_table.py", "compare", "--folder", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit, match="nothing: "):
        main_table.main()


@pytest.mark.parametrize(("name", "page"), main_table.PAGES.items())
def test_pages_show_the_committed_results(name, page):
    found = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    text = (ROOT / page).read_text(encoding="utf-8")
    assert main_table.placed(text, name, main_table.main_table(found)) == text
    assert found["problems"] == []
    assert all(math.isfinite(arm["mean"]["success_tokens"]) for arm in found["arms"])
