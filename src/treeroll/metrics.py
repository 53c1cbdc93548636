"""What a step is measured by: pure functions on trees, credit and predictions. Each name is documented once, here.

Every function returns NaN where its denominator is empty; `jsonable` turns NaN into null. "Success" is a reward
of at least the tree's `success_at`. An active task is one with at least one finished rollout. None of these is
learning: the share of mixed groups also rises when groups shrink or tasks are dropped, so read them with the
group sizes, and against uniform allocation at the same group size and the same number of active tasks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from treeroll import backup
from treeroll.budget import Unit
from treeroll.contrast import expected_flip_probability, expected_mixed_probability, repeat_posterior
from treeroll.credit.base import Credit
from treeroll.predictor.base import Prediction
from treeroll.scoring import auc, brier, ece, relative_error, scored_costs, scored_outcomes, skill
from treeroll.tree import Anchor, Origin, RolloutTree

TIMES = ("seconds", "flight")
"""Groups that tell of time. All others are the same when a run is made again from its seed."""

# Contrast -------------------------------------------------------------------------------------------------------


def contrast_group(trees: Sequence[RolloutTree], credit: Sequence[Credit]) -> dict[str, float]:
    """Returns the group "contrast" of a step's metrics.

    success: mean graded reward of the bare rollouts. Not comparable between methods that choose tasks.
    effective_ratio: mixed_tasks / active_tasks (the paper's).
    active_tasks: tasks with a finished rollout.
    mixed_tasks: active tasks whose leaves, continuations included, hold both a success and a failure.
    mixed_groups_per_1000: mixed_tasks per 1,000 rollouts, bare and continuations.
    mixed_bare_groups_per_1000: tasks whose bare rollouts alone are mixed, per 1,000 bare rollouts.
    contrastive_anchors_per_1000: see `contrastive_anchors`; per 1,000 rollouts of any kind.
    credited_token_share: see `credited_token_share`.
    mean_group: bare rollouts per active task.
    """
    active = [tree for tree in trees if tree.leaves]
    rollouts = sum(len(tree.leaves) for tree in active)
    bare = sum(len(tree.bare_leaves) for tree in active)
    mixed = sum(is_mixed(tree, tree.leaves) for tree in active)
    mixed_bare = sum(is_mixed(tree, tree.bare_leaves) for tree in active)
    rewards = [backup.leaf_reward(tree, leaf) for tree in active for leaf in tree.bare_leaves]
    return {
        "success": _ratio(sum(rewards), len(rewards)),
        "effective_ratio": _ratio(mixed, len(active)),
        "active_tasks": len(active),
        "mixed_tasks": mixed,
        "mixed_groups_per_1000": 1000 * _ratio(mixed, rollouts),
        "mixed_bare_groups_per_1000": 1000 * _ratio(mixed_bare, bare),
        "contrastive_anchors_per_1000": 1000 * _ratio(contrastive_anchors(active), rollouts),
        "credited_token_share": credited_token_share(trees, credit),
        "mean_group": _ratio(bare, len(active)),
    }


def is_mixed(tree: RolloutTree, leaves: Iterable[int]) -> bool:
    """Returns whether some leaves hold both a success and a failure."""
    return len({tree.succeeded(leaf) for leaf in leaves}) == 2


def contrastive_anchors(trees: Iterable[RolloutTree]) -> int:
    """Returns how many roots and prefixes have samples of their own (`backup.samples`) that are mixed."""
    found = 0
    for tree in trees:
        for node in (0, *backup.expanded(tree)):
            success = backup.samples(tree, node) >= tree.success_at
            found += bool(success.any() and not success.all())
    return found


def credited_token_share(trees: Sequence[RolloutTree], credit: Sequence[Credit]) -> float:
    """Returns the share of all sampled tokens whose turn has an advantage other than 0 (and was scored)."""
    credited = total = 0
    for tree, scores in zip(trees, credit, strict=True):
        tokens = np.array([node.sampled_tokens for node in tree.nodes])
        total += int(tokens.sum())
        credited += int(tokens[scores.scored & (scores.advantages != 0)].sum())
    return _ratio(credited, total)


# Allocation -----------------------------------------------------------------------------------------------------


def allocation_group(trees: Sequence[RolloutTree], *, budget: float, left: float) -> dict[str, Any]:
    """Returns the group "allocation" of a step's metrics.

    groups: {bare rollouts of a task: number of such tasks}, tasks without any left out; keys are strings.
    branch_turns: {turn that continuations start after (0 = the root): number of continuations}.
    budget: what the step could spend, in its unit. left: what it did not; below 0 where turns or tokens overran it.
    """
    groups = Counter(len(tree.bare_leaves) for tree in trees if tree.bare_leaves)
    turns = Counter(
        tree.depth(tree.nodes[leaf].origin.anchor)
        for tree in trees
        for leaf in tree.leaves
        if tree.nodes[leaf].origin.kind == "continuation"
    )
    return {"groups": _histogram(groups), "branch_turns": _histogram(turns), "budget": budget, "left": left}


def environment_group(forking: str, counts: Mapping[str, int], notes: Sequence[str]) -> dict[str, Any]:
    """Returns the group "environment" of a step's metrics.

    forking: how episodes are continued (`envs.forking`): snapshot, copy, replay or roots; auto before the first fork.
    errors: steps and resets that raised or answered what is no answer; a failed rollout each, or an observation
      (sampling.tool_errors).
    timeouts: steps, resets and snapshots that took longer than the time limit; likewise.
    withdrawn: continuations that were allocated and could not start from their prefix; they cost no budget.
    replayed: actions that were taken again to continue from a prefix; part of spent.tool_calls.
    notes: sentences on what happened for the first time.
    """
    return {"forking": forking, **counts, "notes": list(notes)}


def flight_group(
    *, seconds: float, busy: Mapping[str, float], mean: Mapping[str, float], waits: Sequence[float],
    capacity: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Returns the group "flight" of a step's metrics: how busy sampler and tools were, by the clock on the wall.

    seconds: from planting the step's trees to the end of its last rollout, what was decided in between included.
    sampler_busy: share of them with at least one turn at the sampler. turns: how many there were, on average.
    sampler_load: turns / capacity, the most that the sampler decodes together; None where that is not known.
    tools_busy: share with at least one call into an environment under way. calls: how many there were, on average.
    waits: at each barrier, seconds from when half of the rollouts it waited for were done to when the last one was:
      first those of the rules over the pool, in order, last the end of the step.

    Args:
      seconds, busy, mean, waits: those of `engine.flight.Flight`.
      capacity: of the sampler's stream; None in waves.
    """
    return {
        "seconds": seconds,
        "sampler_busy": _ratio(busy["turns"], seconds),
        "turns": mean["turns"],
        "sampler_load": None if capacity is None else mean["turns"] / capacity,
        "tools_busy": _ratio(busy["calls"], seconds),
        "calls": mean["calls"],
        "waits": list(waits),
    }


def staleness_group(trees: Sequence[RolloutTree], version: int) -> dict[str, float]:
    """Returns the group "staleness" of a step's metrics, where sampling runs ahead: how old its sampled tokens are.

    mean: policy updates between the weights that sampled a token and the update that learns from it, over all tokens.
    max: the most, of any turn.
    weight, capped, divergence: those of `learner.importance.Importance`, where any token was older than the policy.

    Args:
      trees: of one step.
      version: policy updates before the one that learns from them.
    """
    turns = [
        (version - tree.version(i), tree.nodes[i].sampled_tokens) for tree in trees for i in range(1, len(tree.nodes))
    ]
    tokens = sum(count for _, count in turns)
    return {
        "mean": _ratio(sum(age * count for age, count in turns), tokens),
        "max": max((age for age, _ in turns), default=0),
    }


def flips(trees: Iterable[RolloutTree]) -> tuple[float, float]:
    """Returns the shares of expanded anchors (prediction, reality) where a continuation changed the outcome.

    An anchor that one round gave k continuations, and whose incumbent ended with r, has flipped where at least one of
    them ended otherwise than r. Predicted: the mean of E[1 - s^k] over the anchors whose `Origin` holds a prediction,
    with its strength, once it has seen r (`contrast.repeat_posterior`), whether or not the rule looked at r; without a
    strength the prediction counts as exact. Realised: over all anchors whose `Origin` holds an outcome. Realised far
    under predicted is the optimiser's curse (METHOD 3).
    """
    asked, realised = [], []
    for tree in trees:
        anchors: dict[tuple[int, int], list[int]] = {}
        for leaf in tree.leaves:
            origin = tree.nodes[leaf].origin
            if origin.kind == "continuation" and origin.outcome is not None:
                anchors.setdefault((origin.round, origin.anchor), []).append(leaf)
        for leaves in anchors.values():
            origin = tree.nodes[leaves[0]].origin
            assert origin.outcome is not None
            success = origin.outcome >= tree.success_at
            realised.append(any(tree.succeeded(leaf) != success for leaf in leaves))
            if origin.prediction is not None:
                asked.append((origin.prediction, origin.strength or math.inf, success, origin.count))
    if not asked:
        return math.nan, _ratio(sum(realised), len(realised))
    mean, strength, success, count = np.array(asked, dtype=np.float64).T
    predicted = expected_flip_probability(*repeat_posterior(mean, strength, success), count)
    return float(predicted.mean()), _ratio(sum(realised), len(realised))


def mixed_groups(trees: Iterable[RolloutTree]) -> tuple[float, float]:
    """Returns how many groups of bare rollouts are mixed: as many as were expected (prediction), and came (reality).

    A group is what one allocation gave a task, where its `Origin` holds the prediction that the rule relied on; NaN
    where none does. Expected: the sum of f(v, m), or of its mean over the posterior where there is a strength
    (`contrast.expected_mixed_probability`), with m as allocated: what stage 1 maximises, drawn tasks included.
    """
    asked, came = [], 0
    for tree in trees:
        groups: dict[Origin, list[int]] = {}
        for leaf in tree.bare_leaves:
            if tree.nodes[leaf].origin.prediction is not None:
                groups.setdefault(tree.nodes[leaf].origin, []).append(leaf)
        asked += [(origin.prediction, origin.strength or math.inf, origin.count) for origin in groups]
        came += sum(is_mixed(tree, leaves) for leaves in groups.values())
    if not asked:
        return math.nan, math.nan
    mean, strength, count = np.array(asked, dtype=np.float64).T
    return float(expected_mixed_probability(mean, strength, count).sum()), float(came)


# Predictor ------------------------------------------------------------------------------------------------------


def predictor_group(anchors: Sequence[Anchor], prediction: Prediction, *, unit: Unit, informed: bool) -> dict[str, Any]:
    """Returns the group "predictor" of a step's metrics.

    informed: whether the allocator relied on the predictor in this step.
    root_brier, root_skill, root_auc, ece: `brier`, `skill`, `auc` and `ece` at the roots.
    prefix_brier, prefix_skill, prefix_auc: the same at the prefixes.
    root_cost_error, prefix_cost_error: mean |predicted - actual| cost over the mean actual cost; null in rollouts.
    flips_predicted, flips_realised: see `flips`.
    mixed_predicted, mixed_realised: see `mixed_groups`.

    Args:
      anchors: K roots and prefixes of the step's finished trees.
      prediction: [K] what was predicted there BEFORE the predictor learned from these trees. See
        `scored_outcomes` for what it is held against.
      unit: what costs are counted in.
      informed: the predictor's flag when the step was allocated.
    """
    root, prefix = scored_outcomes(anchors, prediction.mean)
    root_cost, prefix_cost = scored_costs(anchors, prediction.cost, unit)
    trees = {id(anchor.tree): anchor.tree for anchor in anchors}.values()
    predicted, realised = flips(trees)
    expected, came = mixed_groups(trees)
    return {
        "informed": informed,
        "root_brier": brier(*root),
        "root_skill": skill(*root),
        "root_auc": auc(*root),
        "prefix_brier": brier(*prefix),
        "prefix_skill": skill(*prefix),
        "prefix_auc": auc(*prefix),
        "ece": ece(*root),
        "root_cost_error": relative_error(*root_cost),
        "prefix_cost_error": relative_error(*prefix_cost),
        "flips_predicted": predicted,
        "flips_realised": realised,
        "mixed_predicted": expected,
        "mixed_realised": came,
    }


# Shared ---------------------------------------------------------------------------------------------------------


def wilson_interval(successes: float, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Returns Wilson's interval for a share, 95 % by default; (NaN, NaN) without trials."""
    if trials <= 0:
        return math.nan, math.nan
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def pass_at(successes: Sequence[int], rollouts: int) -> dict[str, float]:
    """Returns {k: pass@k} for k = 1, 2, 4, ... up to `rollouts`; keys are strings.

    The mean over tasks of 1 - C(n - c, k) / C(n, k): the unbiased estimate of the chance that one of k rollouts
    succeeds, from c successes among n (Chen et al. 2021, arXiv 2107.03374).

    Args:
      successes: [P] c of each task.
      rollouts: n of each task.
    """
    found, k = {}, 1
    while k <= rollouts:
        missed = sum(math.comb(rollouts - won, k) for won in successes) / math.comb(rollouts, k)
        found[str(k)] = 1 - _ratio(missed, len(successes))
        k *= 2
    return found


def jsonable(value: Any) -> Any:
    """Returns a record with numpy's scalars and arrays as plain ones, and NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        return jsonable(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ratio(part: float, whole: float) -> float:
    return float(part) / whole if whole else math.nan


def _histogram(counts: Counter[int]) -> dict[str, int]:
    return {str(key): counts[key] for key in sorted(counts)}
