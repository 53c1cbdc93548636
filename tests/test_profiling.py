"""The stop-watch of benchmarks/profiling.py and its page."""

import time
from types import SimpleNamespace

import pytest

import profile_page
import profiling


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `pass_` moves."""
    now = SimpleNamespace(at=0.0)
    monkeypatch.setattr(time, "process_time", lambda: now.at)
    return now


def test_an_inner_part_stops_the_outer_ones_clock(clock):
    def pass_(seconds):
        clock.at += seconds

    work = SimpleNamespace(inner=lambda: pass_(2), outer=lambda: (pass_(1), work.inner(), pass_(4)))
    watch = profiling.Watch()
    clock.at = 7  # before the first call: imports
    watch.around(work, "inner", "small")
    watch.around(work, "outer", lambda: "large", chapter="training")
    watch.go_on("between steps", "other")
    work.outer()
    pass_(3)
    work.inner()
    watch.switch()
    assert watch.seconds == {
        "start-up": {"imports": 7},
        "training": {"large": 5, "small": 2},
        "between steps": {"other": 3, "small": 2},
    }
    assert watch.calls == {"large": 1, "small": 2}


def test_a_call_that_fails_is_counted_up_to_there(clock):
    def fail():
        clock.at += 2
        raise KeyError("gone")

    work, watch = SimpleNamespace(fail=fail), profiling.Watch()
    watch.around(work, "fail", "small")
    with pytest.raises(KeyError):
        work.fail()
    clock.at += 1
    watch.switch()
    assert watch.seconds == {"start-up": {"imports": 1, "small": 2}}


def run(model, rest):
    start = {"imports": 4.0, "making the world": 1.0}
    return {
        "seconds": {
            "start-up": start,
            "training": {"prefill": model / 2, "predictor": rest},
            "evaluation": {"decode": model / 2},
            "between steps": {"report": 100.0},
        }
    }


def test_the_share_leaves_out_start_up_and_report():
    assert profile_page.share(run(model=6.0, rest=2.0)) == 0.75


def test_the_page_sets_two_versions_side_by_side():
    runs = {"before": [run(6.0, 4.0)] * 3, "now": [run(6.0, 1.0)] * 3}
    about = {"commit": "c0ffee", "machine": {"processor": "a processor", "load": [0.5]}}
    said = profile_page.page(
        {"about": about, "repeats": 3, "loads": [{"name": "atlas", "options": ["steps=2"], "runs": runs}]}
    )
    assert "| **model** | **6.00** | **60%** | **6.00** | **86%** |" in said
    assert "| predictor | 4.00 | 40.0% | 1.00 | 14.3% |" in said
    assert "In all 1.43 times as fast as before; what is not the model, 4.00 times." in said
