import pytest

from treeroll.errors import DataError
from treeroll.report import data


def test_numbers_that_no_float_holds_are_none():
    huge = {"spent": {"tokens": 10**400}, "allocation": {"groups": {"2": 10**400, "3": 1}}}
    assert data.last([huge], "spent", "tokens") is None
    assert data.histogram([huge], "allocation", "groups") == {3: 1}


def test_series_skip_records_without_the_number():
    records = [{"step": 0}, {"step": 1, "a": {"b": 0.5}}, {"step": 2, "a": None}, {"step": 3, "a": {"b": 0.7}}]
    assert data.series(records, "a", "b") == [(1, 0.5), (3, 0.7)]
    assert data.last(records, "a", "b") == 0.7
    assert data.last(records, "z") is None


def test_histograms_add_up_over_steps_in_order_of_their_bins():
    records = [
        {"allocation": {"groups": {"10": 1, "2": 3, "odd": 4}}},
        {"allocation": {"groups": {"2": 2, "3": None}}},
        {"allocation": 3},
    ]
    assert data.histogram(records, "allocation", "groups") == {2: 5, 10: 1}
    assert list(data.histogram(records, "allocation", "groups")) == [2, 10]


def test_phases_are_summed_longest_first():
    records = [
        {"seconds": {"sample": {"cpu": 1.0, "wall": 2.0}, "update": {"cpu": 1.0, "wall": 3.0}}},
        {"seconds": {"sample": {"wall": 2.0}, "other": 5}},
        {"seconds": None},
    ]
    assert data.phases(records) == [
        data.Phase("sample", 4.0, 1.0), data.Phase("update", 3.0, 1.0), data.Phase("other", 0.0, 0.0),
    ]  # fmt: skip


def test_nested_settings_become_dotted_rows():
    assert data.flatten({"a": {"b": 1, "c": {"d": None}}, "e": [1, 2], "f": {}}) == [
        ("a.b", "1"), ("a.c.d", "None"), ("e", "1, 2"), ("f", "{}"),
    ]  # fmt: skip


def test_the_command_can_be_typed_again():
    about = {"commit": "abc", "command": ["treeroll", "train", "--out", "my runs"]}
    assert data.provenance(about) == [("commit", "abc"), ("command", "treeroll train --out 'my runs'")]


def test_what_is_not_a_run_folder(tmp_path):
    with pytest.raises(DataError, match="no such run folder"):
        data.load_run(tmp_path / "none")
    with pytest.raises(DataError, match="not a run folder"):
        data.load_run(tmp_path)
