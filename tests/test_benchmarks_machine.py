"""What benchmarks say about the machine that made them: nothing that only it knows."""

import re
import sys

import pytest

import machine


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (str(machine.PROJECT / "runs" / "compare"), "runs/compare"),
        ("/somewhere/else/src", "src"),
        ("--out=/somewhere/else/costs.json", "--out=costs.json"),
        ("--repeats", "--repeats"),
        ("runs/compare", "runs/compare"),
    ],
)
def test_a_command_is_told_without_the_machines_paths(word, said, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/benchmarks/costs.py", word])
    assert machine.about()["command"] == ["benchmarks/costs.py", said]


def test_no_result_names_a_path_of_the_machine():
    found = sorted(machine.RESULTS.glob("*.json"))
    assert found
    for file in found:
        text = file.read_text(encoding="utf-8")
        assert str(machine.PROJECT) not in text, file
        assert not re.search(r'["=]/', text), f"{file}: holds an absolute path"
