"""What a predictor sees of an anchor: an encoding of its history, and numbers taken from the tree, alike everywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from treeroll.predictor.encoders import Encoder, HiddenEncoder
from treeroll.predictor.words import WordRecord
from treeroll.tree import Anchor, Node, RolloutTree

ERROR = re.compile(r"\b(none|error|exception|invalid|unknown|not found|no results?|no match(es)?)\b", re.IGNORECASE)
"""An observation that matches counts as a failed tool call."""

CHEAP = ("turn", "log_tokens", "errors", "last_error", "turn_logprob", "path_logprob", "words", "evidence")
"""Names of the last columns, see `Features.rows`."""


@dataclass(eq=False)
class _History:
    """What is known of the history up to a node; the same in every tree that it stands in."""

    above: _History | None
    turns: int
    tokens: int
    failures: int
    drawn: int
    """Sampled tokens so far."""
    logprob: float
    """Sum of their log-probabilities."""
    cheap: tuple[float, ...]
    """The columns of `CHEAP` but the last two."""
    row: NDArray[np.float64] | None = None
    """[size - 1] all columns, the last one (evidence) left open."""


NOWHERE = _History(None, -1, 0, 0, 0, 0.0, ())
"""Where a path stands before the prompt."""


class Features:
    """Turns anchors into vectors of a fixed size, standardised by what was seen so far.

    Columns, in blocks: the encoding of the history (H, of the encoder's size), a bag of the prompt's tokens (hashed
    to B buckets), `CHEAP`, and a constant 1.
    """

    def __init__(
        self,
        encoder: Encoder | None = None,
        *,
        hidden_size: int = 128,
        buckets: int = 64,
        words: WordRecord | None = None,
        decay: float = 0.97,
        seed: int = 0,
    ) -> None:
        """Args:
        encoder: of histories; the policy's own hidden state, `hidden_size` numbers of it, where None.
        hidden_size: numbers of a hidden state.
        buckets: columns for the prompt's tokens, >= 0.
        words: record that the column of that name comes from; without one it is NaN. Who updates it does so after the
          last use of a step's rows, which are worked out once.
        decay: share of the standardising moments that is kept from one `observe` to the next.
        seed: address of the random projection that long hidden states go through.
        """
        self.encoder = encoder or HiddenEncoder(size=hidden_size, seed=seed)
        self.buckets = buckets
        self.words = words
        self.size = self.encoder.size + buckets + len(CHEAP) + 1
        self._decay = decay
        # What does not depend on what was learned is worked out once for each node of a step, and each prompt.
        self._steps: set[int] = set()
        self._histories: dict[Node, _History] = {}
        self._bags: dict[Node, NDArray[np.float64]] = {}
        self._said: dict[Node, float] = {}
        self._places: dict[RolloutTree, dict[int, _History]] = {}
        self._evidence: dict[RolloutTree, list[float]] = {}
        self.sums = np.zeros((3, self.size - 1))

    @property
    def sums(self) -> NDArray[np.float64]:
        """[3, size - 1] decayed (weight, value, square) of each column but the constant: all that it has learned."""
        return self._sums

    @sums.setter
    def sums(self, sums: NDArray[np.float64]) -> None:
        self._sums = sums
        weight = np.maximum(sums[0], 1e-12)
        self._mean = sums[1] / weight
        variance = sums[2] / weight - self._mean**2
        varied = variance > 1e-6 * self._mean**2 + 1e-12
        # what never varied is scaled to the mean
        self._scale = np.where(varied, 1 / np.sqrt(np.where(varied, variance, 1.0)), 0.0)

    @property
    def blocks(self) -> tuple[slice, slice, slice, slice]:
        """The columns of the encoding, the bag, the cheap features and the constant."""
        bag, cheap, constant = self.encoder.size, self.encoder.size + self.buckets, self.size - 1
        return slice(0, bag), slice(bag, cheap), slice(cheap, constant), slice(constant, self.size)

    def rows(self, anchors: Sequence[Anchor]) -> NDArray[np.float64]:
        """Returns [K, size - 1] the columns before standardising, NaN where an anchor has no such thing.

        `CHEAP`: turns so far; log(1 + tokens so far); failed tool calls so far, and whether the last one failed;
        mean log-probability of the tokens sampled in the last turn, and on the whole path; evidence of the prompt's
        words (`WordRecord`), which holds outcomes of earlier steps only; evidence of the
        task's other bare rollouts, (successes - failures)/(n + 2) over those of the rounds up to that of the
        anchor's own rollout which do not pass through the anchor; 0 at the root. Later rounds are left out: whether
        a task gets another one may depend on the outcomes so far, and would give the anchor's own away. So no column
        holds the outcome of a rollout that passes through the anchor, or of one that was asked for by it, and those
        of the root hold none at all: a finished tree gives the same features as it gave when its rounds were over.
        """
        steps = {anchor.tree.step for anchor in anchors}
        if steps != self._steps:
            self._steps, self._histories, self._bags, self._said = steps, {}, {}, {}
            self._places, self._evidence = {}, {}
        histories = [self._history(anchor.tree, anchor.node) for anchor in anchors]
        new = list({id(one): place for place, one in enumerate(histories) if one.row is None}.values())
        if new:
            fresh = self._rows([anchors[place] for place in new], [histories[place].cheap for place in new])
            for place, row in zip(new, fresh, strict=True):
                histories[place].row = row
        rows = [one.row for one in histories if one.row is not None]
        table = np.concatenate([np.empty(0), *rows]).reshape(len(anchors), self.size - 1)
        table[:, -1] = [self._told(anchor.tree)[anchor.node] if anchor.node else 0.0 for anchor in anchors]
        return table

    def _rows(self, anchors: Sequence[Anchor], cheap: Sequence[tuple[float, ...]]) -> NDArray[np.float64]:
        """Returns [K, size - 1] the columns that do not depend on other rollouts; the last one is left 0."""
        table = np.zeros((len(anchors), self.size - 1))  # the last column of each row is filled in by `rows`
        encoding, bag, others, _ = self.blocks
        table[:, encoding] = self.encoder.encode(anchors)
        table[:, others.start : -2] = cheap
        table[:, -2] = [self._word(anchor.tree.nodes[0]) for anchor in anchors]
        if self.buckets:
            table[:, bag] = [self._bag(anchor.tree.nodes[0]) for anchor in anchors]
        return table

    def observe(self, raw: NDArray[np.float64]) -> None:
        """Learns the columns' means and variances from [n, size - 1] rows, forgetting older ones slowly."""
        known = ~np.isnan(raw)
        values = np.where(known, raw, 0.0)
        self.sums = self._decay * self.sums + np.stack([known.sum(0), values.sum(0), (values**2).sum(0)])

    def __call__(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns [n, size] standardised rows with a constant 1 at the end.

        What is missing, or never varied, is 0: the mean.
        """
        table = np.empty((len(raw), self.size))
        table[:, -1] = 1.0
        scaled = table[:, :-1]
        np.multiply(raw - self._mean, self._scale, out=scaled)
        np.minimum(np.maximum(scaled, -5, out=scaled), 5, out=scaled)
        scaled[np.isnan(scaled)] = 0.0
        return table

    def _bag(self, root: Node) -> NDArray[np.float64]:
        """Returns [B] how many of a prompt's tokens fall into each bucket."""
        if (bag := self._bags.get(root)) is None:
            hashed = root.token_ids.astype(np.uint64) * np.uint64(2654435761) >> np.uint64(7)
            places = (hashed % np.uint64(self.buckets)).astype(np.int64)
            bag = self._bags[root] = np.bincount(places, minlength=self.buckets).astype(np.float64)
        return bag

    def _word(self, root: Node) -> float:
        """Returns the evidence of a prompt's words; NaN without a record."""
        if self.words is None:
            return math.nan
        if (said := self._said.get(root)) is None:
            said = self._said[root] = self.words.evidence(root)
        return said

    def _history(self, tree: RolloutTree, index: int) -> _History:
        """Returns what is known of a node's history; a node may stand in several trees, as a rule on one path."""
        if (places := self._places.get(tree)) is None:
            places = self._places[tree] = {-1: NOWHERE}
        walk = []
        while index not in places:
            walk.append(index)
            index = tree.nodes[index].parent
        history = places[index]
        for place in reversed(walk):
            node, above = tree.nodes[place], history
            known = self._histories.get(node)
            if known is None or known.above is not above:
                known = self._histories[node] = _after(above, node)
            history = places[place] = known
        return history

    def _told(self, tree: RolloutTree) -> list[float]:
        """Returns the evidence for each of a tree's nodes."""
        if (evidence := self._evidence.get(tree)) is None:
            evidence = self._evidence[tree] = _evidence(tree)
        return evidence


def _after(above: _History, node: Node) -> _History:
    """Returns the history that a node ends."""
    drawn, logprob = int(np.count_nonzero(node.sampled_mask)), sum(node.logprobs.tolist())
    failed = bool(node.observation) and ERROR.search(node.observation) is not None
    turns, tokens, failures = above.turns + 1, above.tokens + len(node.token_ids), above.failures + failed
    all_drawn, all_logprob = above.drawn + drawn, above.logprob + logprob
    turn_logprob = logprob / drawn if drawn else math.nan
    path_logprob = all_logprob / all_drawn if all_drawn else math.nan
    cheap = (turns, math.log1p(tokens), failures, failed, turn_logprob, path_logprob)
    return _History(above, turns, tokens, failures, all_drawn, all_logprob, cheap)


def _evidence(tree: RolloutTree) -> list[float]:
    """Returns for each node what other bare rollouts say, in (-1, 1); see `Features.rows`. 0 where there are none."""
    own = [0] * len(tree.nodes)  # 1 or -1 on the path of a bare rollout that succeeded or failed
    counts, balances = ([0] * (1 + max(node.origin.round for node in tree.nodes)) for _ in range(2))  # of each round
    for leaf in tree.bare_leaves:
        place, said, number = leaf, 1 if tree.succeeded(leaf) else -1, tree.nodes[leaf].origin.round
        counts[number] += 1
        balances[number] += said
        while place:
            own[place], place = said, tree.nodes[place].parent
    counts, balances = list(accumulate(counts)), list(accumulate(balances))
    evidence = [
        (balances[node.origin.round] - said) / (counts[node.origin.round] - abs(said) + 2)
        for node, said in zip(tree.nodes, own, strict=True)
    ]
    evidence[0] = 0.0
    return evidence
