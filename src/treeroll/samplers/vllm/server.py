"""The `server` sampler: a vLLM server, asked for one turn a request.

The server keeps what it has computed in its prefix cache. A turn's prompt is its whole history, ids that extend those
of the turn before it or of the prefix that it forks from, so only what has come since is computed.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from treeroll.errors import SamplerError
from treeroll.samplers.base import Prefix, Turn, TurnRequest, Weights
from treeroll.samplers.vllm.completions import Completions, models
from treeroll.samplers.vllm.copy import FIX, Copy
from treeroll.samplers.vllm.flight import ServerStream, sampled
from treeroll.samplers.vllm.http import Server
from treeroll.samplers.vllm.loop import Loop
from treeroll.samplers.vllm.terms import Terms
from treeroll.samplers.vllm.witness import Witness, check_tempered

PROBE_TOKENS, PROBE_TURN = 8, 4
"""Tokens of the history and of the turn that a server is tried with."""


class ServerSampler:
    """Samples turns from a vLLM server. See `samplers.base.Sampler` for the methods; there are no hidden states.

    Nothing on the server is changed before the first call of `plant`.

    Args:
      url: address of the server, e.g. http://127.0.0.1:8000.
      policy: whose weights it is to sample with.
      terms: of every turn; the context becomes the server's, where that is shorter.
      batch: most requests under way.
      patience: seconds that one answer may take, and for which a failing request is repeated.
      tolerance: how far its log-probabilities may be from the policy's; None: by the policy's number format.
      folder: where it finds new weights; None: in this machine's memory.

    Raises:
      ConfigError: there is no way to give it new weights.
      SamplerError: no server is there, or one that cannot serve this run.
    """

    continuous = True

    def __init__(
        self,
        url: str,
        policy: Weights,
        terms: Terms,
        *,
        batch: int = 256,
        patience: float = 120.0,
        tolerance: float | None = None,
        folder: str | None = None,
    ) -> None:
        self.version, self.batch = 0, batch
        self._policy: Weights | None = policy
        self._loop = Loop()
        server = Server(url, patience)
        closing = weakref.finalize(self, self._loop.close, server.close)
        try:
            name, longest = self._loop.run(models(server))
            self.context = min(terms.context, longest)
            self._terms = replace(terms, context=self.context)
            self._witness = Witness(terms.vocabulary, self.context, tolerance)
            self._copy = Copy(server, name, self._witness, folder)
            self._completions = Completions(server, name, self._terms, self._copy.run)
            self._loop.run(self._check())
        except BaseException:
            closing()
            raise
        server.again = self._copy.restore
        weakref.finalize(self, self._copy.delete)

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        """Returns the prompts as they are: the server computes each when the first turn is sampled from it."""
        self._loop.run(self._ready())
        return [Prefix(prompt) for prompt in prompts]

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        """Samples one turn for each request, all at the same time."""
        return sampled(self.stream(), requests)

    def stream(self) -> ServerStream:
        """Returns a new stream of turns."""
        return ServerStream(self._loop, self._turn, self._copy.confirm, self.batch)

    def update(self, policy: Weights, version: int) -> None:
        """Gives the server the policy's weights, and checks that it samples with them."""
        self._loop.run(self._copy.update(policy, version))
        self._policy, self.version = None, version

    async def _turn(self, request: TurnRequest) -> Turn:
        return await self._completions.turn(request, self.version)

    async def _ready(self) -> None:
        """Sees to it that the server has the weights that it should have."""
        if self._policy is None:
            await self._copy.restore()
            return
        await self._copy.start(self._policy, self.version)
        request = self._probe()
        turn = await self._turn(request)
        check_tempered(self._policy, turn, self._terms.temperature, self._witness.tolerance, self._completions.engine)
        self._policy = None

    async def _check(self) -> None:
        """Tries what a run needs; changes nothing."""
        about = await self._copy.about()
        if about is not None and int(about[1]) != self._terms.vocabulary:
            raise SamplerError(
                f"{self._completions.engine} has {about[1]} token ids, the policy {self._terms.vocabulary}: it serves "
                f"another model. {FIX}"
            )
        await self._turn(self._probe())

    def _probe(self) -> TurnRequest:
        history = self._witness.sequences[0][:PROBE_TOKENS]
        room = min(PROBE_TURN, self.context - len(history))
        return TurnRequest(Prefix(history), np.empty(0, np.int32), max_tokens=room, seed=0)
