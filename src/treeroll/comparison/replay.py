"""Allocation rules judged on recorded forests: what a rule would have got, from outcomes that are there already.

A rule decides for a share of what was recorded, and is judged by the mean over all ways to draw as many rollouts from
the record without replacement. That mean is unbiased for what fresh rollouts of the recording policy would give, a
U-statistic (Hoeffding 1948), where the number of recorded rollouts does not depend on how they ended. Nothing is
sampled.

Where a recording rule was asked again after it had seen outcomes, the number does depend on them: a task of success
probability 1/2 that is drawn until it is mixed, at most three times, has pairs that are mixed with 2/3 on average, and
fresh ones are with 1/2. A stage that such a rule recorded must not be judged on its records: `treeroll.compare` leaves
it out by name.

Stage 1, a task with s successes and f failures among n bare rollouts, m <= n planned:

    P(mixed) = 1 - C(s, m)/C(n, m) - C(f, m)/C(n, m)

Stage 2, a prefix with x flips among k fresh continuations, c <= k planned:

    P(flip) = 1 - C(k - x, c)/C(k, c)

The bound (`oracle-on-record`) is what no rule can exceed on this record: it spends as many rollouts one by one where
these very formulas rise most, knowing every outcome. It counts luck as knowledge, the more so the smaller n and k are.
It is above what any predictor can reach, so shares of it are for ranking rules. Rates per 1,000 rollouts are not: the
first rollouts gain most, so a rule that spends less has a higher one.

What this can say: which rule chooses better among the tasks and prefixes that were recorded, at the policy that
recorded them. What it cannot: what a rule would do with tasks that the recording rule dropped, or prefixes that it
never continued (they were chosen, mostly without a propensity that could weigh them up again); nor whether more
contrast means more learning, since the policy does not change here. Plans beyond the record are cut to it, and the
share that was cut is shown. Where that is above `MOST_CUT` what was judged is no longer the rule's own plan, and it is
not comparable: record larger groups (treeroll train --method grpo budget.group=16).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from treeroll.allocation.base import Allocation, Allocator
from treeroll.comparison.forests import Record, prefix_view, root_record, root_view, won
from treeroll.contrast import expected_flip_probability, repeat_posterior
from treeroll.predictor.base import Predictor
from treeroll.tree import RolloutTree

MOST_CUT = 0.1
"""Share of a rule's plan that may lie beyond the record."""


def mixed_share(record: Record, group: int) -> float:
    """Returns the chance that `group` of a root's recorded rollouts, drawn without replacement, are mixed.

    Args:
      record: n rollouts, s of them successes.
      group: m, 0 to n.
    """
    if group < 2:
        return 0.0
    alike = math.comb(record.hits, group) + math.comb(record.count - record.hits, group)
    return 1 - alike / math.comb(record.count, group)


def flip_share(record: Record, continuations: int) -> float:
    """Returns the chance that one of `continuations` of a prefix's recorded ones, so drawn, flips the outcome.

    Args:
      record: k continuations, x of them flips.
      continuations: c, 0 to k.
    """
    return 1 - math.comb(record.count - record.hits, continuations) / math.comb(record.count, continuations)


@dataclass(eq=False)
class Tally:
    """What one rule came to in one stage, over all recorded steps."""

    steps: int = 0
    informed: int = 0
    """Steps in which its predictor was relied on."""
    planned: int = 0
    """Rollouts that it planned."""
    judged: int = 0
    """Those that the record could answer for."""
    anchors: int = 0
    """Tasks or prefixes that got any of them."""
    found: float = 0.0
    """Expected mixed groups, or flips."""
    bound: float = 0.0
    """The same of the bound, with as many rollouts."""
    predicted: list[float] = field(default_factory=list)
    """Flips that the rule expected of each prefix it chose, in the steps in which it predicted any."""
    realised: list[float] = field(default_factory=list)
    """Expected flips of the same prefixes, by the record."""

    @property
    def per_1000(self) -> float:
        """Expected mixed groups or flips per 1,000 judged rollouts; NaN without any."""
        return 1000 * self.found / self.judged if self.judged else math.nan

    @property
    def share(self) -> float:
        """Share of the bound, in [0, 1]; NaN where that is 0."""
        return self.found / self.bound if self.bound else math.nan

    @property
    def cut(self) -> float:
        """Share of the planned rollouts that the record could not answer for; NaN where none was planned."""
        return 1 - self.judged / self.planned if self.planned else math.nan

    @property
    def comparable(self) -> bool:
        """Whether the record could answer for (nearly) all that was planned."""
        return self.judged >= (1 - MOST_CUT) * self.planned


