"""Turns in flight to a server: each is a request of its own, and the server's own batching puts them together."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future

from treeroll.samplers.base import Stream, Turn, TurnRequest
from treeroll.samplers.vllm.loop import Loop


def sampled(stream: Stream, requests: Sequence[TurnRequest]) -> list[Turn]:
    """Returns one turn for each request, in their order, all sampled at the same time; closes the stream."""
    found: dict[int, Turn] = {}
    try:
        stream.submit(range(len(requests)), requests)
        while len(found) < len(requests):
            found.update(stream.collect(1.0))
    finally:
        stream.close()
    return [found[ticket] for ticket in range(len(requests))]


class ServerStream:
    """See `samplers.base.Stream` for the methods.

    Args:
      loop: where requests are made.
      turn: samples one turn.
      confirm: called when nothing is in flight any more, before the last turns are handed out: raises where they
        cannot be trusted.
      capacity: most requests under way; later ones wait here.
    """

    def __init__(
        self,
        loop: Loop,
        turn: Callable[[TurnRequest], Awaitable[Turn]],
        confirm: Callable[[], Awaitable[None]],
        capacity: int,
    ) -> None:
        self.capacity: int | None = capacity
        self._loop, self._turn, self._confirm = loop, turn, confirm
        self._room = asyncio.Semaphore(capacity)
        self._landed: queue.SimpleQueue[tuple[int, Turn | BaseException]] = queue.SimpleQueue()
        self._flights: dict[int, Future[None]] = {}
        self._ready: list[tuple[int, Turn]] = []

    def submit(self, tickets: Sequence[int], requests: Sequence[TurnRequest]) -> None:
        """Starts requests and returns at once."""
        for ticket, request in zip(tickets, requests, strict=True):
            self._flights[ticket] = self._loop.start(self._fly(ticket, request))

    def collect(self, seconds: float) -> list[tuple[int, Turn]]:
        """Returns the turns done since the last call; waits at most `seconds` for the first.

        Raises:
          SamplerError: a request failed for good; what else was done is returned by the next call.
        """
        if not self._ready and self._flights:
            try:
                self._take(self._landed.get(timeout=max(seconds, 0)))
            except queue.Empty:
                return []
        while not self._landed.empty():
            self._take(self._landed.get())
        if self._ready and not self._flights:
            self._loop.run(self._confirmed())
        done, self._ready = self._ready, []
        return done

    def close(self) -> None:
        """Gives up what is in flight."""
        for flight in self._flights.values():
            flight.cancel()
        self._flights, self._ready = {}, []

    async def _fly(self, ticket: int, request: TurnRequest) -> None:
        landed: Turn | BaseException
        try:
            async with self._room:
                landed = await self._turn(request)
        except Exception as error:  # raised where turns are collected: nobody waits for this task's end
            landed = error
        self._landed.put((ticket, landed))

    def _take(self, landing: tuple[int, Turn | BaseException]) -> None:
        ticket, landed = landing
        del self._flights[ticket]
        if isinstance(landed, BaseException):
            raise landed
        self._ready.append((ticket, landed))

    async def _confirmed(self) -> None:
        await self._confirm()
