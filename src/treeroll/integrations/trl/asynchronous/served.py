"""Turns from the vLLM server that AsyncGRPOTrainer keeps in step with its weights.

As `samplers.vllm.server`, but for the weights: TRL's trainer pauses the server, sends them, empties the prefix cache,
and tells the worker their version. Nothing here changes anything on the server.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import SamplerError
from treeroll.samplers.base import Prefix, Turn, TurnRequest, Weights
from treeroll.samplers.vllm.completions import Completions, models
from treeroll.samplers.vllm.flight import ServerStream, sampled
from treeroll.samplers.vllm.http import Server
from treeroll.samplers.vllm.loop import Loop
from treeroll.samplers.vllm.terms import Terms

ADAPTER = "trl-policy"
"""What TRL calls the LoRA adapters that it publishes, followed by -v and the version."""
COLD, UNSURE = 0.01, -1.0
"""A temperature at which a turn is all but certain, and a log-probability that none of its tokens then has."""
PROBE_TURN = 16
"""Tokens of a turn at that temperature."""


class ServedSampler:
    """Samples turns from a vLLM server with whatever weights it has. See `samplers.base.Sampler` for the methods.

    Args:
      url: address of the server.
      terms: of every turn; the context becomes the server's, where that is shorter.
      batch: most requests under way.
      patience: seconds that one answer may take, a weight update included, and for which a failing one is repeated.
      adapters: the folder where TRL writes LoRA adapters that it publishes; None where it publishes weights.

    Raises:
      SamplerError: no server is there, or one whose log-probabilities are not those of what it samples from.
    """

    continuous = True

    def __init__(self, url: str, terms: Terms, *, batch: int, patience: float, adapters: Path | None = None) -> None:
        self.version, self.batch, self._adapters = 0, batch, adapters
        self._loop = Loop()
        self._server = Server(url, patience)
        close = weakref.finalize(self, self._loop.close, self._server.close)
        try:
            self._name, longest = self._loop.run(models(self._server))
            self.context = min(terms.context, longest)
            self._terms = replace(terms, context=self.context)
            if terms.temperature != 1:
                self._check_tempered()
        except BaseException:
            close()
            raise

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        """Returns the prompts as they are: the server computes each when the first turn is sampled from it."""
        return [Prefix(prompt) for prompt in prompts]

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        """Samples one turn for each request, all at the same time."""
        return sampled(self.stream(), requests)

    def stream(self) -> ServerStream:
        """Returns a new stream of turns."""
        return ServerStream(self._loop, self._turn, _trusted, self.batch)

    def update(self, policy: Weights, version: int) -> None:
        """Takes the version; TRL gives the server its weights."""
        self.version = version

    async def _turn(self, request: TurnRequest) -> Turn:
        """Samples a turn. Its version is that of the weights which began it: never newer than what sampled a token."""
        version = self.version
        completions = Completions(self._server, self._model(version), self._terms, "trl")
        return await completions.turn(request, version)

    def _model(self, version: int) -> str:
        """Returns the name to ask for: a server with adapters serves the model without them under its own."""
        name = f"{ADAPTER}-v{version}"
        return name if self._adapters is not None and (self._adapters / name).is_dir() else self._name

    def _check_tempered(self) -> None:
        cold = replace(self._terms, temperature=COLD)
        history = np.random.default_rng(0).integers(0, self._terms.vocabulary, 8).astype(np.int32)
        request = TurnRequest(Prefix(history), np.empty(0, np.int32), max_tokens=PROBE_TURN, seed=0)
        completions = Completions(self._server, self._name, cold, "trl")
        if self._loop.run(completions.turn(request, self.version)).logprobs.min() < UNSURE:
            raise SamplerError(
                f"{completions.engine} tells log-probabilities at temperature 1, but samples at "
                f"{self._terms.temperature:g}. Start it with --logprobs-mode processed_logprobs"
            )


async def _trusted() -> None:
    """Whether turns can be trusted is not looked at: the trainer's loss logs the ratio to its own probabilities."""
