"""How good predictors are: on the forests of one default run, and each allocating for itself.

Offline, every predictor sees the same recorded forests in the same order and is scored on each before it learns from
it: AUC, Brier skill and calibration error (ECE) at roots and at prefixes, and the error of predicted costs, as a
function of the rollouts seen. The forests are those of `treeroll train` with its default options, recorded with hidden
states by the first call into `--runs` and read from there ever after.

Online, each predictor allocates its own run: the flips that it expected of the continuations it chose
(`Origin.gain`), and how many came. Once as by default, where trees that are mixed already get no continuations, and
once where every tree may get them. `head, mean alone` scores as the paper does, without the posterior. The share of
CPU is that of `predict` and `update` in all that a step does, by this process's CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from machine import RESULTS, about, save
from predictor_page import write
from treeroll import predictor, scoring
from treeroll.budget import Unit
from treeroll.build import build
from treeroll.config import Config
from treeroll.metrics import wilson_interval
from treeroll.predictor import Prediction, Predictor
from treeroll.sinks import read_json
from treeroll.step import train_step
from treeroll.tree import Anchor, RolloutTree
from treeroll.treefile import load_trees, save_trees

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "predictor.md"
BUCKETS = (0, 1000, 2000, 5000)
"""Rollouts seen at the start of a step, from which each bucket counts."""
UNIT: Unit = "turns"
"""What costs are predicted in, offline."""
WHERE = {"unmixed trees": "budget.mixed_weight=0", "every tree": "budget.mixed_weight=1"}
"""Where continuations may go; the first is the default."""


@dataclass(frozen=True)
class Rival:
    """A predictor and how it is measured."""

    options: tuple[str, ...]
    """Options of its run."""
    offline: int = 80
    """Steps that it predicts offline; fewer where it is slow."""
    online: int = 0
    """Steps of its own run; 0: none."""
    seeds: int = 1
    """Runs of its own, of the seeds given."""

    @property
    def where(self) -> tuple[str, ...]:
        """Where its runs may branch: both ways where there are several, else the one that shows most flips."""
        return tuple(WHERE)[0 if self.seeds > 1 else 1 :] if self.online else ()


RIVALS = {
    "head": Rival(("predictor.name=head",), online=80, seeds=3),
    "head, mean alone": Rival(("predictor.name=head", "budget.posterior=false"), offline=0, online=80),
    "head, wordllama": Rival(("predictor.name=head", "predictor.encoder=wordllama"), online=80),
    "head, minilm": Rival(("predictor.name=head", "predictor.encoder=minilm"), offline=20),
    "mlp": Rival(("predictor.name=mlp",), online=80),
    "latent": Rival(("predictor.name=latent",), online=80),
    "value-lm": Rival(("predictor.name=value-lm",), offline=40, online=40),
    "beta": Rival(("predictor.name=beta",)),
    "shuffled": Rival(("predictor.name=shuffled",), online=80),
    "constant": Rival(("predictor.name=constant",)),
}


class Timed:
    """A predictor that counts its CPU seconds."""

    def __init__(self, inner: Predictor) -> None:
        self.inner, self.cpu = inner, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def predict(self, anchors: Sequence[Anchor]) -> Prediction:
        prediction: Prediction = self._timed(self.inner.predict, anchors)
        return prediction

    def update(self, trees: Sequence[RolloutTree]) -> None:
        self._timed(self.inner.update, trees)

    def _timed(self, call: Callable[[Any], Any], argument: Any) -> Any:
        start = time.process_time()
        try:
            return call(argument)
        finally:
            self.cpu += time.process_time() - start


# Offline --------------------------------------------------------------------------------------------------------


def forests(folder: Path, config: Config) -> Iterator[list[RolloutTree]]:
    """Yields the forests of a default run, step by step; records those that are not in the folder yet."""
    told = folder / "options.json"
    if told.exists() and read_json(told) != config.to_dict():
        raise SystemExit(f"{folder} holds forests of other options. Remove it or name another --runs")
    paths = [folder / f"step-{step:03d}.jsonl.gz" for step in range(1, config.steps + 1)]
    if not all(path.exists() for path in paths):
        save(told, config.to_dict())
        parts, left = build(config), 0.0
        for step, path in enumerate(paths, start=1):
            _, trees, left = train_step(parts, step, left)
            save_trees(path, trees, hidden=True)
    return (load_trees(path) for path in paths)


def offline(rivals: Mapping[str, Rival], folder: Path, config: Config) -> dict[str, Any]:
    """Returns each rival's scores by bucket, and its CPU milliseconds a step."""
    longest = float(build(config).engine.max_turns)
    timed: dict[str, Timed] = {}
    pairs: dict[str, list[list[list[NDArray[np.float64]]]]] = {}
    for name, rival in rivals.items():
        if rival.offline:
            own = Config.resolve(rival.options).predictor
            options: dict[str, Any] = {"forgetting": own.forgetting, "warmup": own.warmup, "encoder": own.encoder}
            timed[name] = Timed(predictor.get(own.name, seed=config.seed, unit=UNIT, longest=longest, **options))
            pairs[name] = [[[] for _ in range(4)] for _ in BUCKETS]
    seen = 0
    for step, forest in enumerate(forests(folder, config), start=1):
        anchors = [Anchor(tree, node) for tree in forest for node in (0, *tree.prefixes)]
        for name, one in timed.items():  # one after the other on each step, so that noise falls on all alike
            if step <= rivals[name].offline:
                found = one.predict(anchors)
                told = scoring.scored_outcomes(anchors, found.mean) + scoring.scored_costs(anchors, found.cost, UNIT)
                for kind, pair in zip(pairs[name][bucket(seen)], told, strict=True):
                    kind.append(np.stack(pair))
                one.update(forest)
        seen += sum(len(tree.leaves) for tree in forest)
    return {
        name: {
            "steps": (steps := min(rivals[name].offline, config.steps)),
            "cpu_ms_a_step": 1000 * one.cpu / steps,
            "buckets": [scores(*kinds) if kinds[0] else None for kinds in pairs[name]],
        }
        for name, one in timed.items()
    }


