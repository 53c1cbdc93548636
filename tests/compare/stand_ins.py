"""Stand-ins for what the process of a run does; a process finds them by name. `arguments` are as of `Job.arguments`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from treeroll.compare import worker
from treeroll.config import Config
from treeroll.sinks import RunFolder

LONG = 12_000
"""Hundredths of a second after which a wait is given up."""


def short(arguments: list[str]) -> int:
    """Ends after 2 steps; but seed 1 breaks at its start, and seed 2 waits in its step 2 to be told to stop."""
    kind, *words = arguments
    options = dict(word.split("=", 1) for word in words) if kind == "start" else {"out": words[0]}
    folder = Path(options["out"])
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "start":
        (folder / "config.json").write_text("{}")
    if options.get("seed") == "1" and kind == "start":
        print("treeroll: error: it broke", file=sys.stderr)
        return 2
    with (folder / "metrics.jsonl").open("a") as file:
        for step in range(0 if kind == "start" else 2, 3):
            if options.get("seed") == "2" and step == 2:
                return _wait()
            told = {"step": step, "spent": {"rollouts": step, "sampled_tokens": step}}
            print(json.dumps(told | {"heldout": {"success": 0.25 + step / 4}}), file=file, flush=True)
    return 0


def _wait() -> int:
    try:
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        return 0


def short_about_its_process(arguments: list[str]) -> int:
    """As `short`; its log is a record of the process that it is."""
    from treeroll.envs import atlas, load

    misses = atlas._compact.cache_info().misses
    load("atlas", rendering="compact", seed=0)
    about = {
        "server": os.getppid(),
        "server_threads": len(list(Path(f"/proc/{os.getppid()}/task").iterdir())),
        "server_session": os.getsid(os.getppid()),
        "session": os.getsid(0) == os.getpid(),
        "threads": [thread.name for thread in threading.enumerate() if not thread.daemon],
        "openmp": os.environ["OMP_NUM_THREADS"],
        "directory": str(Path.cwd()),
        "shared": "transformers.models.llama.modeling_llama" in sys.modules,
        "worlds_made": atlas._compact.cache_info().misses - misses,
        "main_script": hasattr(sys.modules["__main__"], "__file__"),
    }
    print(json.dumps(about))
    return short(arguments)


def endless(arguments: list[str]) -> int:
    """The worker, with a training that never ends; told to stop, it finishes its step once a file `go` is there."""
    from treeroll import run

    def train(config: Config) -> None:
        print("running", flush=True)
        try:
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            print("told", flush=True)
            for _ in range(LONG):
                if (Path(config.out).parents[3] / "go").exists():
                    break
                time.sleep(0.01)
            raise

    run.train = train
    return worker.main(arguments)


def broken(arguments: list[str]) -> int:
    print("out of memory")
    return 3


def silent(arguments: list[str]) -> int:
    return 3


def straight(arguments: list[str]) -> int:
    """Ends with 0.5 + its learning rate where its method is GRPO, and with as much less elsewhere."""
    config = Config.resolve(arguments[1:])
    folder = RunFolder.create(config.out, config.to_dict(), {"commit": "abc"})
    for step in range(config.steps + 1):
        rate = config.learner.learning_rate if config.method == "grpo" else -config.learner.learning_rate
        spent = {"rollouts": step, "sampled_tokens": step}
        folder.append_metrics({"step": step, "spent": spent, "heldout": {"success": 0.5 + step * rate}})
    return 0
