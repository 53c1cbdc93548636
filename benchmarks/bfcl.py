"""Measures the world bfcl: every ground truth forked at every turn, what forking costs, and the size of a prompt.

python benchmarks/bfcl.py [--tokenizer DIR]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from machine import RESULTS, about, save, table
from treeroll.envs.base import Done
from treeroll.envs.bfcl import bfcl, truth
from treeroll.envs.bfcl.entries import CATEGORIES, Entry, entries
from treeroll.envs.bfcl.episode import BfclEnv
from treeroll.envs.bfcl.schemas import STYLES
from treeroll.tree import Task

LIMIT = 100
"""Steps of a user turn: the ground truth of long_context makes up to 34 calls in one, here one a step."""
PARTS = ("reset", "step", "snapshot", "restore")


def fork_everywhere(entry: Entry, taken: dict[str, list[float]]) -> tuple[int, int]:
    """Plays a ground truth, one call a step, and goes on from every moment of it in a second instance.

    Args:
      entry: the task.
      taken: part -> seconds, added to.

    Returns:
      How many forks there were, and how many of them did not end as the unforked episode, word by word.
    """

    def timed(part: str, work: Any, *given: Any) -> Any:
        start = perf_counter()
        result = work(*given)
        taken[part].append(perf_counter() - start)
        return result

    truth.of(entry.id)  # once per task and process; not part of a reset
    env, other = BfclEnv(step_limit=LIMIT), BfclEnv(step_limit=LIMIT)
    timed("reset", env.reset, Task(entry.id, "", {"entry": entry.id}))
    script = [action for turn in entry.truth for action in (*(f"[{call}]" for call in turn), "Done.")]
    tokens, heard = [], []
    for action in script:
        tokens.append(timed("snapshot", env.snapshot))
        heard.append(timed("step", env.step, action))
    differing = int(heard[-1] != Done(1.0, "as the ground truth"))
    for place, token in enumerate(tokens):
        timed("restore", other.restore, token)
        differing += [other.step(action) for action in script[place:]] != heard[place:]
    return len(tokens), differing


def measure_forks() -> dict[str, Any]:
    """Returns category -> forks, those that ended differently, and milliseconds of each part."""
    found = {}
    for category in CATEGORIES:
        taken: dict[str, list[float]] = defaultdict(list)
        counts = np.sum([fork_everywhere(entry, taken) for entry in entries(category)], axis=0)
        spread = {part: np.percentile(taken[part], [50, 90, 100]) * 1e3 for part in PARTS}
        found[category] = {
            "tasks": len(entries(category)),
            "forks": int(counts[0]),
            "differing": int(counts[1]),
            "ms": {part: dict(zip(("median", "p90", "most"), spread[part].tolist(), strict=True)) for part in PARTS},
        }
    return found


def measure_tokens(folder: str) -> dict[str, Any]:
    """Returns the tokens of prompts, of the example, and of what a ground truth says and reads."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    found: dict[str, Any] = {}
    for style in STYLES:
        world = bfcl(schemas=style)
        prompts = [count(task.prompt) for task in (*world.train, *world.test)]
        (example,) = world.examples
        told = [example.prompt, *(text for turn in example.turns for text in turn)]
        found[style] = {
            "prompt": {"mean": float(np.mean(prompts)), "most": max(prompts)},
            "instructions_and_example": count(world.instructions) + sum(map(count, told)),
        }
    for category in CATEGORIES:
        said, read = [], []
        for entry in entries(category):
            turns = zip(entry.truth, truth.of(entry.id), strict=True)
            for calls, played in turns:
                if played is not None:
                    said.append(count(f"[{', '.join(calls)}]"))
                    read.append(count("\n".join(played.results)))
        found[category] = {
            name: dict(
                zip(("median", "p90", "p99", "most"), np.percentile(sizes, [50, 90, 99, 100]).tolist(), strict=True)
            )
            for name, sizes in (("calls_of_a_user_turn", said), ("results_of_a_user_turn", read))
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "bfcl.json", help="[benchmarks/results/bfcl.json]")
    parser.add_argument("--tokenizer", metavar="DIR", help="a Hugging Face tokenizer; without it no tokens are counted")
    known = parser.parse_args()
    found: dict[str, Any] = {"about": about(), "bfcl-eval": metadata.version("bfcl-eval"), "forks": measure_forks()}
    if known.tokenizer is not None:
        found["tokens"] = measure_tokens(known.tokenizer)
    lines = [
        [name, f"{of['forks']:,}", str(of["differing"])]
        + [f"{of['ms'][part]['median']:.2f} ({of['ms'][part]['p90']:.2f})" for part in PARTS]
        for name, of in found["forks"].items()
    ]
    print(table(["category", "forks", "that differ", *(f"{part}, ms: median (p90)" for part in PARTS)], lines))
    save(known.out, found)


if __name__ == "__main__":
    main()
