"""Ctrl-C: the first one finishes the step, the second one stops at once; a run goes on from both."""

import os
import signal
import subprocess
import sys
import threading

import pytest

import tiny
from treeroll import cli, run
from treeroll.interrupt import Interrupt
from treeroll.metrics import TIMES
from treeroll.sinks import read_metrics, tree_steps

HANDLED = (signal.SIGINT, signal.SIGTERM)


# The handlers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", HANDLED)
def test_the_first_signal_only_asks_and_the_second_one_stops(number, capsys):
    with Interrupt("kept this") as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        assert "stopping after this step" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt, match="kept this"):
            signal.raise_signal(number)


def test_the_handlers_from_before_come_back():
    before = [signal.getsignal(number) for number in HANDLED]
    with Interrupt():
        assert [signal.getsignal(number) for number in HANDLED] != before
    assert [signal.getsignal(number) for number in HANDLED] == before


def test_a_stream_that_is_being_written_to_does_not_break_the_run(monkeypatch):
    class Busy:
        def write(self, text):
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(sys, "stderr", Busy())
    with Interrupt() as stop:
        signal.raise_signal(signal.SIGINT)
    assert stop.requested


def test_outside_the_main_thread_nothing_changes():
    seen = []

    def work():
        with Interrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


# Runs ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch):
    """Sends signals while a step is being sampled, as many as it is told to."""

    def arm(step, signals):
        def train_step(parts, number, carried):
            for _ in range(signals if number == step else 0):
                signal.raise_signal(signal.SIGINT)
            return healthy(parts, number, carried)

        monkeypatch.setattr(run, "train_step", train_step)

    healthy = run.train_step
    yield arm
    monkeypatch.setattr(run, "train_step", healthy)


def files(folder):
    """Everything that must not depend on whether a run was stopped, step 3 being its last."""
    trees = [(folder / "trees" / f"step-{step:04d}.jsonl.gz").read_bytes() for step in (1, 2, 3)]
    records = [{**record, **dict.fromkeys(TIMES)} for record in read_metrics(folder / "metrics.jsonl")]
    return trees, records, (folder / "checkpoints" / "step-0003" / "model" / "model.safetensors").read_bytes()


def test_one_ctrl_c_ends_the_step_and_the_run_goes_on_as_if_nothing_had_been(small, tmp_path, interrupted, capsys):
    options = {"steps": 3, "checkpoint_every": 100}
    tiny.printed(small(**options, out=tmp_path / "straight"))
    interrupted(2, signals=1)
    out = tmp_path / "stopped"
    assert cli.main(small(**options, out=out)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"stopped after step 2; go on with: treeroll train --resume {out}" in lines
    assert lines[-1] == str(out)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-0002"]
    assert tree_steps(out) == [1, 2]
    interrupted(2, signals=0)
    tiny.printed(["train", "--resume", str(out)])
    assert files(out) == files(tmp_path / "straight")


def test_a_second_ctrl_c_stops_at_once_and_keeps_the_last_checkpoint(small, tmp_path, interrupted, capsys):
    options = {"steps": 3, "checkpoint_every": 1}
    tiny.printed(small(**options, out=tmp_path / "straight"))
    interrupted(2, signals=2)
    out = tmp_path / "stopped"
    assert cli.main(small(**options, out=out)) == 130
    error = capsys.readouterr().err
    assert f"treeroll: stopped. Kept: {out} up to its last checkpoint. " in error
    assert error.endswith(f"Go on with: treeroll train --resume {out}\n")
    assert "Traceback" not in error
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-0001"]
    interrupted(2, signals=0)
    tiny.printed(["train", "--resume", str(out)])
    assert files(out) == files(tmp_path / "straight")


def test_ctrl_c_before_the_first_step_starts_over(small, tmp_path, monkeypatch):
    def evaluate(parts):
        signal.raise_signal(signal.SIGINT)
        return healthy(parts)

    healthy, out = run.evaluate, tmp_path / "run"
    monkeypatch.setattr(run, "evaluate", evaluate)
    lines = tiny.printed(small(steps=1, out=out))
    assert f"stopped after step 0; go on with: treeroll train --resume {out}" in lines
    monkeypatch.setattr(run, "evaluate", healthy)
    tiny.printed(["train", "--resume", str(out)])
    assert [record["step"] for record in read_metrics(out / "metrics.jsonl")] == [0, 1]


def test_ctrl_c_from_outside(small, tmp_path):
    """The whole program, as a user stops it: after its first step."""
    out = tmp_path / "run"
    words = small(steps=5000, report="true", evaluation__every=5000, checkpoint_every=5000, out=out)
    command = [sys.executable, "-m", "treeroll", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as child:
        for line in child.stdout:
            if line.startswith("step 1/"):
                break
        child.send_signal(signal.SIGINT)
        printed, error = child.communicate(timeout=240)
    assert child.returncode == 0, error
    assert error.count("stopping after this step") == 1
    assert "Traceback" not in error
    last = read_metrics(out / "metrics.jsonl")[-1]["step"]
    lines = printed.splitlines()
    assert lines[-2:] == [
        f"stopped after step {last}; go on with: treeroll train --resume {out}",
        str(out / "report.html"),
    ]
    assert (out / "report.html").is_file()
    assert [path.name for path in (out / "checkpoints").iterdir()] == [f"step-{last:04d}"]
    assert tree_steps(out) == list(range(1, last + 1))
    assert tiny.printed(["train", "--resume", str(out), "--steps", str(last + 1), "report=false"])[-1] == str(out)
    assert read_metrics(out / "metrics.jsonl")[-1]["step"] == last + 1
