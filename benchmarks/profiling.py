"""Splits the CPU time of a default `treeroll train` among its parts: what the model takes, and what all else takes.

A run of the real loop (`treeroll.run.train`, evaluations, checkpoint and report included) in one process and one
thread, with a stop-watch around the calls that matter: each second of CPU time is counted once, for the innermost of
them. Every run has a process of its own. With `--against`, runs of another version of the package (a folder that holds
`treeroll`) take turns with runs of this one, and both must leave the same metrics and trees, bit for bit.

The named `treeroll.clock.Clock` splits a step by phase; this goes by what the time is spent on. (Not named after what
it makes: Python's own `profile` would be hidden from whoever imports it.)
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import RESULTS, about, save
from profile_page import page, share

HERE = Path(__file__).parent
TABLE = HERE.parent / "docs" / "tables" / "profile.md"
SHAPE = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
"""SmolLM2-135M's."""
LARGE = "135 M parameters, random weights"
"""The load with a model of that shape and random weights, in a world of coins."""
TIMES = ("seconds", "flight")
"""Groups of metrics that tell of time; as `metrics.TIMES`, which older versions of the package lack."""


def loads(steps: int) -> dict[str, list[str]]:
    """Returns the options of each load: evaluated for each step is what a default run does, 5 x 1,000 tasks in 80."""
    small = [f"steps={steps}", f"evaluation.tasks={steps * 1000 * 5 // 80 // 2}"]
    large = ["env=coins:world", "steps=2", "budget.rollouts=16", "budget.continuations=1", "evaluation.tasks=4"]
    return {"atlas": small, "atlas-long": ["env=atlas-long", *small], LARGE: large}


class Watch:
    """CPU seconds by part, in training, in evaluation and at start-up; an inner part stops the outer one's clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.calls: dict[str, int] = defaultdict(int)
        self.chapter = "start-up"
        self._stack = ["imports"]
        self._mark = 0.0  # of process_time: the process's start, so that imports are counted

    def switch(self) -> None:
        """Settles what has passed since the last switch."""
        now = time.process_time()
        self.seconds[self.chapter][self._stack[-1]] += now - self._mark
        self._mark = now

    def go_on(self, chapter: str, part: str) -> None:
        """Counts what comes outside all calls as another part."""
        self.switch()
        self.chapter, self._stack[0] = chapter, part

    def around(self, owner: Any, name: str, part: str | Callable[..., str], *, chapter: str | None = None) -> None:
        """Counts the calls of `owner.name` as a part, or as the one that a function of their arguments names."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def outer(*args: Any, **kwargs: Any) -> Any:
            self.switch()
            before, named = self.chapter, part if isinstance(part, str) else part(*args, **kwargs)
            self.chapter = chapter or before
            self._stack.append(named)
            self.calls[named] += 1
            try:
                return inner(*args, **kwargs)
            finally:
                self.switch()
                self._stack.pop()
                self.chapter = before

        setattr(owner, name, outer)


def watch_modules(watch: Watch) -> None:
    """Puts the stop-watch around what modules and classes do."""
    import torch

    from treeroll import build, engine, packing, report, rounds, run, sinks, step
    from treeroll.envs.stage import Stage
    from treeroll.learner import update
    from treeroll.learner.policy import Policy
    from treeroll.samplers import local

    watch.around(run, "build", "rest", chapter="start-up")
    watch.around(build, "load_world", "making the world")
    watch.around(build, "load_policy", "loading the model")
    watch.around(build, "_check_prompts", "tokenising")
    watch.around(run, "train_step", "metrics", chapter="training")
    watch.around(run, "evaluate", "metrics", chapter="evaluation")
    for name in ("sample", "plant"):
        watch.around(local.LocalSampler, name, "sampling")
    watch.around(local, "_draw", "drawing")
    for name in ("plant", "extend", "release"):
        watch.around(engine.Engine, name, "growing trees")
    for name in ("open", "go_on", "step", "keep"):
        watch.around(Stage, name, "environments")
    watch.around(rounds.Rounds, "decide", "allocation")
    for name in ("rows", "kept", "denominator"):
        watch.around(packing, name, "credit, rows, packs")
    watch.around(update.Learner, "_batches", "credit, rows, packs")
    watch.around(update.Learner, "update", "loss")
    watch.around(Policy, "predicted", "update forward")
    watch.around(torch.Tensor, "backward", "update backward")
    watch.around(torch.nn.utils, "clip_grad_norm_", "optimizer")
    watch.around(step, "is_finite", "optimizer")
    for name in ("write_trees", "append_metrics"):
        watch.around(sinks.RunFolder, name, "writing")
    watch.around(run, "save_checkpoint", "writing")
    watch.around(report, "write_report", "report")


def watch_parts(watch: Watch, parts: Any) -> None:
    """Puts the stop-watch around what a run's own parts do."""
    import torch

    def forward(*args: Any, **kwargs: Any) -> str:
        if torch.is_grad_enabled():
            return "update forward"
        ids = kwargs.get("input_ids")
        return "prefill" if ids is not None and ids.shape[1] > 1 else "decode"

    watch.around(parts.policy.model.get_decoder(), "forward", forward)
    watch.around(parts.policy.model.get_output_embeddings(), "forward", forward)
    watch.around(parts.learner.optimizer, "step", "optimizer")
    watch.around(parts, "credit", "credit, rows, packs")
    for name in ("predict", "update"):
        watch.around(parts.predictor, name, "predictor")
    for name in ("prompt", "action", "observation"):
        watch.around(parts.engine.dialogue, name, "tokenising")


