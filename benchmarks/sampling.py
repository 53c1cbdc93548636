"""Times the local sampler against transformers' own on the work of a default TRACE run.

Two workloads are recorded: one step's sampling (`make bench-sampling` sets budget.worth=0, so that there are
continuations), and an evaluation of 256 held-out tasks, one rollout each. Every arm then samples the same requests
again, wave by wave, in turn, from the same weights; all but the last one in one process:

kept            LocalSampler as in a run: prompts are computed once and a turn goes on from the kept keys and values
                of its prefix.
whole           LocalSampler with nothing kept: whole histories are computed for every turn.
paged           transformers' paged continuous batching, its manager kept running for the whole workload.
generate_batch  the same through `model.generate_batch(persistent_manager=True)`, one call a wave.
generate        `model.generate` on left-padded histories.
vllm            `ColocatedSampler` with its prefix cache, in a second process (vLLM has an environment of its own).

The paged arms share prefixes across requests and waves; page size and token budget are, for each workload, the best
of a grid that is timed first, on `paged`. Histories come from the record, so what a paged arm itself sampled in an
earlier wave is not found again: at most a turn and a page of each history. All but the local arms draw their tokens
anew, hence rates. No arm but the local ones gives the hidden states that the predictor reads; computing the prompts
of candidates that get no rollout serves only it, is timed apart (`pool`) and is in no arm.
The rule: our own decode loop stays only where it is at least twice as fast as `generate_batch`.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import sampling_page
import vllm_arm
from arms import CACHE, Arms, Recorder, Sampled, continued, history, local, record_evaluation, record_step
from machine import RESULTS, about, save, table
from treeroll.build import Parts, build
from treeroll.config import Config
from treeroll.packing import TreeRow
from treeroll.samplers.vllm.terms import Terms

ARMS = ("kept", "whole", "paged", "generate_batch", "generate")
PAGES, TOKENS = (4, 8, 16, 32, 64, 256), (128, 512)
HELD_OUT = 256
PAGE = Path(__file__).parents[1] / "docs" / "tables" / "sampling.md"
NEEDED = 2.0
"""How many times as fast as `generate_batch` our own loop must be."""


def timed(arm: Callable[[], Sampled]) -> dict[str, float]:
    """Returns one run's CPU and wall seconds and the tokens that it sampled."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    sampled = arm()
    seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return {**{key: round(value, 4) for key, value in seconds.items()}, "tokens": sum(len(one[1]) for one in sampled)}


def search(arms: Arms, seed: int) -> list[dict[str, float]]:
    """Times each page size and token budget, the better of two after a first run; sets up the fastest."""
    grid = []
    for page in PAGES:
        for tokens in TOKENS:
            arms.page(page, tokens, seed)
            arms.paged()
            best = min((timed(arms.paged) for _ in range(2)), key=lambda run: run["cpu"])
            grid.append({"page_size": page, "max_batch_tokens": tokens, **best})
    grid.sort(key=lambda run: run["cpu"])
    arms.page(int(grid[0]["page_size"]), int(grid[0]["max_batch_tokens"]), seed)
    return grid


@torch.inference_mode()
def error(parts: Parts, sampled: Sampled) -> float:
    """Returns the largest difference of log-probabilities to the learner's forward pass over whole histories."""
    worst = 0.0
    for start in range(0, len(sampled), 64):
        rows = []
        for before, tokens, logprobs in sampled[start : start + 64]:
            ids, told = np.asarray(tokens, np.int32), np.asarray(logprobs, np.float32)
            rows.append(TreeRow(before.astype(np.int32), ids, np.ones(len(ids), np.bool_), told, told * 0, "", 0))
        exact, _ = parts.policy.logprobs(rows, local(parts).temperature)
        told = np.concatenate([row.behaviour_logprobs for row in rows])
        worst = max(worst, float(np.abs(exact.numpy() - told).max()))
    return worst


def summary(times: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Returns each arm's medians, and how many times as many tokens a second `kept` samples."""
    found = {}
    for name, runs in times.items():
        found[name] = {key: statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "tokens")}
        for clock in ("cpu", "wall"):
            found[name][f"tokens_per_{clock}_s"] = round(statistics.median(r["tokens"] / r[clock] for r in runs), 1)
    for row in found.values():
        for clock in ("cpu", "wall"):
            key = f"tokens_per_{clock}_s"
            row[f"kept_is_faster_{clock}"] = round(found["kept"][key] / row[key], 3)
    return found


def with_vllm(parts: Parts, recorder: Recorder, python: Path, repeats: int) -> dict[str, Any]:
    """Returns what vLLM's process tells of the same requests, with its largest error of log-probabilities."""
    sampler = local(parts)
    terms = Terms(sampler.stop_ids, sampler.temperature, parts.policy.model.config.vocab_size, sampler.context)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vllm_arm.save(folder, parts.policy, recorder.waves, terms, repeats)
        subprocess.run([python, vllm_arm.__file__, folder], check=True, stdout=subprocess.DEVNULL)
        told: dict[str, Any] = json.loads((folder / vllm_arm.ANSWERS).read_text())
    asked = [history(request) for wave in recorder.waves for request in wave]
    told["error"] = error(parts, [(one, *said) for one, said in zip(asked, told["sampled"], strict=True)])
    return told


