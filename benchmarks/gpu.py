"""Everything that wants a GPU, in one run: packed updates, whole steps, and who samples what the learner computes.

updates    one update's forward and backward pass on groups of rollouts of one prompt, random weights: rows (each
           rollout by itself), blocks (packed, dense attention calls) and flex (packed, FlexAttention's kernels). Time,
           peak memory, and how far the gradient is from that of rows.
exact      the gradients of the packed ways in float32, at one load: what is left is rounding.
steps      `treeroll train`'s own steps with the packaged model: seconds, and how far the log-probabilities at which
           tokens were sampled are from those of the update, before any update and after one, by number format; with
           vLLM too, where it is installed.

`make bench-gpu` runs it on a machine with CUDA. With --device cpu --small it is a test of itself: FlexAttention then
runs uncompiled, which has no backward pass there, so flex is left out of what is timed.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from machine import RESULTS, about, save, table
from packing import Load, label
from treeroll.build import Parts, build
from treeroll.config import Config
from treeroll.learner import packed
from treeroll.learner.attention import tree_blocks, tree_of
from treeroll.learner.compute import MicroBatch, by_rows, by_trees, computing
from treeroll.learner.mixed import compute_in_bfloat16
from treeroll.learner.policy import Policy
from treeroll.packing import TreeRow
from treeroll.packing.packed import trim
from treeroll.step import train_step

ARMS = ("rows", "blocks", "flex")
REPEATS = 3
SETTINGS = {
    "float32": ["dtype=float32"],
    "mixed": ["dtype=mixed"],
    "bfloat16": ["dtype=bfloat16"],
    "bfloat16, LoRA": ["dtype=bfloat16", "learner.lora=16"],
}
"""Runs of the packaged model; those that want vLLM follow where it is installed."""
VLLM = {
    "float32, vLLM": ["dtype=float32", "sampling.backend=vllm"],
    "mixed, vLLM": ["dtype=mixed", "sampling.backend=vllm"],
}


@dataclass(frozen=True)
class Size:
    """The model and the loads of one run."""

    width: int
    layers: int
    words: int
    loads: tuple[Load, ...]
    rollouts: int
    """Budget of a step of the packaged model."""


LARGE = Size(
    896, 24, 32_000,
    (Load(1000, 2, 2000, 4), Load(1000, 4, 500, 4), Load(1000, 6, 250, 4), Load(1000, 12, 100, 4),
     Load(2000, 6, 500, 4), Load(300, 6, 75, 8)), 128,
)  # fmt: skip
"""Half a billion parameters, heads as in Qwen2.5-0.5B; sharing of 1.2, 2, 3 and 6, and of 3 at other prompts."""
SMALL = Size(64, 2, 1000, (Load(40, 4, 12),), 64)


def model(size: Size, device: str, dtype: str) -> Policy:
    """Returns a Llama-type policy of random weights; `dtype` as the option."""
    torch.manual_seed(0)
    heads = max(1, size.width // 64)
    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size.words, hidden_size=size.width, intermediate_size=size.width * 16 // 3, head_dim=64,
            num_hidden_layers=size.layers, num_attention_heads=heads, num_key_value_heads=max(1, heads // 7),
            max_position_embeddings=8192, tie_word_embeddings=True,
        )
    )  # fmt: skip
    if dtype == "mixed":
        compute_in_bfloat16(made)
    else:
        made = made.to(getattr(torch, dtype))
    return Policy(
        made.eval().to(device), None, f"Llama type, {size.layers} layers of {size.width}", mixed=dtype == "mixed"
    )


@contextmanager
def attending_by(arm: str) -> Iterator[None]:
    """Lets packs be attended as an arm says, whatever the device."""
    with patch.object(packed, "tree_of", tree_blocks if arm == "blocks" else tree_of):
        yield


def passes(policy: Policy, rows: Sequence[TreeRow], arm: str, micro_tokens: int) -> list[MicroBatch]:
    """Computes the gradient of the sum of all trained log-probabilities, packing included; returns the batches."""
    policy.model.zero_grad(set_to_none=True)
    batches = by_rows(rows, micro_tokens) if arm == "rows" else by_trees(rows, micro_tokens)
    with attending_by(arm), computing(policy, batches):
        for batch in batches:
            batch.logprobs(policy, 1.0)[0].sum().backward()  # type: ignore[no-untyped-call]
    return batches


def measured(device: str, work: Callable[[], object]) -> tuple[float, float | None]:
    """Returns one run's wall seconds, and on CUDA the MiB at its peak beyond those it began with."""
    gc.collect()
    if device == "cpu":
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin, None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, begin = torch.cuda.memory_allocated(), time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begin, (torch.cuda.max_memory_allocated() - before) / 2**20