def bucket(seen: int) -> int:
    """Returns which of the buckets a number of rollouts falls into."""
    return int(np.searchsorted(BUCKETS, seen, side="right")) - 1


def scores(*kinds: list[NDArray[np.float64]]) -> dict[str, float]:
    """Returns the scores of a bucket's pairs: of success at roots and prefixes, then of costs at roots and prefixes."""
    found: dict[str, float] = {}
    joined = [np.concatenate(kind, axis=1) for kind in kinds]
    for place, success, cost in zip(("root", "prefix"), joined[:2], joined[2:], strict=True):
        for score in (scoring.auc, scoring.skill, scoring.ece):
            found[f"{place}_{score.__name__}"] = score(*success)
        found[f"{place}_bias"] = float(np.mean(success[0] - success[1]))
        found[f"{place}_cost_error"] = scoring.relative_error(*cost)
    return found


# Online ---------------------------------------------------------------------------------------------------------


def online(rival: Rival, seed: int, where: str, steps: int) -> dict[str, Any]:
    """Returns what came of the flips that a predictor expected in its own run, by bucket, and its share of CPU."""
    config = Config.resolve([*rival.options, where, f"seed={seed}", f"steps={steps}"])
    parts, left, seen = build(config), 0.0, 0
    timed = Timed(parts.predictor)
    parts.predictor = parts.rounds.predictor = timed
    expected: list[list[tuple[float, bool]]] = [[] for _ in BUCKETS]
    start = time.process_time()
    for step in range(1, min(rival.online, steps) + 1):
        record, forest, left = train_step(parts, step, left)
        expected[bucket(seen)] += [pair for tree in forest for pair in flips(tree)]
        seen = record["spent"]["rollouts"]
    total = time.process_time() - start
    return {
        "seed": seed,
        "steps": step,
        "share_of_cpu": timed.cpu / total,
        "cpu_ms_a_step": 1000 * timed.cpu / step,
        "buckets": [np.array(found, dtype=np.float64).reshape(-1, 2) for found in expected],
    }


