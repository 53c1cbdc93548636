"""Processes side by side, with stand-ins for the run's own: what starts, what fails, what stops."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stand_ins

from treeroll.compare import processes, start
from treeroll.compare.jobs import reported
from treeroll.compare.processes import locked, run_jobs
from treeroll.compare.request import Request, make_plan
from treeroll.compare.view import ComparisonView
from treeroll.errors import ConfigError

FORKS = pytest.mark.skipif(start.METHOD != "forkserver", reason="runs are forked on Linux only")


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Runs of 2 steps: seed 0 ends, seed 1 breaks at its start, seed 2 waits in its step 2 to be stopped."""
    monkeypatch.setattr(processes, "WORKER", stand_ins.short)
    monkeypatch.setattr(processes, "LOOK", 0.0)

    def made(seeds):
        request = Request(methods="grpo", out=tmp_path / "out", seeds=seeds, options=["steps=2"], pair=False)
        return reported(request.out, make_plan(request)[0])

    return made


def run(jobs, stopping=lambda: False, slots=2, lock=None):
    with io.StringIO() as stream, ComparisonView(stream=stream) as view:
        failures = run_jobs(jobs, slots, view, stopping, lock)
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
    assert [(one.job.name, one.said) for one in failures] == [("atlas grpo seed 1", "it broke")]
    assert failures[0].job.log.read_text() == "treeroll: error: it broke\n"
    assert "0/2 atlas grpo seed 1: failed after step 0: it broke\n" in said
    assert "1/2 atlas grpo seed 0: held-out" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("treeroll: error: the model's loss is NaN", "the model's loss is NaN"),
        (
            "treeroll: error: NaN. Kept: 1 step in a/b. Go on with: treeroll train --resume 'a/b'",
            "NaN. Kept: 1 step in a/b.",
        ),
        ("treeroll: error: Kept: it. Make room, then go on with: treeroll train --resume a", "Kept: it. Make room"),
        ("MemoryError", "MemoryError"),
    ],
)
def test_the_last_words_of_a_run_do_not_say_how_to_go_on_with_it_alone(tmp_path, line, said):
    log = tmp_path / "log"
    log.write_text(f"before\n{line}\n\n")
    assert processes._last_words(log) == said


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

    def starting(*given, **named):
        process = start.start(*given, **named)
        started.append(process.pid)
        return process

    def stopping():
        if job.progress()[0] == 1:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(processes, "start", starting)
    with pytest.raises(KeyboardInterrupt):
        run([job], stopping)
    (process,) = started
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


# Where processes come from ------------------------------------------------------------------------------------------


@FORKS
def test_runs_share_what_a_server_with_one_thread_has_made(jobs, monkeypatch):
    monkeypatch.setattr(processes, "WORKER", stand_ins.short_about_its_process)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    first, second = jobs("0,3")
    assert run([first])[0] == []
    about = json.loads(first.log.read_text())
    os.kill(about["server"], signal.SIGINT)  # as the terminal sends it to all
    assert run([second])[0] == []
    assert json.loads(second.log.read_text()) == about
    assert about == {
        "server": about["server"],
        "server_threads": 1,
        "server_session": about["server"],
        "session": True,
        "threads": ["MainThread"],
        "openmp": "1",
        "directory": os.getcwd(),
        "shared": True,
        "worlds_made": 0,
        "main_script": False,
    }
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert start.WORLDS not in os.environ
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_fresh_processes_where_there_are_no_forks(jobs, monkeypatch):
    monkeypatch.setattr(start, "METHOD", "spawn")
    ends, breaks, waits = jobs("0,1,2")
    stopping = lambda: waits.progress()[0] == 1  # noqa: E731
    with locked(ends.folder.parents[3]) as lock:
        failures, said = run([ends, breaks, waits], stopping, slots=1, lock=lock)
    assert [(one.job, one.said) for one in failures] == [(breaks, "it broke")]
    assert ends.finished
    assert said.endswith("atlas grpo seed 2: stopped after step 1\n")


KILLED = """
import sys
from pathlib import Path
import stand_ins
from treeroll.compare import processes
from treeroll.compare.command import compare
from treeroll.compare.request import Request
processes.WORKER = stand_ins.endless
compare(Request(methods="grpo", out=Path(sys.argv[1]), seeds="1", pair=False), jobs=1)
"""
"""A comparison as a library: a script without a guard for `__main__`."""


def test_a_run_ends_when_its_comparison_was_killed_and_holds_the_folder_until_then(tmp_path):
    script, out = tmp_path / "killed.py", tmp_path / "out"
    script.write_text(KILLED)
    log = out / "runs" / "atlas" / "grpo" / "seed-0.log"
    paths = os.pathsep.join([str(Path(stand_ins.__file__).parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(script), str(out)], env={**os.environ, "PYTHONPATH": paths}
    ) as comparison:
        try:
            wait_for(lambda: log.exists() and log.read_text() == "running\n")
        finally:
            comparison.kill()
    wait_for(lambda: log.read_text() == "running\ntold\n")
    with pytest.raises(ConfigError, match="runs of one that was killed still finish their step"), locked(out):
        pass
    (out / "go").touch()
    wait_for(lambda: is_free(out))
    assert log.read_text() == "running\ntold\ntreeroll: stopped. \n"


def is_free(root):
    try:
        with locked(root):
            return True
    except ConfigError:
        return False


def wait_for(there):
    for _ in range(stand_ins.LONG):
        if there():
            return
        time.sleep(0.01)
    pytest.fail("waited for two minutes")


# Folders ------------------------------------------------------------------------------------------------------------


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
