"""What a sampler is: token ids in, token ids and log-probabilities out, at a stated policy version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from treeroll.packing import TreeRow


@dataclass(frozen=True, eq=False)
class Prefix:
    """A history as a sampler knows it."""

    token_ids: NDArray[np.int32]
    """[T] the whole history, prompt first."""
    hidden: NDArray[np.float32] | None = None
    """[D] the policy's last hidden state after the last token, where the sampler can tell."""
    kept: Any = None
    """What the sampler keeps to go on from here without recomputing (KV, a server's handle); opaque."""
    computed_tokens: int = 0
    """Tokens that `Sampler.plant` had to compute for it; a start that prompts share counts at the first of them."""


@dataclass(frozen=True, eq=False)
class TurnRequest:
    """One turn to sample."""

    prefix: Prefix
    """What is computed already: the last turn's `Turn.ahead`, or the `Prefix` of a fork or of a planted prompt."""
    token_ids: NDArray[np.int32]
    """[T] what has come since (the last sampled token, the observation); empty right after a fork."""
    max_tokens: int
    seed: int
    """Address of the draw (see `seeding.derive`): equal requests with equal seeds sample equal tokens."""


@dataclass(frozen=True, eq=False)
class Turn:
    """One sampled turn."""

    prefix: Prefix
    """The history that the turn was sampled from, computed: where continuations fork."""
    ahead: Prefix
    """The longest computed history: `prefix` and the sampled tokens that have been fed back. The rollout's next
    request goes on from here."""
    token_ids: NDArray[np.int32]
    """[T] sampled tokens; the stop token, where one was sampled, is the last."""
    logprobs: NDArray[np.float32]
    """[T] their log-probabilities under the distribution they were drawn from (temperature included)."""
    stopped: bool
    """True where a stop token ended the turn, False where `max_tokens` cut it."""
    computed_tokens: int
    """Tokens of the request that had to be computed for it: what came since, kept ones cost nothing."""
    version: int
    """Policy updates before the weights that sampled it."""


class Weights(Protocol):
    """The policy, for samplers that keep a copy of its weights; `learner.policy.Policy` is one."""

    @property
    def rounds(self) -> bool:
        """Whether it computes in a 16-bit format, so that equal weights give log-probabilities that differ a little."""

    def weights(self) -> Iterator[tuple[str, Any]]:
        """Yields all weights, as tensors under the names of the model's own checkpoints."""

    def logprobs(self, rows: Sequence[TreeRow], temperature: float) -> tuple[Any, Any]:
        """Returns [N] the log-probability (and the entropy) at every token of the rows' loss masks, as tensors."""


class Sampler(Protocol):
    """Samples turns in batches."""

    version: int
    """Policy updates before the weights that sample now."""
    context: int
    """Most tokens that a history and its next turn may hold together."""
    continuous: bool
    """Whether a request joins the batch that is being decoded, so that `stream` beats waves of `sample`. Where it does
    not, `stream` returns a `samplers.stream.BatchStream`."""

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        """Computes prompts without sampling: a `Prefix` each, with its hidden state where there is one."""

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        """Samples one turn for each request, in the order of the requests."""

    def update(self, policy: Weights, version: int) -> None:
        """Samples with a policy's new weights from now on; forgets what was computed with the old ones.

        Args:
          policy: the policy; a sampler that shares its model has the weights already.
          version: policy updates before these weights.

        Raises:
          SamplerError: it cannot be seen that the new weights sample.
        """

    def stream(self) -> Stream:
        """Returns a new stream of turns, to be closed by whoever asked for it; one at a time."""


class Stream(Protocol):
    """Turns in flight: requests go in at any time, and each turn comes out when it is done, in any order.

    One thread uses it. Weights change between two streams, never during one.
    """

    capacity: int | None
    """Most turns that are decoded together; None where that is not known."""

    def submit(self, tickets: Sequence[int], requests: Sequence[TurnRequest]) -> None:
        """Starts requests; a ticket, unlike any other in flight, names each one. Returns at once."""

    def collect(self, seconds: float) -> list[tuple[int, Turn]]:
        """Returns the turns done since the last call, with their tickets; waits at most `seconds` for the first.

        Raises:
          SamplerError: a request failed for good; what else was done is returned by the next call.
        """

    def close(self) -> None:
        """Gives up what is in flight and frees what the stream holds. The sampler lives on."""


class Dialogue(Protocol):
    """How an episode is worded in tokens for one model: its chat template, or a world's plain words."""

    stop_ids: frozenset[int]
    """Tokens that end a turn."""

    def prompt(self, question: str) -> NDArray[np.int32]:
        """Returns the ids that a history starts with."""

    def action(self, token_ids: NDArray[np.int32]) -> str:
        """Returns a turn's sampled ids as the text that the environment takes."""

    def observation(self, text: str, *, stopped: bool) -> NDArray[np.int32]:
        """Returns the ids that come after a turn: the environment's answer, up to where the next turn starts.

        Args:
          text: what the environment answered.
          stopped: whether the turn before ended with its own stop token; a missing one is added here.
        """
