"""Runs `treeroll train` for some methods and seeds from one model, and puts their outcomes side by side.

Every run is a process of its own, in a folder of its own under `--runs`. A finished run is not repeated and an
unfinished one goes on from its last checkpoint, so the command can be stopped and given again. `--start` measures
the model before any training instead: how often each held-out task succeeds in 8 rollouts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from machine import RESULTS, about, save, table
from outcomes import differences, outcome, rows
from treeroll.allocation.base import Allocation
from treeroll.build import build
from treeroll.config import Config
from treeroll.metrics import wilson_interval
from treeroll.sinks import CONFIG, METRICS, read_json, read_metrics

METHODS = "trace,trace-stage1,grpo,tree-random"
ROLLOUTS = 8
"""Rollouts a task of `--start`."""
OWN = ("out", "report", "method", "seed", "predictor.name", "learner.credit", "budget.continuations")
"""Options that differ between runs of one comparison, or do not change a result."""


def run(method: str, seed: int, known: argparse.Namespace) -> Path:
    """Makes sure that a run is finished and returns its folder."""
    folder: Path = known.runs / f"{method}-s{seed}"
    options = [f"model={known.model}", *known.overrides, f"method={method}", f"seed={seed}", f"out={folder}"]
    wanted, command = Config.resolve(options), ["train", *options]
    if (folder / METRICS).exists():
        differing = differences(read_json(folder / CONFIG), wanted.to_dict())
        if differing := {key: pair for key, pair in differing.items() if key not in ("out", "report")}:
            raise SystemExit(f"{folder} holds a run with other options: {differing}. Remove it or name another --runs")
        records = read_metrics(folder / METRICS)
        if records and records[-1]["step"] == wanted.steps:
            print(f"{folder}: finished before", flush=True)
            return folder
        command = ["train", "--resume", str(folder)]
    print(f"{folder}: treeroll {' '.join(command)}", flush=True)
    known.runs.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    with log.open("a") as file:
        code = subprocess.run([sys.executable, "-m", "treeroll", *command], stdout=file, stderr=file, check=False)
    if code.returncode or read_metrics(folder / METRICS)[-1]["step"] != wanted.steps:
        raise SystemExit(f"{folder}: not finished, exit status {code.returncode}; see {log}")
    return folder


def compare(known: argparse.Namespace) -> None:
    """Runs what is missing, then saves and prints the comparison."""
    pairs = [(method, int(seed)) for seed in known.seeds.split(",") for method in known.methods.split(",")]
    pool = ThreadPoolExecutor(known.jobs)
    try:
        waiting = [pool.submit(run, method, seed, known) for method, seed in pairs]
        folders = [future.result() for future in waiting]
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure or Ctrl-C no further run starts
    runs = [outcome(folder) for folder in folders]
    runs.sort(key=lambda one: known.methods.split(",").index(one["method"]))
    if len(commits := {one["commit"] for one in runs}) > 1:
        print(f"\nNot all of one commit: {sorted(map(str, commits))}. Remove the older runs to compare like with like.")
    methods = rows(runs)
    heading = ["method", "seeds", "start", "end", "sd", "gain by seed", "effective ratio", "mixed groups / 1k",
               "bare", "mean group", "sampled tokens", "tool calls", "CPU s"]  # fmt: skip
    lines = [
        [row["method"], str(len(row["seeds"])), f"{row['start']:.3f}", f"{row['end']:.3f}",
         "-" if row["end_sd"] is None else f"{row['end_sd']:.3f}", " ".join(f"{gain:+.3f}" for gain in row["gains"]),
         f"{row['effective_ratio']:.2f}", f"{row['mixed_groups_per_1000']:.0f}",
         f"{row['mixed_bare_groups_per_1000']:.0f}", f"{row['mean_group']:.1f}", f"{row['sampled_tokens']:,.0f}",
         f"{row['tool_calls']:,.0f}", f"{row['cpu']:.0f}"]
        for row in methods
    ]  # fmt: skip
    print(f"\n{table(heading, lines)}")
    common = {key: value for key, value in runs[0]["options"].items() if key not in OWN}
    save(known.out or RESULTS / "default_run.json",
         {"about": about(), "options": common, "jobs": known.jobs, "methods": methods, "runs": runs})  # fmt: skip


def start(known: argparse.Namespace) -> None:
    """Measures the untrained model: success of each held-out task in `ROLLOUTS` rollouts, drawn as in training."""
    config = Config.resolve([f"model={known.model}", *known.overrides])
    parts, wins = build(config), []
    for place in range(0, len(parts.held_out), 128):  # few at a time: what is kept for all of them is large
        forest = parts.examiner.plant(parts.held_out[place : place + 128], step=0)
        for tree in parts.examiner.extend(forest, Allocation.bare(forest, ROLLOUTS)):
            wins.append(sum(tree.succeeded(leaf) for leaf in tree.leaves))
    share = np.array(wins) / ROLLOUTS
    edges = [0.2, 0.4, 0.6, 0.8]
    bins = ["0", "(0, .2)", "[.2, .4)", "[.4, .6)", "[.6, .8)", "[.8, 1)", "1"]
    where = np.where(share == 0, 0, np.where(share == 1, 6, 1 + np.searchsorted(edges, share, side="right")))
    histogram = {name: int((where == place).sum()) for place, name in enumerate(bins)}
    mixed = int(((share > 0) & (share < 1)).sum())
    low, high = wilson_interval(mixed, len(share))
    result = {
        "about": about(),
        "config": config.to_dict(),
        "tasks": len(share),
        "rollouts": ROLLOUTS,
        "success": float(share.mean()),
        "success_se": float(share.std(ddof=1) / np.sqrt(len(share))),
        "histogram": histogram,
        "effective_ratio": {"value": mixed / len(share), "low": low, "high": high},
    }
    print(table(["success of a task", *bins], [["tasks", *map(str, histogram.values())]]))
    print(f"\n{len(share)} held-out tasks, {ROLLOUTS} rollouts each at temperature {config.sampling.temperature:g}: "
          f"mean success {share.mean():.3f} (standard error over tasks {result['success_se']:.3f}), effective ratio "
          f"of uniform groups of {ROLLOUTS}: {mixed / len(share):.3f}")  # fmt: skip
    save(known.out or RESULTS / "start.json", result)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--start", action="store_true", help="measure the model before training, and nothing else")
    parser.add_argument("--methods", default=METHODS, help=f"[{METHODS}]")
    parser.add_argument("--seeds", default="0,1,2", help="[0,1,2]")
    parser.add_argument("--model", default="tiny", help="as in treeroll train [tiny]")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time [2]")
    parser.add_argument("--runs", type=Path, default=Path("runs/bench-default"), help="[runs/bench-default]")
    parser.add_argument("--out", type=Path, help="[benchmarks/results/default_run.json, or start.json]")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="options as in treeroll train")
    known = parser.parse_intermixed_args()
    try:
        (start if known.start else compare)(known)
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on") from None


if __name__ == "__main__":
    main()
