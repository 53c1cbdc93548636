"""What a predictor sees of an anchor: numbers taken from the tree alone, the same at roots and prefixes."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from treeroll.seeding import generator
from treeroll.tree import RolloutTree

ERROR = re.compile(r"\b(none|error|exception|invalid|unknown|not found|no results?|no match(es)?)\b", re.IGNORECASE)
"""An observation that matches counts as a failed tool call."""

CHEAP = ("turn", "log_tokens", "errors", "last_error", "turn_logprob", "path_logprob", "evidence")
"""Names of the last columns, see `Features.raw`."""


class Features:
    """Turns nodes into vectors of a fixed size, standardised by what was seen so far.

    Columns, in blocks: the policy's last hidden state at the end of the history (H; a longer one goes through a
    fixed random projection, a shorter one is padded), a bag of the prompt's tokens (hashed to B buckets),
    `CHEAP`, and a constant 1.
    """

    def __init__(self, *, hidden_size: int = 128, buckets: int = 64, decay: float = 0.97, seed: int = 0) -> None:
        self.hidden_size = hidden_size
        self.buckets = buckets
        self.size = hidden_size + buckets + len(CHEAP) + 1
        self._decay = decay
        self._seed = seed
        self._projection: NDArray[np.float64] | None = None
        self.sums = np.zeros((3, self.size - 1))
        """Decayed (weight, value, square) of each column but the constant: all that it has learned."""

    @property
    def blocks(self) -> tuple[slice, slice, slice, slice]:
        """The columns of the hidden state, the bag, the cheap features and the constant."""
        bag, cheap, constant = self.hidden_size, self.hidden_size + self.buckets, self.size - 1
        return slice(0, bag), slice(bag, cheap), slice(cheap, constant), slice(constant, self.size)

    def raw(self, tree: RolloutTree) -> NDArray[np.float64]:
        """Returns [n_nodes, size - 1] the columns before standardising, NaN where a node has no such thing.

        `CHEAP`: turns so far; log(1 + tokens so far); failed tool calls so far, and whether the last one failed;
        mean log-probability of the tokens sampled in the last turn, and on the whole path; evidence of the
        task's other bare rollouts, (successes - failures)/(n + 2) over those that do not pass through the node.
        So no column holds the outcome of a rollout that passes through the node, and a column of the root holds
        none at all: a finished tree gives the same features as an unfinished one had before it was continued.
        """
        nodes = tree.nodes
        table = np.full((len(nodes), self.size - 1), np.nan)
        hidden, bag, cheap, _ = self.blocks
        buckets = (nodes[0].token_ids.astype(np.uint64) * np.uint64(2654435761) >> np.uint64(7)) % np.uint64(
            self.buckets
        )
        counts = np.bincount(buckets.astype(np.int64), minlength=self.buckets)
        table[:, bag] = counts
        for index, node in enumerate(nodes):
            if node.hidden is not None:
                table[index, hidden] = self._fit(node.hidden)
        table[:, cheap] = np.column_stack([*_path_columns(tree), _evidence(tree)])
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
        weight = np.maximum(self.sums[0], 1e-12)
        mean = self.sums[1] / weight
        variance = self.sums[2] / weight - mean**2
        varied = variance > 1e-6 * mean**2 + 1e-12
        scaled = (raw - mean) / np.sqrt(np.where(varied, variance, 1.0))
        scaled = np.where(varied & ~np.isnan(raw), np.clip(scaled, -5, 5), 0.0)
        return np.column_stack([scaled, np.ones(len(raw))])

    def _fit(self, hidden: NDArray[np.float32]) -> NDArray[np.float64]:
        if len(hidden) <= self.hidden_size:
            padded = np.zeros(self.hidden_size)
            padded[: len(hidden)] = hidden
            return padded
        if self._projection is None or self._projection.shape[1] != len(hidden):
            draw = generator(self._seed, "hidden projection", len(hidden))
            self._projection = draw.standard_normal((self.hidden_size, len(hidden))) / np.sqrt(len(hidden))
        return np.asarray(self._projection @ hidden)


def _path_columns(tree: RolloutTree) -> list[NDArray[np.float64]]:
    """Returns the columns of `CHEAP` that add up along a path, [n_nodes] each."""
    size = len(tree.nodes)
    turn, tokens, errors, last_error, sampled, logprob = np.zeros((6, size))
    turn_logprob = np.full(size, np.nan)
    for index, node in enumerate(tree.nodes):
        up = node.parent
        tokens[index] = len(node.token_ids) + (tokens[up] if index else 0)
        if not index:
            continue
        own, total = node.sampled_tokens, float(node.logprobs.sum())
        last_error[index] = ERROR.search(node.observation) is not None
        turn[index] = turn[up] + 1
        errors[index] = errors[up] + last_error[index]
        sampled[index] = sampled[up] + own
        logprob[index] = logprob[up] + total
        turn_logprob[index] = total / own if own else np.nan
    path_logprob = np.divide(logprob, sampled, out=np.full(size, np.nan), where=sampled > 0)
    return [turn, np.log1p(tokens), errors, last_error, turn_logprob, path_logprob]


def _evidence(tree: RolloutTree) -> NDArray[np.float64]:
    """Returns [n_nodes] what the bare rollouts say that do not pass through a node, in (-1, 1); 0 without any."""
    through = np.zeros((len(tree.nodes), 2))
    for leaf in tree.bare_leaves:
        through[leaf] = (1.0, 1.0 if tree.succeeded(leaf) else -1.0)
    for index in range(len(tree.nodes) - 1, 0, -1):
        through[tree.nodes[index].parent] += through[index]
    count, balance = (through[0] - through).T
    return np.asarray(balance / (count + 2))
