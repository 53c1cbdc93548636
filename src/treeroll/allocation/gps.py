"""GPS: tasks of intermediate predicted difficulty that differ from each other and from the last batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treeroll.allocation._build import POOL, check_budget, check_option, choose, nothing, too_small
from treeroll.allocation.base import ROUNDING, Allocation
from treeroll.allocation.uniform import UniformRoots
from treeroll.errors import ConfigError
from treeroll.predictor.base import Prediction, Predictor
from treeroll.predictor.latent import Remembers
from treeroll.tree import Anchor, RolloutTree


@dataclass(frozen=True)
class GpsRoots:
    """`group` bare rollouts for a batch of tasks, chosen one after another for difficulty and diversity.

    Generalizable Predictive Prompt Selection (GPS, https://arxiv.org/abs/2602.01970) maximises over batches S

        U(S) = sum over i in S of -(v_i - 1/2)^2 + lambda D(S),

    v the success probability that its latent-variable predictor expects; D rewards distance between the prompts of the
    batch (intra-batch dispersion) and to those of the batch before (inter-step exploration), by their embeddings. It
    takes the prompt of largest marginal gain until the batch is full, which comes within a factor of the best for such
    max-sum diversification (Borodin et al., arXiv 1203.6397). 8 rollouts a prompt; the candidates are the whole data.

    Here the candidates are the pool, the batch is as large as the budget pays for, and the task taken next maximises

        -(v_i - target)^2 + diversity (mean distance to the tasks taken so far + mean distance to the last batch),

    a mean being 0 where there is nothing to be distant from. The distance of two embeddings is half that between them
    once both are scaled to length 1: 0 for the same direction, 1 for opposite ones.

    Departures, all because the paper's text was not to be had, only its abstract and accounts of it by others: (1) its
    distance and its lambda are not known to us; means instead of sums let `diversity` mean the same for batches of all
    sizes. (2) The predictor is a simpler one (see `LatentPredictor`), and the embedding is its own. (3) Uniform while
    the predictor is not informed. (4) In turns or tokens a group costs what the predictor expects; tasks that no longer
    fit are passed over. With diversity = 0 this is `PclRoots`, whatever the predictor.
    """

    group: int = 8
    """Rollouts a task, >= 1."""
    diversity: float = 0.1
    """lambda, what a distance is worth against squared differences of success probabilities, >= 0."""
    target: float = 0.5
    """Success probability to be near to, in [0, 1]."""

    scope = POOL
    repeats = False

    def __post_init__(self) -> None:
        check_option("group", self.group, 1)
        check_option("diversity", self.diversity, 0.0)
        check_option("target", self.target, 0.0, 1.0)

    def allocate(
        self, forest: Sequence[RolloutTree], budget: float, predictor: Predictor, rng: np.random.Generator
    ) -> Allocation:
        """Spends at most `budget` on roots of `forest`; the rng is not used.

        Raises:
          AllocationError: the budget is below one group.
          ConfigError: diversity is asked for, and the predictor has no embedding.
        """
        check_budget(budget)
        if not forest:
            return nothing(budget)
        if not predictor.informed:
            return UniformRoots(self.group).allocate(forest, budget, predictor, rng)
        anchors = [Anchor(tree) for tree in forest]
        prediction = predictor.predict(anchors)
        taken = self._take(prediction, budget, *self._vectors(anchors, predictor))
        if not taken:
            raise too_small(budget, self.group, float(prediction.cost.min()))
        chosen = [anchors[task] for task in taken]
        return choose(chosen, [self.group] * len(taken), budget, prediction=prediction[taken])

    def _vectors(
        self, anchors: Sequence[Anchor], predictor: Predictor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [P, D] the embeddings of the roots and [B, D] those of the last batch, at length 1."""
        if self.diversity == 0:
            return np.zeros((len(anchors), 1)), np.zeros((0, 1))
        if not isinstance(predictor, Remembers):
            raise ConfigError(
                f"the rule of GPS measures diversity in its predictor's embedding, and {type(predictor).__name__} has "
                "none; use the predictor 'latent', or diversity = 0"
            )
        return _unit(predictor.embed(anchors)), _unit(predictor.recent)

    def _take(
        self, prediction: Prediction, budget: float, vectors: NDArray[np.float64], recent: NDArray[np.float64]
    ) -> list[int]:
        """Returns the tasks of the batch, in the order in which they were taken."""
        score = -((prediction.mean - self.target) ** 2)
        if len(recent):
            score += self.diversity * np.mean([_distance(vectors, vector) for vector in recent], axis=0)
        price, left = self.group * prediction.cost, budget * (1 + ROUNDING)
        apart, free, taken = np.zeros(len(score)), np.ones(len(score), dtype=np.bool_), list[int]()
        while True:
            free &= price <= left
            if not free.any():
                return taken
            worth = np.round(score + self.diversity * apart / max(len(taken), 1), 12)
            task = int(np.argmax(np.where(free, worth, -np.inf)))
            taken.append(task)
            free[task] = False
            left -= float(price[task])
            apart += _distance(vectors, vectors[task])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [n, D] the vectors at length 1; 0 stays 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))


def _distance(vectors: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [n] half the distance from each vector to one, in [0, 1] at length 1."""
    return np.asarray(np.linalg.norm(vectors - vector, axis=1) / 2)
