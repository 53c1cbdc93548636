"""What the asynchronous engine and staleness do on the default world: wall time with slow tools, and what is learned.

`tools`: one step of bare rollouts and continuations by the packaged model, in waves and as a stream, side by side,
where each step of an environment sleeps: always as long, or a time drawn from an exponential distribution.
`staleness`: runs of some steps at staleness 0 and 1, and their success on held-out tasks.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from machine import RESULTS, about, save, table
from treeroll import metrics
from treeroll.allocation.base import Allocation
from treeroll.build import Parts, build
from treeroll.config import Config
from treeroll.engine import Engine, Playing
from treeroll.envs.base import Done, Observation
from treeroll.predictor.base import Prediction
from treeroll.run import train
from treeroll.seeding import generator
from treeroll.sinks import read_metrics
from treeroll.tree import Anchor, RolloutTree, Task

WORKERS, TASKS, GROUP = 64, 8, 8


class Slow:
    """An environment that sleeps before it answers; for how long depends on the task and the action alone."""

    def __init__(self, inner: Any, pause: Callable[[str, str], float]) -> None:
        self.inner, self.pause, self.task = inner, pause, ""

    def reset(self, task: Task) -> None:
        self.task = task.id
        self.inner.reset(task)

    def step(self, action: str) -> Observation | Done:
        time.sleep(self.pause(self.task, action))
        answer: Observation | Done = self.inner.step(action)
        return answer

    def snapshot(self) -> Any:
        return self.task, self.inner.snapshot()

    def restore(self, token: Any) -> None:
        self.task = token[0]
        self.inner.restore(token[1])


def fixed(task: str, action: str) -> float:
    """Returns the same for every call."""
    return 1.0


def drawn(task: str, action: str) -> float:
    """Returns an exponential draw with the task and the action for its address."""
    return float(generator(0, "pause", task, action).exponential())


def branch(tree: RolloutTree) -> Allocation:
    """Returns one continuation of every second rollout's first prefix, once."""
    prefixes = [node for node in tree.prefixes if tree.nodes[node].parent == 0][::2]
    anchors = tuple(Anchor(tree, node) for node in (prefixes if len(tree.leaves) == GROUP else []))
    blank, ones = np.full(len(anchors), np.nan), np.ones(len(anchors))
    return Allocation(anchors, ones.astype(np.int64), blank, Prediction(blank, blank, ones), blank, len(anchors))


def step(parts: Parts, seconds: float, playing: Playing, pause: Callable[[str, str], float]) -> dict[str, Any]:
    """Samples one step with tools that take so many seconds on average; returns its flight."""

    def make() -> Slow:
        return Slow(parts.world.make(), lambda task, action: seconds * pause(task, action))

    world = replace(parts.world, make=make, tool_workers=WORKERS)
    engine = Engine(world, parts.sampler, parts.engine.dialogue, seed=0, playing=playing)
    forest = engine.plant(world.train[:TASKS], step=1)
    engine.extend(forest, Allocation.bare(forest, GROUP), branch)
    flight = metrics.flight_group(**asdict(engine.meter.flight()), capacity=engine.meter.capacity)
    said = {"playing": playing, "pause": pause.__name__, "mean_pause": seconds, "turns_sampled": engine.spent.turns}
    return said | flight


def tools(repeats: int, pauses: Sequence[float]) -> list[dict[str, Any]]:
    """Returns the flights of both engines with both tools, in turn, for each pause; a first round is not counted."""
    parts = build(Config.resolve([]))
    arms: list[tuple[Playing, Callable[[str, str], float]]] = [
        (playing, pause) for pause in (fixed, drawn) for playing in ("waves", "stream")
    ]
    found = []
    for seconds in pauses:
        found += [step(parts, seconds, *arm) for _ in range(repeats + 1) for arm in arms][len(arms) :]
    return found


def staleness(seeds: int, steps: int, limits: list[int]) -> list[dict[str, Any]]:
    """Returns success before and after a run for each seed and staleness."""
    found = []
    for seed in range(seeds):
        for limit in limits:
            with tempfile.TemporaryDirectory() as folder:
                options: dict[str, Any] = {
                    "seed": seed,
                    "steps": steps,
                    "sampling.staleness": limit,
                    "evaluation.tasks": 400,
                }
                options |= {"evaluation.every": steps, "report": "false", "out": f"{folder}/run"}
                start = time.perf_counter()
                path = train(Config.resolve([f"{key}={value}" for key, value in options.items()]))
                seconds = time.perf_counter() - start
                records = read_metrics(path / "metrics.jsonl")
            one = {"seed": seed, "staleness": limit, "steps": steps, "seconds": seconds}
            one |= {"before": records[0]["heldout"]["success"], "after": records[-1]["heldout"]["success"]}
            one |= {"sampled_tokens": records[-1]["spent"]["sampled_tokens"]}
            found.append(one | {"told": [record.get("staleness") for record in records[1:]]})
            print(f"seed {seed}, staleness {limit}: {one['before']:.3f} -> {one['after']:.3f}", flush=True)
    return found


def main() -> None:
    """Measures, prints tables and writes the raw results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("tools", "staleness"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pause", type=float, nargs="+", default=[0.05, 0.5], help="mean seconds of a tool")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.part == "tools":
        found = tools(arguments.repeats, arguments.pause)
        shown = ("seconds", "sampler_busy", "tools_busy", "calls")
        arms = dict.fromkeys(_arm(one) for one in found)
        lines = [
            [arm, *(f"{np.median([one[key] for one in found if _arm(one) == arm]):.2f}" for key in shown)]
            for arm in arms
        ]
        print(table(["tool, engine", *shown], lines))
    else:
        found = staleness(arguments.seeds, arguments.steps, [0, 1])
        lines = [
            [f"seed {one['seed']}, staleness {one['staleness']}", f"{one['before']:.3f}", f"{one['after']:.3f}"]
            for one in found
        ]
        print(table(["run", "before", "after"], lines))
    save(arguments.out / f"asynchronous-{arguments.part}.json", {"about": about(), "found": found})


def _arm(one: dict[str, Any]) -> str:
    return f"{one['mean_pause']:g} s, {one['pause']}, {one['playing']}"


if __name__ == "__main__":
    main()
