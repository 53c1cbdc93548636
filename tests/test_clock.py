import pytest

from treeroll import clock
from treeroll.clock import Clock


@pytest.fixture
def at(monkeypatch):
    """Sets the time: wall seconds, and a quarter of them as CPU seconds."""

    class Time:
        now = 0.0

        def perf_counter(self):
            return self.now

        def process_time(self):
            return self.now / 4

    time = Time()
    monkeypatch.setattr(clock, "time", time)
    return lambda now: setattr(time, "now", now)


def wall(taken):
    return {name: spent["wall"] for name, spent in taken.items()}


def test_each_second_is_counted_once_where_phases_nest(at):
    it = Clock()
    at(1)
    with it.phase("sample"):
        at(3)
        with it.phase("predict"):
            at(7)
        at(8)
    at(16)
    assert it.take() == {
        "other": {"cpu": 2.25, "wall": 9.0},
        "sample": {"cpu": 0.75, "wall": 3.0},
        "predict": {"cpu": 1.0, "wall": 4.0},
    }


def test_taking_starts_anew_also_within_a_phase(at):
    it = Clock()
    with it.phase("sample"):
        at(2)
        assert wall(it.take())["sample"] == 2
        at(5)
    assert wall(it.take()) == {"sample": 3, "other": 0}
    assert wall(it.take()) == {"other": 0}


def test_a_phase_that_fails_is_counted_and_ends(at):
    it = Clock()

    def work():
        with it.phase("update"):
            at(4)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    at(5)
    assert wall(it.take()) == {"other": 1, "update": 4}


def test_a_phase_may_come_back(at):
    it = Clock()
    for start in (0, 10):
        at(start)
        with it.phase("predict"):
            at(start + 2)
    assert wall(it.take()) == {"other": 8, "predict": 4}