def measure(parts: Parts, recorder: Recorder, seed: int, repeats: int, vllm: Path | None) -> dict[str, Any]:
    """Returns a workload's size, times and errors."""
    arms = Arms(parts, recorder)
    # Paged batching collects garbage whenever it stops: without this it would be charged for our own objects.
    gc.collect()
    gc.freeze()
    grid = search(arms, seed)
    torch.manual_seed(seed)
    ways: dict[str, Callable[[], Sampled]] = {name: getattr(arms, name) for name in ARMS}
    errors = {name: error(parts, arm()) for name, arm in ways.items()}  # also the first, untimed run of each
    times: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for _ in range(repeats):
        for name, arm in ways.items():
            times[name].append(timed(arm))
    pool = statistics.median(timed(arms.pool)["cpu"] for _ in range(repeats))
    arms.close()
    gc.unfreeze()
    histories = sum(len(history(request)) for wave in recorder.waves for request in wave)
    turns = [turn for wave in recorder.waves for turn in parts.sampler.sample(wave)]
    computed = sum(map(len, arms.prompts)) + sum(turn.computed_tokens for turn in turns)
    late, own = continued(recorder, parts.engine.seed, parts.engine.max_turns)
    told = None if vllm is None else with_vllm(parts, recorder, vllm, repeats)
    by_arm = {"kept": [turn.computed_tokens for turn in turns]}
    shares = {"kept": round(1 - computed / histories, 4)}
    if told is not None:
        errors["vllm"], times["vllm"], by_arm["vllm"] = told["error"], told["times"], told["computed"]
        shares["vllm"] = round(1 - sum(told["computed"]) / histories, 4)
    stage2 = {arm: sum(one for one, is_late in zip(cost, late, strict=True) if is_late) for arm, cost in by_arm.items()}
    return {
        "turns": len(turns),
        "waves": [len(wave) for wave in recorder.waves],
        "history_tokens": histories,
        "computed_tokens": computed,
        "not_recomputed": shares,
        "stage2": {
            "turns": sum(late),
            "own_tokens": own,
            "computed": stage2,
            "ratio": {arm: round(cost / own, 4) if own else None for arm, cost in stage2.items()},
        },
        "pool": {"prompts": len(recorder.prompts), "tokens": sum(map(len, recorder.prompts)), "cpu": pool},
        "paging": {"cache_tokens": CACHE, "grid_best_first": grid},
        "largest_logprob_error": errors,
        "times": times,
        "summary": summary(times),
    }


def show(name: str, found: dict[str, Any]) -> None:
    """Prints a workload's table."""
    heading = [name, "CPU s", "wall s", "tokens / CPU s", "tokens / s", "kept is faster (CPU)", "log-prob. error"]
    lines = [
        [arm, f"{row['cpu']:.3f}", f"{row['wall']:.3f}", f"{row['tokens_per_cpu_s']:,.0f}",
         f"{row['tokens_per_wall_s']:,.0f}", f"{row['kept_is_faster_cpu']:.2f}",
         f"{found['largest_logprob_error'][arm]:.1e}"]
        for arm, row in found["summary"].items()
    ]  # fmt: skip
    best = found["paging"]["grid_best_first"][0]
    print(f"\n{table(heading, lines)}\n")
    print(f"{found['turns']} turns in {len(found['waves'])} waves; of {found['history_tokens']:,} tokens of histories "
          f"{found['not_recomputed']} are not recomputed. Stage 2 computes, for each token of its own (sampled or "
          f"observed), {found['stage2']['ratio']}. The pool's {found['pool']['prompts']} prompts: "
          f"{found['pool']['cpu']:.3f} CPU s. Paging: page_size={best['page_size']}, "
          f"max_batch_tokens={best['max_batch_tokens']}.")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="tiny", help="as in treeroll train [tiny]")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--step", type=int, default=10, help="step whose sampling is recorded [10]")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each arm [7]")
    parser.add_argument("--vllm", type=Path, help="Python of an environment with vLLM, for the arm `vllm`")
    parser.add_argument("--out", type=Path, default=RESULTS / "sampling.json", help="[benchmarks/results/...]")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="options as in treeroll train")
    known = parser.parse_intermixed_args()
    transformers.logging.set_verbosity_error()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)

    told = about()
    parts = build(Config.resolve([f"model={known.model}", f"seed={known.seed}", *known.overrides]))
    config, parts.held_out = parts.config, parts.held_out[:HELD_OUT]
    recorders = {f"step {known.step}": record_step(parts, known.step), "evaluation": record_evaluation(parts)}
    found = {
        name: measure(parts, recorder, known.seed, known.repeats, known.vllm) for name, recorder in recorders.items()
    }
    for name, workload in found.items():
        show(name, workload)
    # A default run's sampling: its steps, and its evaluations of more tasks than were timed here.
    evaluations = len({0, config.steps, *range(0, config.steps, config.evaluation.every)})
    counts = (config.steps, evaluations * config.evaluation.tasks / len(parts.held_out))
    share = list(zip(counts, found.values(), strict=True))
    run = {
        arm: sum(
            count * work["summary"]["kept"]["tokens"] / work["summary"][arm]["tokens_per_cpu_s"]
            for count, work in share
        )
        for arm in found[f"step {known.step}"]["summary"]
    }
    ratios = {arm: round(seconds / run["kept"], 2) for arm, seconds in run.items()}
    cpu = {arm: round(seconds, 1) for arm, seconds in run.items()}
    print(f"\nA run's sampling, CPU seconds: {cpu}; times those of kept: {ratios}; {NEEDED:g} are needed.")
    result = {
        "about": told,
        "config": config.to_dict(),
        "threads": torch.get_num_threads(),
        "parameters": parts.policy.parameters,
        "workloads": found,
        "run": {"steps": counts[0], "evaluations": counts[1], "cpu": cpu, "times_kept": ratios},
        "rule": {"needed": NEEDED, "measured": ratios["generate_batch"], "against_paged": ratios["paged"]},
    }
    save(known.out, result)
    if known.out.parent == RESULTS:
        PAGE.write_text(sampling_page.write(result), encoding="utf-8")


if __name__ == "__main__":
    main()
