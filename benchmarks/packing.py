"""Times an update on packed trees against one on rows: CPU time and peak memory, by what the rows share.

Groups of rollouts of one prompt, their tokens drawn at random, go through the forward and backward pass of a Qwen3-type
model with random weights, each way in turn in one process; then the rollouts of a step of a default run through the
packaged model. Sharing is the tokens of all rollouts over the tokens that differ, so the most that packing can gain
from it; rows also lose by padding, where lengths differ. Peak memory is what a forked process takes for one update on
top of what it began with.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from machine import RESULTS, about, save, table
from treeroll import packing
from treeroll.build import build
from treeroll.config import Config
from treeroll.learner import attention
from treeroll.learner.compute import GAIN, MicroBatch, by_rows, by_trees, computing
from treeroll.learner.policy import Policy
from treeroll.packing import TreeRow
from treeroll.packing.packed import trim

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "packing.md"
WORDS = 1000
GOAL = 0.8
"""Share of the sharing ratio that packing is to gain at ratio 3 and prompts of 1,000 tokens."""


@dataclass(frozen=True)
class Load:
    """Groups of rollouts that share nothing but their group's prompt."""

    prompt: int
    """Tokens of a prompt."""
    rollouts: int
    """Rollouts of a group."""
    own: int
    """Tokens of a rollout after the prompt."""
    groups: int = 1

    def rows(self, seed: int) -> list[TreeRow]:
        """Returns the rollouts: 4 turns each, two thirds of their tokens sampled and trained on."""
        draw = np.random.default_rng(seed)
        place = np.arange(self.own) % max(3, self.own // 4)
        mask = place < max(3, self.own // 4) * 2 // 3
        ones = np.ones(self.own, np.float32)
        return [
            TreeRow(start, draw.integers(1, WORDS, self.own, np.int32), mask, -3 * ones, ones * mask, str(group), 0)
            for group in range(self.groups)
            for start in [draw.integers(1, WORDS, self.prompt, np.int32)]
            for _ in range(self.rollouts)
        ]


LOADS = (
    Load(50, 2, 100, 8), Load(50, 4, 25, 8), Load(50, 6, 13, 8), Load(50, 12, 5, 8),
    Load(300, 2, 600, 2), Load(300, 4, 150, 2), Load(300, 6, 75, 2), Load(300, 12, 30, 2),
    Load(1000, 2, 2000), Load(1000, 4, 500), Load(1000, 6, 250), Load(1000, 12, 100),
    Load(2000, 6, 500),
)  # fmt: skip
"""Sharing of 1.2, 2, 3 and 6 at each prompt, and of 3 at the longest."""


def model(width: int, layers: int) -> Policy:
    """Returns a policy of random weights, heads of 64 numbers."""
    torch.manual_seed(0)
    heads = max(1, width // 64)
    made = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=WORDS, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers, head_dim=64,
            num_attention_heads=heads, num_key_value_heads=max(1, heads // 2), max_position_embeddings=8192,
        )
    )  # fmt: skip
    return Policy(made.eval(), None, f"Qwen3 type, {layers} layers of {width}")


def passes(policy: Policy, batches: Sequence[MicroBatch]) -> None:
    """Computes the gradient of the sum of all trained log-probabilities."""
    policy.model.zero_grad(set_to_none=True)
    with computing(policy, batches):
        for batch in batches:
            batch.logprobs(policy, 1.0)[0].sum().backward()  # type: ignore[no-untyped-call]


def seconds(arm: Callable[[], None]) -> float:
    """Returns one run's CPU seconds."""
    gc.collect()
    begin = time.process_time()
    arm()
    return time.process_time() - begin


def peak(arm: Callable[[], None]) -> float:
    """Returns the MiB that one run takes in a process of its own, at its peak, beyond those it began with."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        arm()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(write, json.dumps(grown / 1024).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        said = told.read()
    os.waitpid(child, 0)
    return float(json.loads(said))


def measure(policy: Policy, rows: list[TreeRow], micro_tokens: int, repeats: int) -> dict[str, Any]:
    """Returns what the rows share, and for both ways the median CPU seconds and the peak memory."""
    plain = by_rows(rows, micro_tokens)
    trees = by_trees(rows, micro_tokens)
    arms: dict[str, Callable[[], None]] = {
        "rows": lambda: passes(policy, by_rows(rows, micro_tokens)),
        "packed": lambda: passes(policy, by_trees(rows, micro_tokens)),  # packing itself is timed, too
    }
    memory = {name: round(peak(arm), 1) for name, arm in arms.items()}
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, arm in arms.items():
            times[name].append(round(seconds(arm), 4))
    cpu = {name: statistics.median(found) for name, found in times.items()}
    paths = sum(part.packed.path_tokens for part in trees if part.packed)
    ratio = paths / sum(part.tokens for part in trees)
    return {
        "rows": len(rows),
        "path_tokens": paths,
        "padded_tokens": sum(part.tokens for part in plain),
        "packed_tokens": sum(part.tokens for part in trees),
        "packs": len(trees),
        "sharing": round(ratio, 3),
        "cpu": cpu,
        "times": times,
        "peak_mib": memory,
        "gain": round(cpu["rows"] / cpu["packed"], 3),
        "of_sharing": round(cpu["rows"] / cpu["packed"] / ratio, 3),
        "memory_gain": round(memory["rows"] / max(memory["packed"], 0.1), 3),
    }


def step_rows(seed: int) -> tuple[Policy, list[TreeRow]]:
    """Returns the packaged model and the rows of a default run's first step, as `treeroll.step` makes them."""
    parts = build(Config.resolve([f"seed={seed}"]))
    forest = parts.rounds.spend(parts.engine.plant(parts.stream.at(1), step=1), parts.config.budget.rollouts, 1)
    parts.engine.release()
    rows = [row for tree in forest for row in packing.rows(tree, parts.credit(tree, np.full(len(tree.nodes), 0.5)))]
    return parts.policy, trim(rows)


def show(found: list[dict[str, Any]]) -> str:
    """Returns the table of all workloads."""
    heading = ["workload", "sharing", "rows, CPU s", "packed, CPU s", "faster", "of sharing", "rows, MiB",
               "packed, MiB", "auto"]  # fmt: skip
    lines = [
        [one["name"], f"{one['sharing']:.2f}", f"{one['cpu']['rows']:.3f}", f"{one['cpu']['packed']:.3f}",
         f"{one['gain']:.2f}", f"{one['of_sharing']:.2f}", f"{one['peak_mib']['rows']:.0f}",
         f"{one['peak_mib']['packed']:.0f}", choice(one)]
        for one in found
    ]  # fmt: skip
    return table(heading, lines)


def choice(one: dict[str, Any]) -> str:
    """Returns what `learner.packed=auto` takes for a workload."""
    return "packed" if one["padded_tokens"] >= GAIN * one["packed_tokens"] else "rows"


def page(result: dict[str, Any]) -> str:
    """Returns the page of docs/tables."""
    goal = [one for one in result["loads"] if one["load"]["prompt"] >= 1000 and 2.8 < one["sharing"] < 3.2]
    reached = ", ".join(f"{one['of_sharing']:.2f} (prompts of {one['load']['prompt']:,})" for one in goal)
    machine = result["about"]["machine"]
    blocks = table(
        ["block of at most", *[one["name"] for one in result["blocks"][0]["loads"]]],
        [[f"{row['most']}", *[f"{one['cpu']:.3f}" for one in row["loads"]]] for row in result["blocks"]],
    )
    return f"""# Packed trees against rows

Written by `make bench-packing` from benchmarks/results/packing.json. {result["model"]}, random weights, float32,
{result["threads"]} thread of {machine["processor"]}; load when it began: {machine["load"][0]}. CPU seconds
of one update's forward and backward pass, packing included, median of {result["repeats"]}, both ways in turn.
"Sharing" is tokens of all rollouts over tokens computed when packed; "of sharing" is what is gained of it.

{show(result["loads"])}

A step of a default run, packaged model:

{show([result["step"]])}

At a sharing of 3 the goal is {GOAL:g} of it from prompts of 1,000 tokens on: {reached}.
`learner.packed=auto` packs from {GAIN:g} padded tokens of rows to a packed one.

CPU seconds by the most tokens that small subtrees share an attention call for ({result["most"]} is used):

{blocks}
"""


def sizes(policy: Policy, loads: Sequence[Load], most: Sequence[int], micro_tokens: int, seed: int) -> list[Any]:
    """Returns the CPU seconds of packed updates by the size of a block, the better of two."""
    used, found = attention.MOST, []
    for size in most:
        attention.MOST = size
        times = []
        for load in loads:
            rows = load.rows(seed)
            best = min(seconds(lambda rows=rows: passes(policy, by_trees(rows, micro_tokens))) for _ in range(2))  # type: ignore[misc]
            times.append({"name": label(load), "cpu": round(best, 4)})
        found.append({"most": size, "loads": times})
    attention.MOST = used
    return found


def label(load: Load) -> str:
    """Returns a workload in words."""
    groups = f"{load.groups} x " if load.groups > 1 else ""
    return f"{groups}{load.prompt:,} + {load.rollouts} x {load.own}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--width", type=int, default=128, help="of the model, a multiple of 64 [128]")
    parser.add_argument("--layers", type=int, default=2, help="[2]")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each way [3]")
    parser.add_argument("--micro-tokens", type=int, default=16384, help="as learner.micro_tokens [16384]")
    parser.add_argument("--threads", type=int, default=1, help="[1]; memory is measured in forks, which need 1")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--out", type=Path, default=RESULTS / "packing.json", help="[benchmarks/results/...]")
    parser.add_argument("--again", action="store_true", help="write the table again from the results; measure nothing")
    parser.add_argument("--table", type=Path, default=TABLE, help="[docs/tables/packing.md]")
    known = parser.parse_args()
    if not known.again:
        save(known.out, run(known))
    known.table.parent.mkdir(parents=True, exist_ok=True)
    known.table.write_text(page(json.loads(known.out.read_text(encoding="utf-8"))), encoding="utf-8")


def run(known: argparse.Namespace) -> dict[str, Any]:
    """Returns everything that is measured."""
    told = about()
    torch.set_num_threads(known.threads)
    policy = model(known.width, known.layers)
    passes(policy, by_trees(LOADS[0].rows(known.seed), known.micro_tokens))  # the first run of anything is not timed
    loads = []
    for load in LOADS:
        found = measure(policy, load.rows(known.seed), known.micro_tokens, known.repeats)
        loads.append({"name": label(load), "load": asdict(load), **found})
        print(f"{label(load):>20}: {found['gain']:.2f} of {found['sharing']:.2f}", flush=True)
    short = [load for load in LOADS if load.prompt <= 300 and load.rollouts in (4, 12)]
    tried = sizes(policy, short, (32, 64, 128, 256, 512), known.micro_tokens, known.seed)
    tiny, rows = step_rows(known.seed)
    torch.set_num_threads(known.threads)
    step = {"name": f"step, {len(rows)} rollouts", **measure(tiny, rows, known.micro_tokens, known.repeats)}
    print(f"\n{show([*loads, step])}")
    return {
        "about": told, "model": policy.name, "threads": known.threads, "repeats": known.repeats,
        "micro_tokens": known.micro_tokens, "most": attention.MOST, "loads": loads, "step": step, "blocks": tried,
    }  # fmt: skip


if __name__ == "__main__":
    main()