def judge_roots(
    rule: Allocator, forest: Sequence[RolloutTree], predictor: Predictor, *, rng: np.random.Generator, share: float,
    tally: Tally,
) -> None:  # fmt: skip
    """Asks a rule for stage 1 how it would have spent a share of a step's bare rollouts, and counts what it gets.

    Args:
      rule: decides over the pool, once.
      forest: finished trees of one step.
      predictor: what it was taught by the steps before.
      rng: the rule's draws.
      share: of the recorded rollouts, in (0, 1].
      tally: counts on.

    Raises:
      AllocationError: that is too little for one group of the rule.
    """
    views = [root_view(tree) for tree in forest]
    records = [root_record(tree) for tree in forest]
    allocation = rule.allocate(views, _budget(records, share), predictor, rng)
    place = {id(view): index for index, view in enumerate(views)}
    chosen = [records[place[id(anchor.tree)]] for anchor in allocation.anchors]
    counts = _count(tally, allocation, chosen, predictor)
    tally.found += sum(mixed_share(record, count) for record, count in zip(chosen, counts, strict=True))
    tally.bound += best(
        ([mixed_share(record, size) for size in range(record.count + 1)] for record in records), sum(counts)
    )


def judge_prefixes(
    rule: Allocator, forest: Sequence[RolloutTree], predictor: Predictor, *, rng: np.random.Generator, share: float,
    tally: Tally,
) -> None:  # fmt: skip
    """Asks a rule for stage 2 how it would have spent a share of a step's continuations, over all tasks together.

    Args: as `judge_roots`; the rule is asked once, with all trees that have a record.
    """
    seen = [(view, records) for view, records in map(prefix_view, forest) if records]
    everywhere = [record for _, records in seen for record in records.values()]
    budget = _budget(everywhere, share)
    if not budget:
        return
    allocation = rule.allocate([view for view, _ in seen], budget, predictor, rng)
    own = {id(view): records for view, records in seen}
    chosen = [own[id(anchor.tree)][anchor.node] for anchor in allocation.anchors]
    counts = _count(tally, allocation, chosen, predictor)
    flips = [flip_share(record, count) for record, count in zip(chosen, counts, strict=True)]
    tally.found += sum(flips)
    tally.bound += best(
        ([flip_share(record, size) for size in range(record.count + 1)] for record in everywhere), sum(counts)
    )
    if predicted := _predicted(allocation, counts):
        tally.predicted += predicted
        tally.realised += flips


def best(gains: Iterable[Sequence[float]], budget: int) -> float:
    """Returns the most that `budget` rollouts can gain, a bound where the first of a group gains nothing alone.

    A root's first rollout is worth nothing without a second: both count as half of what two gain. After that gains
    never rise, so the sum of the largest ones is reached, or lies above what can be by less than one of these halves.

    Args:
      gains: for each anchor, what 0, 1, 2, ... rollouts gain.
      budget: rollouts, >= 0.
    """
    steps: list[float] = []
    for known in gains:
        rises = np.diff(known).tolist()
        if len(rises) > 1 and rises[0] < rises[1]:
            rises[:2] = [(rises[0] + rises[1]) / 2] * 2
        steps += rises
    return math.fsum(sorted(steps, reverse=True)[:budget])


def _budget(records: Sequence[Record], share: float) -> int:
    return math.floor(share * sum(record.count for record in records))


def _count(tally: Tally, allocation: Allocation, chosen: Sequence[Record], predictor: Predictor) -> list[int]:
    """Returns the rollouts of each chosen anchor, cut to the record; counts them."""
    counts = [min(count, record.count) for count, record in zip(allocation.counts.tolist(), chosen, strict=True)]
    tally.steps += 1
    tally.informed += predictor.informed
    tally.planned += allocation.rollouts
    tally.judged += sum(counts)
    tally.anchors += len(counts)
    return counts


def _predicted(allocation: Allocation, counts: Sequence[int]) -> list[float]:
    """Returns the chance of a flip that the rule expected of each chosen prefix; nothing where it predicts none."""
    prediction = allocation.prediction
    if not len(counts) or np.isnan(prediction.mean).any():
        return []
    outcomes = [won(anchor) for anchor in allocation.anchors]
    repeat, strength = repeat_posterior(prediction.mean, prediction.strength, outcomes)
    return [float(value) for value in expected_flip_probability(repeat, strength, counts)]