def gradient(policy: Policy) -> torch.Tensor:
    """Returns the gradient of all weights as one vector in float32, in main memory."""
    return torch.cat([weight.grad.flatten().float().cpu() for weight in policy.trainable() if weight.grad is not None])


def off(one: torch.Tensor, other: torch.Tensor) -> float:
    """Returns how far a gradient is from another, relative to that."""
    return float((one - other).norm() / other.norm())


def updates(policy: Policy, loads: Sequence[Load], arms: Sequence[str], micro_tokens: int) -> list[dict[str, Any]]:
    """Returns for each load what its rows share, and for each arm seconds, memory and the gradient's distance."""
    device, found = policy.model.device.type, []
    for load in loads:
        rows, gradients = load.rows(0), {}
        one: dict[str, Any] = {"name": label(load), "load": asdict(load), "arms": {}}
        for arm in arms:
            work = partial(passes, policy, rows, arm, micro_tokens)
            batches = work()  # kernels are compiled in the first run, which is not timed
            gradients[arm] = gradient(policy)
            runs = [measured(device, work) for _ in range(REPEATS)]
            tokens, memory = sum(batch.tokens for batch in batches), [run[1] for run in runs if run[1] is not None]
            one["arms"][arm] = {
                "seconds": round(statistics.median(run[0] for run in runs), 5),
                "peak_mib": round(max(memory), 1) if memory else None,
                "tokens": tokens,
                "gradient_off": off(gradients[arm], gradients[arms[0]]),
            }
            paths = sum(batch.packed.path_tokens for batch in batches if batch.packed)
            one["sharing"] = round(paths / tokens, 3) if paths else 1.0
        found.append(one)
        print(
            f"{label(load):>20}:", *[f"{arm} {told['seconds']:.4f} s" for arm, told in one["arms"].items()], flush=True
        )
    return found


def steps(settings: dict[str, list[str]], device: str, rollouts: int) -> dict[str, Any]:
    """Returns for each setting the seconds of two steps, and how far each update was from what was sampled."""
    found: dict[str, Any] = {}
    for name, words in settings.items():
        parts = build(Config.resolve([f"device={device}", f"budget.rollouts={rollouts}", "learner.rise=1", *words]))
        said: list[dict[str, float]] = []
        update = parts.learner.update

        def watched(
            rows: Sequence[TreeRow], *given: Any, update: Any = update, parts: Parts = parts, said: Any = said
        ) -> Any:
            said.append(agreement(parts, rows))
            return update(rows, *given)

        parts.learner.update = watched  # type: ignore[assignment]
        carried, seconds = 0.0, []
        for step in (1, 2):
            begin = time.perf_counter()
            _, _, carried = train_step(parts, step, carried)
            seconds.append(round(time.perf_counter() - begin, 3))
        found[name] = {"seconds": seconds, "before": said[0], "after": said[1]}
        print(
            f"{name:>20}: off by {said[0]['rows_mean']:.2g}, after an update by {said[1]['rows_mean']:.2g}", flush=True
        )
        close = getattr(parts.sampler, "close", None)
        if close is not None:
            close()
    return found


