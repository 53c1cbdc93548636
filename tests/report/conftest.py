"""A synthetic run folder: realistic metrics and trees, made in milliseconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from treeroll.sinks import RunFolder
from treeroll.tree import Node, Origin, RolloutTree, Task

QUESTIONS = (
    ("Which currency is used where Lyon lies?", "Lyon", "France", "euro"),
    ("What is the capital of the largest trade partner of Chile?", "Chile", "China", "Beijing"),
    ("Which language do most people speak in the country north of Peru?", "Peru", "Ecuador", "Spanish"),
    ("Which sea borders the country whose capital is Tallinn?", "Tallinn", "Estonia", "Baltic Sea"),
)


def make_node(parent: int, text: str, observation: str, origin: Origin, reward: float | None = None) -> Node:
    """A turn with one made-up token a word; a leaf where a reward is given."""
    sampled, written = len(text.split()), len(observation.split())
    mask = np.arange(sampled + written) < sampled if parent >= 0 else np.zeros(sampled + written, dtype=np.bool_)
    return Node(
        parent=parent,
        token_ids=np.arange(sampled + written, dtype=np.int32),
        sampled_mask=mask,
        logprobs=np.where(mask, -0.5, 0.0).astype(np.float32),
        text=text,
        observation=observation,
        reward=reward,
        stop_reason=None if reward is None else "answer",
        origin=origin,
    )


def grow(nodes: list[Node], parent: int, origin: Origin, *, turns: int, success: bool, question: int) -> None:
    """Appends one rollout of `turns` turns below `parent`."""
    _, start, middle, answer = QUESTIONS[question]
    for turn in range(turns):
        if turn == turns - 1:
            given = answer if success else "I cannot tell, perhaps the dollar"
            text, seen = f"Thought: that settles it.\nAction: answer[{given}]", ""
        elif turn == 0:
            text = f"Thought: first I need to know where {start} belongs.\nAction: search[{start} country]"
            seen = f"{start}: located in {middle}. Area 47.9 sq km. Time zone UTC+1. Elevation 173 m."
        else:
            about = middle if success else start
            topic = ("economy", "people")[turn % 2]
            text = f"Thought: now the fact about {about} itself.\nAction: search[{about} {topic}]"
            seen = (
                f"{about}: a diversified economy with services as its main sector; exports machinery, aircraft, "
                f"pharmaceuticals and wine. The unit of account is listed under 'exchange rates'. Population growth "
                f"0.3 %. Neighbours, treaties and climate are described in separate entries; see also {middle}."
            )
        nodes.append(make_node(parent, text, seen, origin, float(success) if turn == turns - 1 else None))
        parent = len(nodes) - 1


def make_tree(rng: np.random.Generator, step: int, number: int, chance: float) -> RolloutTree:
    """A tree of 2 to 4 bare rollouts and, half of the time, continuations from two of its prefixes."""
    question = number % len(QUESTIONS)
    nodes = [make_node(-1, QUESTIONS[question][0], "", Origin(kind="root"))]
    bare = int(rng.integers(2, 5))
    origin = Origin(
        kind="bare", anchor=0, count=bare, gain=float(1 - chance**bare - (1 - chance) ** bare), rank=number,
        prediction=chance,
    )  # fmt: skip
    for _ in range(bare):
        turns, success = int(rng.integers(2, 6)), bool(rng.random() < chance)
        grow(nodes, 0, origin, turns=turns, success=success, question=question)
    task = Task(id=f"atlas-{step}-{number}", prompt=QUESTIONS[question][0])
    tree = RolloutTree(task=task, nodes=tuple(nodes), policy_version=step - 1, step=step)
    if number % 2 == 0:
        for rank, prefix in enumerate(rng.permutation(np.array(tree.prefixes))[:2]):
            outcome, value = float(tree.nodes[tree.incumbent(int(prefix))].reward or 0), float(rng.uniform(0.2, 0.9))
            repeat = value if outcome else 1 - value
            why = Origin(
                kind="continuation", round=1, anchor=int(prefix), count=2, gain=1 - repeat**2, rank=rank,
                prediction=value, outcome=outcome,
            )  # fmt: skip
            for _ in range(2):
                turns, success = int(rng.integers(1, 4)), bool(rng.random() < value)
                grow(nodes, int(prefix), why, turns=turns, success=success, question=question)
        tree = RolloutTree(task=task, nodes=tuple(nodes), policy_version=step - 1, step=step)
    return tree


def make_record(rng: np.random.Generator, step: int, steps: int) -> dict[str, Any]:
    """The metrics of one step of a run that goes well."""
    progress = step / steps
    record: dict[str, Any] = {"step": step, "method": "trace", "seed": 0, "policy_version": step}
    spent = {"rollouts": 128, "turns": 410, "sampled_tokens": 2050, "computed_tokens": 3000, "tool_calls": 300}
    record["spent"] = {name: amount * step for name, amount in spent.items()}
    if step % 10 == 0:
        success = 0.41 + 0.25 * progress + 0.01 * rng.standard_normal()
        record["heldout"] = {"success": success, "low": success - 0.03, "high": success + 0.03, "tasks": 1000}
    record["seconds"] = {"evaluate": {"cpu": 1.2, "wall": 1.1}} if step % 10 == 0 else {}
    if step == 0:
        return record
    noise = rng.standard_normal(8) * 0.05
    record["contrast"] = {
        "success": 0.4 + 0.25 * progress + noise[0],
        "effective_ratio": 0.35 + 0.2 * progress + noise[1],
        "mixed_groups_per_1000": 60 + 20 * progress + 100 * noise[2],
        "mixed_bare_groups_per_1000": 50 + 12 * progress + 100 * noise[3],
        "credited_token_share": 0.5,
        "mean_group": 3.2,
    }
    groups = {"2": int(12 * progress) + 3, "3": 8, "4": 5, "8": int(6 * (1 - progress))}
    branches = {"1": 9, "2": 12, "3": 6, "10": 1}
    record["allocation"] = {"groups": groups, "branch_turns": branches, "budget": 128, "left": 2}
    record["predictor"] = {
        "informed": step > 3,
        "root_skill": 0.3 * progress + noise[4] if step > 1 else None,
        "prefix_skill": 0.4 * progress + noise[5] if step > 1 else None,
        "root_auc": 0.6 + 0.15 * progress + noise[6] / 2,
        "prefix_auc": 0.65 + 0.2 * progress + noise[7] / 2,
        "flips_predicted": 0.4 - 0.05 * progress + noise[4],
        "flips_realised": 0.25 + 0.08 * progress + noise[5],
    }
    record["update"] = {"loss": 0.01, "grad_norm": 0.6, "tokens": 2000}
    record["seconds"] |= {
        "sample": {"cpu": 0.21, "wall": 0.2},
        "predict": {"cpu": 0.03, "wall": 0.03},
        "update": {"cpu": 0.15, "wall": 0.14},
        "other": {"cpu": 0.01, "wall": 0.01},
    }
    return record


def write_run(path: Path, steps: int = 40, trees_a_step: int = 6) -> Path:
    """Writes a whole run folder and returns it."""
    rng = np.random.default_rng(7)
    config = {"method": "trace", "seed": 0, "env": {"name": "atlas", "rendering": "compact"}, "steps": steps}
    about = {
        "treeroll": "0.1.0", "commit": "0123456789abcdef", "python": "3.12.1", "torch": "2.9.0",
        "machine": {"system": "Linux", "cores": 2}, "command": ["treeroll", "train", "--out", "runs/demo"],
    }  # fmt: skip
    folder = RunFolder.create(path, config, about)
    for step in range(steps + 1):
        folder.append_metrics(make_record(rng, step, steps))
        if step > 0 and trees_a_step:
            chances = rng.uniform(0.1, 0.9, trees_a_step)
            folder.write_trees(step, [make_tree(rng, step, number, chance) for number, chance in enumerate(chances)])
    return folder.path


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", steps=12)


@pytest.fixture(scope="session")
def write_synthetic_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture
def mixed_tree() -> RolloutTree:
    """Two bare rollouts, one right and one wrong, and two continuations of the wrong one's first turn, one right."""
    nodes = [make_node(-1, QUESTIONS[0][0], "", Origin(kind="root"))]
    bare = Origin(kind="bare", count=2, gain=0.5, rank=0, prediction=0.5)
    grow(nodes, 0, bare, turns=2, success=True, question=0)
    grow(nodes, 0, bare, turns=2, success=False, question=0)
    why = Origin(
        kind="continuation", round=1, anchor=3, count=2, gain=0.91, rank=0, prediction=0.7, outcome=0.0
    )  # fmt: skip
    grow(nodes, 3, why, turns=1, success=True, question=0)
    grow(nodes, 3, why, turns=1, success=False, question=0)
    return RolloutTree(task=Task(id="lyon", prompt=QUESTIONS[0][0]), nodes=tuple(nodes), step=1)
