"""The two benchmarks from end to end, as small as they get: results and pages are written and hold every rule."""

import json
import sys

import pytest

import estimators
import study
from tabular.examples import recoverable
from tabular.prose import fill, page
from treeroll import credit


def test_estimators(monkeypatch, tmp_path):
    out, table = tmp_path / "results.json", tmp_path / "page.md"
    monkeypatch.setattr(estimators, "EXAMPLES", (recoverable,))
    monkeypatch.setattr(estimators, "TURNS", (3,))
    command = ["estimators.py", "--blocks", "3", "--trees", "6", "--out", str(out), "--table", str(table)]
    monkeypatch.setattr(sys, "argv", command)
    estimators.main()
    records = json.loads(out.read_text())["records"]
    assert [(record["design"], record["values"]) for record in records] == list(estimators.CASES)
    assert [record["turns_per_tree"] for record in records if record["design"] == "flat"] == [24.0, 24.0]
    for record in records:
        assert 18 < record["turns_per_tree"] <= 26
    assert list(records[0]["credit"]) == list(credit.ESTIMATORS)
    assert set(records[3]["credit"]) == {name for name, rule in credit.ESTIMATORS.items() if rule.needs_values}
    text = table.read_text()
    for name in credit.ESTIMATORS:
        assert f"| `{name}` |" in text
    assert "| 0.200 | 0.261 |" in text


def test_study():
    worlds = [study.World("recoverable", 3, "all", recoverable=True)]
    parts = {name: study.Part(worlds, part.methods, 2) for name, part in study.parts(2, 2).items()}
    results = {}
    for name, part in parts.items():
        cells = {
            way: study.run(worlds[0], range(2), way, method, steps=8 if way == study.REFERENCE else 2, size=0.3)
            for way, method in part.methods.items()
        }
        results[name] = {"seeds": 2, "size": 0.3, "worlds": [study.summary(worlds[0], cells, 2)]}
    for row in results["ways"]["worlds"][0]["methods"].values():
        assert 0.8 < row["share_of_turns_used"] <= 1
    assert results["ways"]["worlds"][0]["methods"][study.REFERENCE]["turns_efficiency"] == pytest.approx(1.0)
    text = study.write(results, {"steps": 2, "longer": 4})
    for name in credit.ESTIMATORS:
        assert f"| `{name}` |" in text


def test_paragraphs_are_filled_and_tables_are_not():
    assert fill("a\n   b") == "a b"
    assert page("# h", "| a |\n| --- |", "b " * 100).splitlines()[:4] == ["# h", "", "| a |", "| --- |"]
    assert max(map(len, page("b " * 100).splitlines())) <= 120
