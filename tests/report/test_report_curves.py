import xml.etree.ElementTree as ET

import pytest

from treeroll.report import curves, data


def test_every_figure_is_small_well_formed_svg_with_live_text(run_dir):
    figures = curves.draw_all(data.load_run(run_dir).records)
    assert [figure.title for figure in figures] == [
        "Held-out success", "Effective ratio", "Mixed groups per 1,000 rollouts", "Predictor skill", "Predictor AUC",
        "Flips, predicted and realised", "Rollouts a task", "Where continuations branch",
    ]  # fmt: skip
    for figure in figures:
        root = ET.fromstring(figure.svg)
        assert root.get("aria-label", "").startswith(figure.title)
        assert len(figure.svg) < 20_000
        assert "<text" in figure.svg
        assert "var(--first)" in figure.svg
        assert "#0a0b0" not in figure.svg
        assert "http" not in figure.svg


def test_the_ids_of_two_figures_differ(run_dir):
    figures = curves.draw_all(data.load_run(run_dir).records)
    ids = [element.get("id") for figure in figures for element in ET.fromstring(figure.svg).iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_equal_records_give_equal_drawings(run_dir):
    records = data.load_run(run_dir).records
    assert curves.draw_all(records) == curves.draw_all(records)


def test_missing_groups_are_not_drawn():
    assert curves.draw_all([]) == []
    assert curves.draw_all([{"step": 1, "contrast": None, "allocation": {"groups": {"2": 0}}}]) == []


def test_one_point_is_enough():
    (figure,) = curves.draw_all([{"step": 0, "heldout": {"success": 0.5, "low": 0.4, "high": None}}])
    assert "0.5" in figure.svg
    assert ">step<" in figure.svg


def test_curves_without_a_complete_interval_have_no_band():
    records = [{"step": step, "heldout": {"success": 0.5, "low": 0.4}} for step in range(4)]
    (figure,) = curves.draw_all(records)
    assert "opacity: 0.16" not in figure.svg


def test_the_moving_mean_is_centred_and_shorter_at_the_ends():
    assert curves.smoothed([(0, 0.0), (1, 3.0), (2, 6.0)]) == [(0, 1.5), (1, 3.0), (2, 4.5)]


def test_long_series_are_averaged_in_bins():
    points = [(float(x), float(x)) for x in range(1000)]
    thin = curves.thinned(points)
    assert len(thin) == 250
    assert thin[0] == (1.5, 1.5)
    assert curves.thinned(points[:300]) == points[:300]


@pytest.mark.parametrize(
    ("value", "words"), [(0.5, "0.5"), (0, "0"), (1000, "1,000"), (-0.2, "-0.2"), (120000, "120,000")]
)
def test_ticks_read_well(value, words):
    assert curves._tick(value, 0) == words
