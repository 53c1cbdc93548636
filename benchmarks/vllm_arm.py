"""Samples recorded requests with vLLM: the arm of `sampling.py` that needs an environment of its own.

    .venv-vllm/bin/python benchmarks/vllm_arm.py FOLDER

FOLDER holds `requests.json`, as `save` writes it, and the model; `answers.json` goes there too. The cache is emptied
before each run; what the prompts share, and what a turn's history shares with earlier waves, is found again.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from treeroll.samplers.base import Prefix, TurnRequest
from treeroll.samplers.vllm.terms import Terms, history

REQUESTS, ANSWERS, MODEL = "requests.json", "answers.json", "model"


def save(folder: Path, policy: Any, waves: Sequence[Sequence[TurnRequest]], terms: Terms, repeats: int) -> None:
    """Writes what is to be sampled, and with which weights."""
    policy.model.save_pretrained(folder / MODEL)
    policy.tokenizer.save_pretrained(folder / MODEL)
    asked = [[[history(one).tolist(), one.max_tokens, one.seed] for one in wave] for wave in waves]
    kept = {"stop_ids": sorted(terms.stop_ids), "temperature": terms.temperature}
    kept |= {"vocabulary": terms.vocabulary, "context": terms.context}
    (folder / REQUESTS).write_text(json.dumps({"terms": kept, "waves": asked, "repeats": repeats}))


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from treeroll.learner.policy import load_policy
    from treeroll.samplers.vllm.colocated import ColocatedSampler

    folder = Path(sys.argv[1])
    asked = json.loads((folder / REQUESTS).read_text())
    terms = Terms(**asked["terms"] | {"stop_ids": frozenset(asked["terms"]["stop_ids"])})
    nothing = np.empty(0, np.int32)
    waves = [
        [TurnRequest(Prefix(np.array(ids, np.int32)), nothing, most, seed) for ids, most, seed in wave]
        for wave in asked["waves"]
    ]
    policy = load_policy(str(folder / MODEL), device="cpu")
    sampler = ColocatedSampler(str(folder / MODEL), policy, terms, dtype="float32", memory=0.1)
    sampler.plant([])
    runs: list[dict[str, float]] = []
    for _ in range(asked["repeats"] + 1):  # the first one is not timed
        sampler._llm.reset_prefix_cache()
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        turns = [turn for wave in waves for turn in sampler.sample(wave)]
        seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        runs.append({**seconds, "tokens": sum(len(turn.token_ids) for turn in turns)})
    told = {
        "times": runs[1:],
        "computed": [turn.computed_tokens for turn in turns],
        "sampled": [[turn.token_ids.tolist(), turn.logprobs.tolist()] for turn in turns],
    }
    (folder / ANSWERS).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
