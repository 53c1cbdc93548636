"""The tables of the paper (arXiv 2606.11119) at our scale, from comparisons on disk; `make bench-paper` runs those.

Reads `comparison.json` of three folders, keeps them as raw results, and writes docs/tables/paper.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from machine import RESULTS, save, table
from tabular.prose import page
from treeroll.comparison import summary
from treeroll.sinks import read_metrics

Record = dict[str, Any]
PAGE = Path(__file__).parent.parent / "docs" / "tables" / "paper.md"
PARTS = 4
"""Stretches of training over which the effective ratio is meaned."""
NOBODY = "-"


def main() -> None:
    """Reads the folders, writes the raw results and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--main", type=Path, default=Path("runs/compare-rivals"), help="folder of the main table")
    parser.add_argument("--ablation", type=Path, default=Path("runs/paper-ablation"))
    parser.add_argument("--budgets", type=Path, default=Path("runs/paper-budgets"))
    folders = vars(parser.parse_args())
    found: Record = {name: summary.summarise(folder) for name, folder in folders.items()}
    found["over_training"] = over_training(folders["main"], found["main"])
    save(RESULTS / "paper.json", found)
    PAGE.write_text(write(found), encoding="utf-8")
    print(f"written: {PAGE}")


def over_training(root: Path, found: Record) -> list[Record]:
    """Returns the effective ratio of each arm and world, meaned over seeds and each quarter of the steps."""
    lines = []
    for arm in found["arms"]:
        steps = [
            [r["contrast"]["effective_ratio"] for r in read_metrics(root / run / "metrics.jsonl")[1:]]
            for run in arm["runs"]
        ]
        quarters = [[float(np.mean(part)) for part in np.array_split(one, PARTS)] for one in steps]
        lines.append({"env": arm["env"], "name": arm["name"], "quarters": np.mean(quarters, axis=0).tolist()})
    return lines


def write(found: Record) -> str:
    """Returns the page."""
    first, ablation, budgets = (found[name] for name in ("main", "ablation", "budgets"))
    worlds = first["envs"]
    return page(
        "# The paper's tables, at our scale",
        """`make bench-paper`; raw results in `benchmarks/results/paper.json`. **Another model and another world**: a
        0.56 M-parameter model on embedded questions instead of Qwen3-8B and -14B on DeepScaleR, HotpotQA and
        BFCL. The numbers of arXiv 2606.11119 stand beside ours for their order and their size, nothing else. Ours are
        means over seeds, with 95 % bootstrap intervals.""",
        "## Main table",
        f"""Held-out success, 0 to 100, and effective ratio in % (mean over training). {len(first["seeds"])} seeds;
        at equal sampled tokens within a world: those of the run that sampled least, so numbers may differ a little
        from those of a comparison with other arms. The paper's: average over the mathematics benchmarks.""",
        table(["method", *worlds, "paper, 8B", "paper, 14B"], [_row(first, arm, worlds) for arm in _names(first)]),
        "## Effective ratio over training",
        """In %, each quarter of the steps; its denominator is the tasks that got any rollout. The paper's mean over
        training on mathematics: 26.8 (GRPO), 60.6 (TRACE) at 8B, 34.7 and 59.7 at 14B.""",
        table(["method", *worlds], _quarters(found["over_training"], worlds)),
        "## Ablation: uniform or active, stage 1 and stage 2",
        f"""Success and effective ratio; on `atlas`, budgets in rollouts as the paper's, (M, N) = (64, 2),
        {len(ablation["seeds"])} seeds; success also at equal sampled tokens. The paper's: 8B, multi-hop QA, (1024, 2).
        Uniform stage 2 draws prefixes at random.""",
        table(
            ["stage 1 / stage 2", "at the end", "at equal tokens", "paper, 8B"],
            [_pair(ablation, arm) for arm in _names(ablation)],
        ),
        "## Budgets (M, N)",
        f"""The paper's rules (`trace-paper`) with M bare rollouts a step and N continuations for each; on `atlas`,
        {len(budgets["seeds"])} seeds. The paper's budgets are 16 times ours. A larger budget samples more: the order at
        the end is the price of it, and at equal tokens it turns round.""",
        table(
            ["(M, N)", "at the end", "sampled tokens", "at equal tokens", "paper, 8B"],
            [_pair(budgets, arm, spent=True) for arm in _names(budgets)],
        ),
    )


PAPER_MAIN = {"grpo": ["70.0 / 26.8", "73.5 / 34.7"], "trace": ["71.1 / 60.6", "74.9 / 59.7"]}
"""Arm -> success and effective ratio, in %, as the paper has them; the same below."""
LABELS = {
    "uniform-uniform": ("uniform / uniform", "49.5 / 42.8"),
    "active-uniform": ("active / uniform", NOBODY),
    "uniform-active": ("uniform / active", NOBODY),
    "active-active": ("active / active", "50.6 / 52.3"),
    "paper-rules": ("active / active, the paper's rules and credit", "50.6 / 52.3"),
    "M32-N2": ("(32, 2)", "49.7 / 42.4"),
    "M32-N6": ("(32, 6)", "50.3 / 47.8"),
    "M64-N2": ("(64, 2)", "50.6 / 52.3"),
}
"""Arm -> how the paper names it, and its numbers."""


def _names(found: Record) -> list[str]:
    return list(dict.fromkeys(arm["name"] for arm in found["arms"]))


def _cell(found: Record, name: str, env: str) -> Record | None:
    return next((arm for arm in found["arms"] if (arm["name"], arm["env"]) == (name, env)), None)


def _both(arm: Record | None, success: str) -> str:
    """Returns success with its interval, and the effective ratio."""
    if arm is None or arm["mean"][success] is None:
        return NOBODY
    return f"{_success(arm, success)} / {100 * arm['mean']['effective_ratio']:.1f}"


def _success(arm: Record, success: str) -> str:
    """Returns success with its interval, 0 to 100."""
    mean, low, high = (arm[part][success] for part in ("mean", "low", "high"))
    return f"{100 * mean:.1f}" + ("" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]")


def _row(found: Record, name: str, worlds: list[str]) -> list[str]:
    arms = [_cell(found, name, env) for env in worlds]
    seeds = {len(arm["seeds"]) for arm in arms if arm is not None}
    fewer = "" if seeds == {len(found["seeds"])} else f" ({' or '.join(map(str, sorted(seeds)))} seeds)"
    cells = [_both(arm, "success_tokens") for arm in arms]
    return [f"`{name}`{fewer}", *cells, *PAPER_MAIN.get(name, [NOBODY, NOBODY])]


def _pair(found: Record, name: str, *, spent: bool = False) -> list[str]:
    label, paper = LABELS[name]
    arm = _cell(found, name, found["envs"][0])
    if arm is None:
        return [label, NOBODY, *([NOBODY] if spent else []), NOBODY, paper]
    tokens = [f"{arm['mean']['tokens']:,.0f}"] if spent else []
    return [label, _both(arm, "final"), *tokens, _success(arm, "success_tokens"), paper]


def _quarters(lines: list[Record], worlds: list[str]) -> list[list[str]]:
    def shown(name: str, env: str) -> str:
        line = next((line for line in lines if (line["name"], line["env"]) == (name, env)), None)
        return NOBODY if line is None else " ".join(f"{100 * value:.0f}" for value in line["quarters"])

    return [
        [f"`{name}`", *(shown(name, env) for env in worlds)] for name in dict.fromkeys(line["name"] for line in lines)
    ]


if __name__ == "__main__":
    main()
