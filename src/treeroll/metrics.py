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
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll import backup
from treeroll.credit.base import Credit
from treeroll.tree import Anchor, RolloutTree

Pairs: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""[S] predictions and their [S] outcomes."""

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


def allocation_group(trees: Sequence[RolloutTree], *, budget: int, left: int) -> dict[str, Any]:
    """Returns the group "allocation" of a step's metrics.

    groups: {bare rollouts of a task: number of such tasks}, tasks without any left out; keys are strings.
    branch_turns: {turn that continuations start after (0 = the root): number of continuations}.
    budget: rollouts that the step could spend. left: rollouts that it did not spend.
    """
    groups = Counter(len(tree.bare_leaves) for tree in trees if tree.bare_leaves)
    turns = Counter(
        tree.depth(tree.nodes[leaf].origin.anchor)
        for tree in trees
        for leaf in tree.leaves
        if tree.nodes[leaf].origin.kind == "continuation"
    )
    return {"groups": _histogram(groups), "branch_turns": _histogram(turns), "budget": budget, "left": left}


def flips(trees: Iterable[RolloutTree]) -> tuple[float, float]:
    """Returns the shares of expanded anchors (prediction, reality) where a continuation changed the outcome.

    An anchor that one round gave k continuations, conditioned on an outcome r, has flipped where at least one of
    them ended otherwise than r. Predicted: the mean of 1 - s^k with s = rV + (1-r)(1-V), over the anchors whose
    `Origin` holds a prediction V. Realised: over all anchors whose `Origin` holds an outcome. Realised far under
    predicted is the optimiser's curse (METHOD 3).
    """
    predicted, realised = [], []
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
                repeat = origin.prediction if success else 1 - origin.prediction
                predicted.append(1 - repeat**origin.count)
    return _ratio(sum(predicted), len(predicted)), _ratio(sum(realised), len(realised))


# Predictor ------------------------------------------------------------------------------------------------------


def predictor_group(anchors: Sequence[Anchor], predictions: NDArray[np.float64], *, informed: bool) -> dict[str, Any]:
    """Returns the group "predictor" of a step's metrics.

    informed: whether the allocator relied on the predictor in this step.
    root_brier, root_skill, root_auc, ece: `brier`, `skill`, `auc` and `ece` at the roots.
    prefix_brier, prefix_skill, prefix_auc: the same at the prefixes.
    flips_predicted, flips_realised: see `flips`.

    Args:
      anchors: K roots and prefixes of the step's finished trees.
      predictions: [K] their success probabilities, made BEFORE the predictor learned from these trees. See
        `scored_outcomes` for what they are held against.
      informed: the predictor's flag when the step was allocated.
    """
    root, prefix = scored_outcomes(anchors, predictions)
    predicted, realised = flips({id(anchor.tree): anchor.tree for anchor in anchors}.values())
    return {
        "informed": informed,
        "root_brier": brier(*root),
        "root_skill": skill(*root),
        "root_auc": auc(*root),
        "prefix_brier": brier(*prefix),
        "prefix_skill": skill(*prefix),
        "prefix_auc": auc(*prefix),
        "ece": ece(*root),
        "flips_predicted": predicted,
        "flips_realised": realised,
    }


def scored_outcomes(anchors: Sequence[Anchor], predictions: NDArray[np.float64]) -> tuple[Pairs, Pairs]:
    """Returns (predictions [S], outcomes [S] in {0, 1}) for the roots among K anchors, and for the prefixes.

    At a root, one pair for each of its bare rollouts; at a prefix, one pair with its incumbent, which the prediction
    has not seen. Fresh continuations are not scored: which prefixes get any was decided by looking at prediction and
    incumbent together, so scoring those on the one and the rest on the other would flatter the predictor.
    """
    pairs: tuple[list[tuple[float, bool]], list[tuple[float, bool]]] = ([], [])
    for anchor, prediction in zip(anchors, predictions.tolist(), strict=True):
        tree, node = anchor.tree, anchor.node
        if node:
            pairs[1].append((prediction, tree.succeeded(tree.incumbent(node))))
        else:
            pairs[0].extend((prediction, reward >= tree.success_at) for reward in backup.samples(tree, 0).tolist())
    root, prefix = (np.array(found, dtype=np.float64).reshape(-1, 2).T for found in pairs)
    return (root[0], root[1]), (prefix[0], prefix[1])


def brier(prediction: NDArray[np.float64], outcome: NDArray[np.float64]) -> float:
    """Returns the mean of (prediction - outcome)^2 over [S] pairs, in [0, 1]; 0.25 is what 0.5 scores."""
    return float(np.mean((prediction - outcome) ** 2)) if len(outcome) else math.nan


def skill(prediction: NDArray[np.float64], outcome: NDArray[np.float64]) -> float:
    """Returns the Brier skill over the base rate, 1 - brier / (b (1-b)), b = mean of the same [S] outcomes.

    1 is perfect, 0 no better than knowing the batch's mean, below 0 worse. NaN where the outcomes all agree.
    """
    base = float(outcome.mean()) if len(outcome) else 0.0
    return 1 - brier(prediction, outcome) / (base * (1 - base)) if 0 < base < 1 else math.nan


def auc(prediction: NDArray[np.float64], outcome: NDArray[np.float64]) -> float:
    """Returns the probability that a success was predicted above a failure, ties counting half.

    NaN where the [S] outcomes all agree.
    """
    success = outcome > 0.5
    wins, losses = int(success.sum()), int((~success).sum())
    if not wins or not losses:
        return math.nan
    _, place, count = np.unique(prediction, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]  # ties share their mean rank, 1 = lowest
    return float((rank[success].sum() - wins * (wins + 1) / 2) / (wins * losses))


def ece(prediction: NDArray[np.float64], outcome: NDArray[np.float64], bins: int = 10) -> float:
    """Returns the expected calibration error: |mean prediction - mean outcome| over equal-width bins, by size."""
    if not len(outcome):
        return math.nan
    place = np.clip((prediction * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(place, weights=prediction - outcome, minlength=bins)
    return float(np.abs(gap).sum() / len(outcome))


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


def _ratio(part: float, whole: int) -> float:
    return float(part) / whole if whole else math.nan


def _histogram(counts: Counter[int]) -> dict[str, int]:
    return {str(key): counts[key] for key in sorted(counts)}
