import numpy as np
import pytest

from treeroll.report.figures.band import band


def test_seeds_are_interpolated_where_all_have_points():
    found = band([[(0, 0.0), (10, 1.0)], [(0, 0.2), (5, 0.4), (20, 1.0)]])
    assert found.x.tolist() == [0, 5, 10]
    assert found.mean == pytest.approx([0.1, 0.45, 0.8])


def test_the_interval_is_that_of_the_table():
    """Of four seeds at 0 and one at 5, as for `mean_interval`; and the same, 1 higher."""
    found = band([[(0, 0.0), (1, 1.0)]] * 4 + [[(0, 5.0), (1, 6.0)]])
    assert found.mean == pytest.approx([1.0, 2.0])
    assert found.low == pytest.approx([0.0, 1.0])
    assert found.high == pytest.approx([4.0, 5.0])


def test_few_seeds_have_no_interval_but_their_own_curves():
    found = band([[(0, 0.5)]])
    assert (found.low, found.high, found.mean.tolist()) == (None, None, [0.5])
    found = band([[(0, 0.0), (1, 0.25)], [(0, 0.5), (1, 0.75)]])
    assert (found.low, found.high) == (None, None)
    assert found.seeds.tolist() == [[0.0, 0.25], [0.5, 0.75]]


def test_seeds_that_share_no_place_have_no_mean():
    assert band([]) is None
    assert band([[(0, 0.0), (1, 1.0)], [(2, 0.0), (3, 1.0)]]) is None


def test_long_curves_are_drawn_at_fewer_places():
    points = [(float(x), float(x)) for x in range(1000)]
    found = band([points, points])
    assert len(found.x) == 240
    assert np.allclose(found.mean, found.x)
