"""The markdown page of `sampling.py`."""

from __future__ import annotations

from typing import Any

from machine import table
from tabular.prose import page


def write(result: dict[str, Any]) -> str:
    """Returns the page."""
    load = ", ".join(f"{one:g}" for one in result["about"]["machine"]["load"])
    parts = [
        "# Sampling",
        "`make bench-sampling`; raw results in `benchmarks/results/sampling.json`. The same requests, in the same "
        "waves, by every arm; what the arms are stands at the head of `benchmarks/sampling.py`. A model of "
        f"{result['parameters']:,} parameters on CPU, {result['threads']} thread; the machine's load at the start: "
        f"{load}.",
    ]
    for name, work in result["workloads"].items():
        parts += _workload(name, work)
    return page(*parts)


def _workload(name: str, work: dict[str, Any]) -> list[str]:
    shares = work["not_recomputed"]
    lines = [
        [f"`{arm}`", f"{row['tokens_per_cpu_s']:,.0f}", f"{row['tokens_per_wall_s']:,.0f}",
         f"{row['kept_is_faster_cpu']:.2f}", f"{shares[arm]:.1%}" if arm in shares else "",
         f"{work['largest_logprob_error'][arm]:.1e}"]
        for arm, row in work["summary"].items()
    ]  # fmt: skip
    heading = ["arm", "tokens / CPU s", "tokens / s", "`kept` is faster (CPU)", "not recomputed", "log-prob. error"]
    parts = [
        f"## {name}",
        f"{work['turns']:,} turns in {len(work['waves'])} waves; {work['history_tokens']:,} tokens of histories.",
        table(heading, lines),
    ]
    stage2 = work["stage2"]
    if stage2["own_tokens"]:
        ratios = ", ".join(f"`{arm}` {ratio:.2f}" for arm, ratio in stage2["ratio"].items())
        parts.append(
            f"Stage 2: {stage2['turns']:,} turns of continuations, with {stage2['own_tokens']:,} tokens of their own "
            f"(sampled or observed). Computed for each of these: {ratios}."
        )
    return parts
