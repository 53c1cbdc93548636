import numpy as np
import pytest

from treeroll.report.figures.band import band


def test_seeds_are_interpolated_where_all_have_points():
    found = band([[(0, 0.0), (10, 1.0)], [(0, 0.2), (5, 0.4), (20, 1.0)]])
    assert found.x.tolist() == [0, 5, 10]
    assert found.mean == pytest.approx([0.1, 0.45, 0.8])


def test_of_two_seeds_the_interval_goes_from_one_to_the_other():
    """A quarter of the resamples holds one seed alone, which the tails of 2.5 % reach."""
    found = band([[(0, 0.0), (1, 0.2)], [(0, 0.4), (1, 0.6)]])
    assert found.low == pytest.approx([0.0, 0.2])
    assert found.high == pytest.approx([0.4, 0.6])


def test_one_seed_has_no_interval():
    found = band([[(0, 0.5)]])
    assert (found.low, found.high, found.mean.tolist()) == (None, None, [0.5])


def test_seeds_that_share_no_place_have_no_mean():
    assert band([]) is None
    assert band([[(0, 0.0), (1, 1.0)], [(2, 0.0), (3, 1.0)]]) is None


def test_long_curves_are_drawn_at_fewer_places():
    points = [(float(x), float(x)) for x in range(1000)]
    found = band([points, points])
    assert len(found.x) == 240
    assert np.allclose(found.mean, found.x)
