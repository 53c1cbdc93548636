"""Processes side by side, with a stand-in for the run's own: what starts, what fails, what stops."""

import io
import sys

import pytest

from treeroll.compare import processes
from treeroll.compare.jobs import reported
from treeroll.compare.processes import locked, run_jobs
from treeroll.compare.request import Request, make_plan
from treeroll.compare.view import ComparisonView
from treeroll.errors import ConfigError

STAND_IN = """
import json, os, pathlib, sys
kind, *words = sys.argv[1:]
options = dict(word.split("=", 1) for word in words) if kind == "start" else {"out": words[0]}
folder = pathlib.Path(options["out"])
folder.mkdir(parents=True, exist_ok=True)
if kind == "start":
    (folder / "config.json").write_text("{}")
if options.get("seed") == "1" and kind == "start":
    print("treeroll: error: it broke", file=sys.stderr)
    sys.exit(2)
with (folder / "metrics.jsonl").open("a") as file:
    first = 0 if kind == "start" else 2
    for step in range(first, 3):
        if options.get("seed") == "2" and step == 2:
            os.read(0, 1)  # until it is told to stop
            sys.exit(0)
        print(json.dumps({"step": step, "heldout": {"success": 0.25 + step / 4}}), file=file, flush=True)
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Runs of 2 steps: seed 0 ends, seed 1 breaks at its start, seed 2 waits in its step 2 to be stopped."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(processes, "WORKER", (sys.executable, str(script)))
    monkeypatch.setattr(processes, "LOOK", 0.0)

    def made(seeds):
        request = Request(methods="grpo", out=tmp_path / "out", seeds=seeds, options=["steps=2"], pair=False)
        return reported(request.out, make_plan(request)[0])

    return made


def run(jobs, stopping=lambda: False, slots=2):
    with io.StringIO() as stream, ComparisonView(stream=stream) as view:
        failures = run_jobs(jobs, slots, view, stopping)
        return failures, stream.getvalue()


def test_finished_runs_are_not_repeated(jobs):
    (job,) = jobs("0,")
    failures, said = run([job])
    assert failures == []
    assert said.startswith("1/1 atlas grpo seed 0: held-out 0.250 -> 0.750, ")
    before = (job.folder / "metrics.jsonl").read_text()
    job.log.write_text("kept")
    assert run([job]) == ([], "")
    assert (job.folder / "metrics.jsonl").read_text() == before
    assert job.log.read_text() == "kept"


def test_a_run_that_fails_is_named_and_the_others_go_on(jobs):
    failures, said = run(jobs("1,0"), slots=1)
    assert [(one.job.name, one.said) for one in failures] == [("atlas grpo seed 1", "treeroll: error: it broke")]
    assert failures[0].job.log.read_text() == "treeroll: error: it broke\n"
    assert "0/2 atlas grpo seed 1: failed after step 0: treeroll: error: it broke" in said
    assert "1/2 atlas grpo seed 0: held-out" in said


def test_stopping_asks_all_runs_and_starts_no_other(jobs):
    waiting, never = jobs("2,0")
    stopping = lambda: waiting.progress()[0] == 1  # noqa: E731
    failures, said = run([waiting, never], stopping, slots=1)
    assert failures == []
    assert said == "0/2 atlas grpo seed 2: stopped after step 1\n"
    assert not never.folder.exists()
    failures, said = run([waiting, never])  # the same command again
    assert failures == []
    assert waiting.finished
    assert never.finished
    assert said.count("held-out") == 2


def test_an_error_leaves_no_process_behind(jobs, monkeypatch):
    (job,) = jobs("2,")
    started = []
    popen = processes.subprocess.Popen
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *a, **b: started.append(popen(*a, **b)) or started[0])

    def stopping():
        if job.progress()[0] == 1:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run([job], stopping)
    assert started[0].returncode is not None


def test_a_folder_without_options_is_started_anew(jobs):
    (job,) = jobs("0,")
    job.folder.mkdir(parents=True)
    (job.folder / "metrics.jsonl").touch()  # killed before its options were written
    assert job.arguments()[0] == "start"
    assert run([job])[0] == []
    assert job.finished


def test_one_comparison_at_a_time(tmp_path):
    with (
        locked(tmp_path / "one"),
        locked(tmp_path / "other"),
        pytest.raises(ConfigError, match="another comparison is at work there"),
        locked(tmp_path / "one"),
    ):
        pass
    with locked(tmp_path / "one"):
        pass


# The view -----------------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_time_left_is_steps_at_the_pace_so_far():
    clock = Clock()
    view = ComparisonView(stream=io.StringIO(), clock=clock)
    view.begin(total=3, done=1, steps=100)
    assert view.seconds_left() is None
    view.progress("a", 0, 50, "")
    clock.now = 10.0
    view.progress("a", 20, 50, "")
    assert view.seconds_left() == pytest.approx(40)
    view.ended("a", "failed", done=False)  # its other 30 steps will not come
    assert view.seconds_left() == pytest.approx(25)


def test_a_terminal_shows_a_line_for_each_run():
    stream = io.StringIO()
    with ComparisonView(stream=stream, interactive=True) as view:
        view.begin(total=2, done=0, steps=4)
        view.progress("atlas trace seed 0", 1, 2, "0.250 -> 0.500")
        view.note("[bold] stays as it is")
        view._live.refresh()
    shown = stream.getvalue()
    assert "atlas trace seed 0" in shown
    assert "1/2" in shown
    assert "0.250 -> 0.500" in shown
    assert "0 of 2 runs" in shown
    assert "[bold] stays as it is" in shown