def flips(tree: RolloutTree) -> Iterator[tuple[float, bool]]:
    """Yields the expected chance of a flip, and whether there was one, for each prefix that was chosen by its score."""
    anchors: dict[tuple[int, int], list[int]] = {}
    for leaf in tree.leaves:
        origin = tree.nodes[leaf].origin
        if origin.kind == "continuation" and origin.gain is not None:
            anchors.setdefault((origin.round, origin.anchor), []).append(leaf)
    for leaves in anchors.values():
        origin = tree.nodes[leaves[0]].origin
        assert origin.gain is not None
        assert origin.outcome is not None
        success = origin.outcome >= tree.success_at
        yield origin.gain, any(tree.succeeded(leaf) != success for leaf in leaves)


def pooled(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the flips of some runs together, with Wilson intervals, and their mean share of CPU."""
    buckets = []
    for part in zip(*(run["buckets"] for run in runs), strict=True):
        both = np.concatenate(part)
        low, high = wilson_interval(float(both[:, 1].sum()), len(both))
        predicted, realised = both.mean(axis=0).tolist() if len(both) else (float("nan"), float("nan"))
        buckets.append({"chosen": len(both), "predicted": predicted, "realised": realised, "low": low, "high": high})
    shares, cpu = ([run[key] for run in runs] for key in ("share_of_cpu", "cpu_ms_a_step"))
    return {
        "seeds": [run["seed"] for run in runs],
        "steps": runs[0]["steps"],
        "share_of_cpu": float(np.mean(shares)),
        "cpu_ms_a_step": float(np.mean(cpu)),
        "buckets": buckets,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--predictors", default=";".join(RIVALS), help=f"[{'; '.join(RIVALS)}]")
    parser.add_argument("--parts", default="offline,online", help="[offline,online]")
    parser.add_argument("--seeds", default="3,4,5", help="of the online runs; the first is also recorded [3,4,5]")
    parser.add_argument("--steps", type=int, default=80, help="of a run [80]")
    parser.add_argument("--runs", type=Path, default=Path("runs/bench-predictor"), help="[runs/bench-predictor]")
    parser.add_argument("--out", type=Path, default=RESULTS / "predictor.json", help="where the results go")
    parser.add_argument("--table", type=Path, default=TABLE, help="where the tables go")
    known = parser.parse_args()
    rivals = {name.strip(): RIVALS[name.strip()] for name in known.predictors.split(";")}
    seeds, started = [int(seed) for seed in known.seeds.split(",")], time.process_time()
    result: dict[str, Any] = {"about": about(), "steps": known.steps, "buckets": BUCKETS, "unit": UNIT}
    if "offline" in known.parts:
        config = Config.resolve([f"seed={seeds[0]}", f"steps={known.steps}"])
        result["offline"] = offline(rivals, known.runs / f"forests-s{seeds[0]}", config)
    if "online" in known.parts:
        result["online"] = {}
        for name, rival in rivals.items():
            for where in rival.where:
                runs = [online(rival, seed, WHERE[where], known.steps) for seed in seeds[: rival.seeds]]
                found = result["online"].setdefault(name, {})[where] = pooled(runs)
                said = "  ".join(f"{one['predicted']:.3f} -> {one['realised']:.3f}" for one in found["buckets"])
                print(f"{name}, {where}: flips {said}, {found['share_of_cpu']:.1%} of CPU", flush=True)
    result["cpu_minutes"] = (time.process_time() - started) / 60
    save(known.out, result)
    known.table.parent.mkdir(parents=True, exist_ok=True)
    known.table.write_text(write(result), encoding="utf-8")
    print(f"written: {known.table}")


if __name__ == "__main__":
    main()