def digests(folder: Path) -> dict[str, str]:
    """Returns hashes of what a run has found: each group of its metrics, and the turns of its trees.

    Another version may tell more in its metrics, or more of a tree; what both tell must not differ.
    """
    try:
        from treeroll.treefile import load_trees
    except ModuleNotFoundError:  # an older version
        from treeroll.tree import load_trees  # type: ignore[attr-defined, no-redef]

    found: dict[str, Any] = defaultdict(hashlib.sha256)
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        for group, told in json.loads(line).items():
            if group not in TIMES:
                found[group].update(json.dumps(told, sort_keys=True).encode())
    for path in sorted((folder / "trees").iterdir()):
        for node in (node for tree in load_trees(path) for node in tree.nodes):
            told = (node.parent, node.text, node.observation, node.reward, node.stop_reason)
            found["trees"].update(repr(told).encode() + node.token_ids.tobytes() + node.logprobs.tobytes())
    return {group: one.hexdigest() for group, one in found.items()}


def random_policy() -> Any:
    """Returns a policy of `SHAPE` with random weights and the packaged model's words."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from treeroll.learner.policy import Policy
    from treeroll.models import check_model

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, attn_implementation="sdpa"))
    return Policy(model.eval(), AutoTokenizer.from_pretrained(check_model("tiny")), "135M")


def watched(options: list[str], *, large: bool) -> dict[str, Any]:
    """Runs one training in this process and returns where its time went.

    Args:
      options: of the run.
      large: take `random_policy` in place of the packaged model.
    """
    watch = Watch()
    import torch

    from treeroll import build as building
    from treeroll import run
    from treeroll.config import Config

    if large:
        building.load_policy = lambda *args, **kwargs: random_policy()  # type: ignore[attr-defined]
    build = building.build

    def built(*args: Any, **kwargs: Any) -> Any:
        parts = build(*args, **kwargs)
        watch_parts(watch, parts)
        return parts

    run.build = built  # type: ignore[attr-defined]
    watch_modules(watch)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        watch.go_on("between steps", "other")
        run.train(Config.resolve([*options, "threads=1", f"out={out}"]))
        watch.switch()
        found = digests(out)
    return {
        "threads": torch.get_num_threads(),
        "digests": found,
        "seconds": {
            chapter: {part: round(value, 4) for part, value in parts.items()}
            for chapter, parts in watch.seconds.items()
        },
        "calls": dict(watch.calls),
    }


def child(source: Path | None, options: list[str], *, large: bool) -> dict[str, Any]:
    """Returns what `watched` finds in a process of its own, which takes the package from `source`."""
    env = dict(os.environ, OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    if source is not None:
        env["PYTHONPATH"] = str(source)
    command = [sys.executable, str(HERE / "profiling.py"), "--child", *["--large"] * large, *options]
    with tempfile.TemporaryFile() as said:
        subprocess.run(command, env=env, check=True, stdout=said)
        said.seek(0)
        return json.loads(said.read().splitlines()[-1])  # type: ignore[no-any-return]


def measure(name: str, options: list[str], sources: dict[str, Path | None], repeats: int) -> dict[str, Any]:
    """Returns the runs of a load, by version, the versions in turn.

    Raises:
      SystemExit: two of them found something else.
    """
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sources}
    for _ in range(repeats):
        for side, source in sources.items():
            runs[side].append(child(source, options, large=name == LARGE))
            print(f"{name}, {side}: {share(runs[side][-1]):.1%} in the model", flush=True)
    first, *others = [one["digests"] for told in runs.values() for one in told]
    for other in others:
        if differ := [group for group in first.keys() & other.keys() if first[group] != other[group]]:
            raise SystemExit(f"{name}: two runs differ in {', '.join(sorted(differ))}; their times compare nothing")
    return {"name": name, "options": options, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=16, help="of a run [16]")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each load [3]")
    parser.add_argument("--loads", nargs="+", choices=list(loads(4)), default=list(loads(4)), help="[all]")
    parser.add_argument("--against", type=Path, help="folder of another version of the package, timed beside this one")
    parser.add_argument("--against-name", default="before", help="what to call it [before]")
    parser.add_argument("--out", type=Path, default=RESULTS / "profile.json", help="[benchmarks/results/...]")
    parser.add_argument("--again", action="store_true", help="write the table again from the results; measure nothing")
    parser.add_argument("--table", type=Path, default=TABLE, help="[docs/tables/profile.md]")
    known = parser.parse_args()
    if not known.again:
        told = about()
        sources: dict[str, Path | None] = {} if known.against is None else {known.against_name: known.against}
        sources["now"] = None
        found = [measure(name, loads(known.steps)[name], sources, known.repeats) for name in known.loads]
        save(known.out, {"about": told, "seed": 0, "repeats": known.repeats, "loads": found})
    known.table.parent.mkdir(parents=True, exist_ok=True)
    known.table.write_text(page(json.loads(known.out.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        own = sys.argv[2:]
        print(json.dumps(watched([one for one in own if one != "--large"], large="--large" in own)))
    else:
        main()