@torch.no_grad()
def agreement(parts: Parts, rows: Sequence[TreeRow]) -> dict[str, float]:
    """Returns how far tokens' log-probabilities in the update are from those they were sampled at, in nats."""
    found: dict[str, float] = {}
    limit = parts.config.learner.micro_tokens
    for way, batches in (("rows", by_rows(trim(rows), limit)), ("packed", by_trees(rows, limit))):
        gaps = []
        with computing(parts.policy, batches):
            for batch in batches:
                sampled = np.concatenate([row.behaviour_logprobs[row.loss_mask] for row in batch.rows])
                gaps.append(batch.logprobs(parts.policy, parts.config.sampling.temperature)[0].cpu().numpy() - sampled)
        gap = np.abs(np.concatenate(gaps))
        found |= {f"{way}_tokens": len(gap), f"{way}_mean": float(gap.mean()), f"{way}_most": float(gap.max())}
    return found


def show(result: dict[str, Any]) -> str:
    """Returns the tables of a result."""
    arms = [arm for arm in ARMS if arm in result["updates"][0]["arms"]]
    heading = ["load", "sharing", *[f"{arm}, {what}" for arm in arms for what in ("s", "MiB", "gradient off")]]
    lines = [
        [one["name"], f"{one['sharing']:.2f}", *[cell for arm in arms for cell in _cells(one["arms"][arm])]]
        for one in result["updates"]
    ]
    steps_heading = ["run", "s a step", "sampled off, mean", "most", "after an update, mean", "most"]
    steps_lines = [
        [
            name,
            f"{one['seconds'][-1]:.2f}",
            *[f"{one[when][what]:.2g}" for when in ("before", "after") for what in ("rows_mean", "rows_most")],
        ]
        for name, one in result["steps"].items()
    ]
    exact = ", ".join(f"{arm} {value:.2g}" for arm, value in result["exact"].items())
    return f"{table(heading, lines)}\n\nGradients in float32 are off by: {exact}\n\n{table(steps_heading, steps_lines)}"


def _cells(told: dict[str, Any]) -> list[str]:
    memory = "-" if told["peak_mib"] is None else f"{told['peak_mib']:.0f}"
    return [f"{told['seconds']:.4f}", memory, f"{told['gradient_off']:.2g}"]


def run(known: argparse.Namespace) -> dict[str, Any]:
    """Returns everything that is measured."""
    size, device = SMALL if known.small else LARGE, known.device
    arms = ARMS if device == "cuda" else ("rows", "blocks")
    told = about()
    if device == "cuda":
        told["machine"]["gpu"] = torch.cuda.get_device_name()
    policy = model(size, device, known.dtype)
    timed = updates(policy, size.loads, arms, known.micro_tokens)
    del policy
    single = model(size, device, "float32")
    exact = updates(single, size.loads[-1:], arms, known.micro_tokens)[0]["arms"]
    del single
    settings = {**SETTINGS, **(VLLM if find_spec("vllm") else {})}
    return {
        "about": told, "model": asdict(size), "device": device, "dtype": known.dtype, "repeats": REPEATS,
        "micro_tokens": known.micro_tokens, "updates": timed,
        "exact": {arm: one["gradient_off"] for arm, one in exact.items() if arm != "rows"},
        "steps": steps(settings, device, size.rollouts), "vllm": find_spec("vllm") is not None,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="[cuda]")
    parser.add_argument("--small", action="store_true", help="a tiny model and one tiny load")
    parser.add_argument(
        "--dtype", choices=("mixed", "bfloat16", "float32"), default="mixed", help="of the updates [mixed]"
    )
    parser.add_argument("--micro-tokens", type=int, default=16384, help="as learner.micro_tokens [16384]")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json", help="[benchmarks/results/...]")
    known = parser.parse_args()
    if known.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here. To see the script itself at work: --device cpu --small", file=sys.stderr)
        return 1
    result = run(known)
    print(f"\n{show(result)}")
    save(known.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
