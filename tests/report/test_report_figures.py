import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from treeroll.report import calibration, data, figures
from treeroll.report.calibration import Calibration
from treeroll.report.figures.arms import Curve, _letters, arms, spread
from treeroll.report.figures.band import Band, band
from treeroll.report.figures.lines import smoothed, thinned
from treeroll.report.figures.matrix import MOST_BINS, joined
from treeroll.report.figures.strokes import stroke
from treeroll.report.figures.svg import COLOURS, draw, showable, tick


def of_run(run_dir):
    return figures.of_run(data.load_run(run_dir).records, calibration.load(run_dir, []))


def test_every_figure_of_a_run_is_small_well_formed_svg_with_live_text(run_dir):
    drawn = of_run(run_dir)
    assert [figure.title for figure in drawn] == [
        "Held-out success", "Effective ratio", "Mixed groups per 1,000 rollouts", "Predictor skill", "Predictor AUC",
        "Flips, predicted and realised", "Calibration", "Flips against their prediction",
        "Rollouts a task", "Where continuations branch",
    ]  # fmt: skip
    for figure in drawn:
        root = ET.fromstring(figure.svg)
        assert root.get("aria-label", "").startswith(figure.title)
        assert len(figure.svg) < 20_000
        assert "<text" in figure.svg
        assert "var(--first)" in figure.svg
        assert "#0a0" not in figure.svg
        assert "http" not in figure.svg


def test_the_ids_of_two_figures_differ(run_dir):
    ids = [element.get("id") for figure in of_run(run_dir) for element in ET.fromstring(figure.svg).iter()]
    named = [name for name in ids if name]
    assert len(named) == len(set(named))


def test_equal_files_give_equal_drawings(run_dir):
    assert of_run(run_dir) == of_run(run_dir)


def test_missing_groups_are_not_drawn():
    assert figures.of_run([], Calibration()) == []
    assert figures.of_run([{"step": 1, "contrast": None, "allocation": {"groups": {"2": 0}}}], Calibration()) == []


def test_one_point_is_enough():
    (figure,) = figures.of_run([{"step": 0, "heldout": {"success": 0.5, "low": 0.4, "high": None}}], Calibration())
    assert "0.5" in figure.svg
    assert ">step<" in figure.svg


def test_curves_without_a_complete_interval_have_no_band():
    records = [{"step": step, "heldout": {"success": 0.5, "low": 0.4}} for step in range(4)]
    (figure,) = figures.of_run(records, Calibration())
    assert "opacity: 0.16" not in figure.svg


def test_the_moving_mean_is_centred_and_shorter_at_the_ends():
    assert smoothed([(0, 0.0), (1, 3.0), (2, 6.0)]) == [(0, 1.5), (1, 3.0), (2, 4.5)]


def test_long_series_are_averaged_in_bins():
    points = [(float(x), float(x)) for x in range(1000)]
    thin = thinned(points)
    assert len(thin) == 250
    assert thin[0] == (1.5, 1.5)
    assert thinned(points[:300]) == points[:300]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "0.5"),
        (0, "0"),
        (1000, "1,000"),
        (-0.2, "-0.2"),
        (120000, "120,000"),
        (2.5e6, "2.5 M"),
        (0.0015, "0.0015"),
    ],
)
def test_ticks_read_well(value, words):
    assert tick(value) == words


def test_text_in_a_drawing_keeps_its_digits_and_is_escaped():
    svg = draw("one", "words", lambda axes: axes.set_xlabel("rate 0.00150 <b> $x$ #0a0b01"))
    assert "rate 0.00150 &lt;b&gt; $x$ #0a0b01" in svg
    assert ET.fromstring(svg).get("aria-label") == "words"


def test_names_in_a_drawing_are_short_and_printable():
    assert showable("grpo") == "grpo"
    assert showable("a" * 40) == "a" * 21 + "\u2026"
    assert showable("a\x1b\u202eb") == "a\ufffd\ufffdb"


def test_arms_differ_by_more_than_colour():
    looks = [(stroke(place).variable, stroke(place).css) for place in range(2 * COLOURS)]
    assert len(set(looks)) == 2 * COLOURS
    assert all(one[1] != other[1] for one, other in pairwise(looks))
    assert stroke(None).variable == "var(--ink)"


def test_letters_are_spread_around_where_they_belong():
    assert spread([0.1, 0.9], 0.2) == [0.1, 0.9]
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    assert spread([0.6, 0.5, 0.5], 0.1) == pytest.approx([1.6 / 3 + 0.1, 1.6 / 3 - 0.1, 1.6 / 3])


def test_many_group_sizes_share_bins_and_the_small_ones_keep_theirs():
    assert joined([2, 4]) == [[2], [4]]
    bins = joined(list(range(2, 42)))
    assert len(bins) == MOST_BINS
    assert bins[:7] == [[2], [3], [4], [5], [6], [7], [8]]
    assert [value for part in bins for value in part] == list(range(2, 42))


def test_letters_meet_the_lines():
    """Where no limits are set, matplotlib fits them to the data only when asked, which the letters must not precede."""
    found = Band(np.array([0.0, 40_000.0]), np.array([0.25, 0.75]), None, None, np.zeros((1, 2)))
    axes = Figure().subplots()
    axes.plot(found.x, found.mean)
    _letters(axes, [Curve("trace", "A", stroke(0), found)])
    start = axes.transAxes.transform(axes.lines[-1].get_xydata()[0])
    assert start == pytest.approx(axes.transData.transform((40_000.0, 0.75)))


def test_few_seeds_are_drawn_as_lines_of_their_own():
    def drawn(seeds):
        runs = [[(0.0, 0.1 * seed), (1.0, 0.5)] for seed in range(seeds)]
        return arms("t", f"t {seeds}", "", [Curve("trace", "A", stroke(0), band(runs))], xlabel="x").svg

    assert drawn(2).count("opacity: 0.45") == 2
    assert drawn(5).count("opacity: 0.45") == 0
