"""GRPO and Dr. GRPO on flat trees equal TRL and verl; their numbers are made by `scripts/parity`."""

import json
from pathlib import Path

import pytest

from handmade import flat
from treeroll.credit.group import group

EPSILON = {"trl": 1e-4, "verl": 1e-6}
"""What each library adds to the standard deviation."""


def recorded(library):
    record = json.loads((Path(__file__).parent / "parity" / f"{library}.json").read_text())
    return [pytest.param(library, case, id=f"{library}: {case['name']}") for case in record["cases"]]


@pytest.mark.parametrize(("library", "case"), [*recorded("trl"), *recorded("verl")])
def test_equal_to_the_library(library, case):
    tree = flat(*case["rewards"])
    leaves = list(tree.leaves)
    scaled, unscaled = group(tree, epsilon=EPSILON[library]), group(tree, scale=False)
    assert scaled.advantages[leaves] == pytest.approx(case["grpo"], rel=0, abs=1e-6)
    assert unscaled.advantages[leaves] == pytest.approx(case["dr_grpo"], rel=0, abs=1e-6)


@pytest.mark.parametrize("library", ["trl", "verl"])
def test_the_record_says_what_made_it(library):
    record = json.loads((Path(__file__).parent / "parity" / f"{library}.json").read_text())
    assert record["made_by"] == f"scripts/parity/{library}_advantages.py"
    assert record["versions"][library]
    assert len(record["cases"]) == 16
