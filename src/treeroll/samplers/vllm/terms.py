"""What is asked of vLLM for a turn, and how its answer becomes one: by token ids alone, nothing is tokenised again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import SamplerError
from treeroll.samplers.base import Prefix, Turn, TurnRequest

SEEDS = 2**63
"""Seeds that vLLM takes are below this; `TurnRequest.seed` has one bit more."""


@dataclass(frozen=True)
class Terms:
    """What holds for every turn of a run."""

    stop_ids: frozenset[int]
    """Tokens that end a turn."""
    temperature: float
    """> 0; log-probabilities are those of the tempered distribution."""
    vocabulary: int
    """V: the policy's ids are 0 to V - 1."""
    context: int
    """Most tokens of a history and its next turn."""


@dataclass(frozen=True, eq=False)
class Answer:
    """One completion, as vLLM gave it."""

    token_ids: Sequence[int]
    """[T] sampled ids; the stop token, where one was sampled, is the last."""
    logprobs: Sequence[float]
    """[T]"""
    cached: int
    """Tokens of the prompt whose keys and values were in the prefix cache."""
    finish: str | None
    """vLLM's reason: stop, length, abort."""


def history(request: TurnRequest) -> NDArray[np.int32]:
    """Returns [T] the whole history that a turn starts from."""
    return np.concatenate([request.prefix.token_ids, request.token_ids])


def parameters(terms: Terms, request: TurnRequest) -> dict[str, Any]:
    """Returns a turn's sampling parameters, under the names that vLLM's API and its HTTP body share.

    All are said that a model's `generation_config.json` or a server's defaults could change.

    Raises:
      SamplerError: the history and the turn do not fit the context.
    """
    length = len(request.prefix.token_ids) + len(request.token_ids)
    if length + request.max_tokens > terms.context:
        raise SamplerError(
            f"a history of {length} tokens and a turn of {request.max_tokens} do not fit the context of "
            f"{terms.context} tokens; shorten the prompt or lower sampling.turn_tokens"
        )
    return {
        "n": 1,
        "temperature": terms.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": request.max_tokens,
        "min_tokens": 0,
        "stop_token_ids": sorted(terms.stop_ids),
        "ignore_eos": True,  # a turn ends at the dialogue's own stop tokens
        "logprobs": 0,  # of the sampled token alone
        "seed": request.seed % SEEDS,
    }


def turn_of(request: TurnRequest, answer: Answer, terms: Terms, version: int, engine: str) -> Turn:
    """Returns an answer as a turn, whose ids extend the history's.

    Args:
      request: what was asked.
      answer: what came back.
      terms: of the run.
      version: policy updates before the weights that sampled it.
      engine: who answered, for messages.

    Raises:
      SamplerError: the answer is none to this request.
    """
    ids, logprobs = np.asarray(answer.token_ids, np.int32), np.asarray(answer.logprobs, np.float32)
    if problem := _problem(ids, logprobs, answer, request, terms):
        raise SamplerError(f"{engine} answered what cannot be trained on: {problem}")
    before = history(request)
    prefix = Prefix(before)
    return Turn(
        prefix=prefix,
        ahead=Prefix(np.concatenate([before, ids[:-1]])),
        token_ids=ids,
        logprobs=logprobs,
        stopped=int(ids[-1]) in terms.stop_ids,
        computed_tokens=len(before) - answer.cached,
        version=version,
    )


def _problem(
    ids: NDArray[np.int32], logprobs: NDArray[np.float32], answer: Answer, request: TurnRequest, terms: Terms
) -> str | None:
    """Returns which rule an answer breaks, or None."""
    stops = [place for place, token in enumerate(ids.tolist()) if token in terms.stop_ids]
    length = len(request.prefix.token_ids) + len(request.token_ids)
    if not 0 < len(ids) <= request.max_tokens:
        return f"{len(ids)} tokens, for a turn of 1 to {request.max_tokens}"
    if (strange := ids[(ids < 0) | (ids >= terms.vocabulary)]).size:
        return (
            f"token {strange[0]}, but the policy's ids are 0 to {terms.vocabulary - 1}: it samples from another model. "
            "Give both the same one"
        )
    if len(logprobs) != len(ids):
        return f"{len(logprobs)} log-probabilities for {len(ids)} tokens"
    if not np.isfinite(logprobs).all() or (logprobs > 1e-3).any():
        return "a log-probability that is not finite, or above 0: its weights hold NaN, or its dtype is too narrow"
    if stops and stops[0] < len(ids) - 1:
        return f"tokens after the stop token {ids[stops[0]]}: it does not stop at stop_token_ids"
    if not stops and len(ids) < request.max_tokens:
        return (
            f"a turn of {len(ids)} tokens that ended ({answer.finish}) at none of the stop tokens "
            f"{sorted(terms.stop_ids)} and before its limit of {request.max_tokens}: it stops by a rule of its own"
        )
    if not 0 <= answer.cached <= length:
        return f"{answer.cached} tokens of a prompt of {length} from its cache"
    return None
