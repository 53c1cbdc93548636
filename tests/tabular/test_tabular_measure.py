"""The bench's statistics, on gradients whose moments are known."""

import numpy as np
import pytest

from tabular.measure import Blocks, jackknife, mean_and_error, scores, statistics, with_errors

EXACT = np.array([[3.0, 4.0]])


def blocks(mean, spread: float, *, number: int = 20, size: int = 400, seed: int = 0, moves: float = 0.0) -> Blocks:
    """Normal gradients around a mean; `moves` is the standard deviation of each block's own mean."""
    rng = np.random.default_rng(seed)
    centres = np.array(mean) + moves * rng.standard_normal((number, 1, 2))
    return Blocks.of([centre + spread * rng.standard_normal((size, 1, 2)) for centre in centres])


def test_an_unbiased_estimator():
    found = statistics(blocks([[3.0, 4.0]], spread=5.0), EXACT, trees=2.0, pooled=True)
    assert found["scale"] == pytest.approx(1.0, abs=0.03)
    assert found["bias"] < 0.03
    assert found["cosine"] == pytest.approx(1.0, abs=1e-3)
    assert found["noise"] == pytest.approx(np.sqrt(50) / 5, rel=0.03)
    assert found["alignment"] == pytest.approx(5 / np.sqrt(25 + 50 / 2), rel=0.02)


def test_a_biased_one():
    """E[G] = (8, 6): scale 48 / 25, bias |(5, 2)| / 5, cosine 48 / 50."""
    found = statistics(blocks([[8.0, 6.0]], spread=1.0), EXACT, trees=1e9, pooled=True)
    assert found["scale"] == pytest.approx(48 / 25, rel=0.01)
    assert found["bias"] == pytest.approx(np.sqrt(29) / 5, rel=0.01)
    assert found["cosine"] == pytest.approx(0.96, rel=0.01)
    assert found["alignment"] == pytest.approx(0.96, rel=0.01)


def test_errors_that_move_from_block_to_block_are_bias_unless_pooled():
    own = blocks([[3.0, 4.0]], spread=1.0, number=400, size=50, moves=2.0)
    assert statistics(own, EXACT, 1.0, pooled=False)["bias"] == pytest.approx(np.sqrt(8) / 5, rel=0.1)
    assert statistics(own, EXACT, 1.0, pooled=True)["bias"] < 0.1


def test_standard_errors_cover_the_truth():
    z = [
        (value - 1) / error
        for value, error in (
            with_errors(blocks([[3.0, 4.0]], 5.0, size=50, seed=seed), EXACT, 1.0, pooled=True)["scale"]
            for seed in range(200)
        )
    ]
    assert np.std(z) == pytest.approx(1.0, abs=0.2)


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.array([1.0, 4.0, 2.0, 8.0])
    without = np.array([np.delete(values, place).mean() for place in range(4)])
    assert jackknife(without) == pytest.approx(mean_and_error(values)[1])


def test_scores():
    found = scores(np.array([[1.0, 0.0], [3.0, 0.0]]))
    assert found.tolist() == [2.0 / (np.sqrt(2) / np.sqrt(2)), 0.0]
