"""A stream of turns over any sampler that takes batches: one thread samples whatever is pending as one batch.

While a batch is being sampled, what is submitted gathers, and becomes the next batch: the busier the sampler, the
larger its batches, and it never waits for a request that somebody is still working on.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence

from treeroll.samplers.base import Sampler, Turn, TurnRequest

COMPANY = 0.005
"""Seconds for which a batch waits for one more request: tools that were started together answer almost together, and a
batch of one takes about as long as one of many."""


class BatchStream:
    """See `samplers.base.Stream` for the methods.

    Args:
      sampler: what samples; from now until `close` in this stream's thread only.
      capacity: most turns that it decodes together; None where that is not known.
    """

    def __init__(self, sampler: Sampler, capacity: int | None = None) -> None:
        self.sampler, self.capacity = sampler, capacity
        self._pending: list[tuple[int, TurnRequest]] = []
        self._done: list[tuple[int, Turn]] = []
        self._error: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="treeroll sampler", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # a thread that is inside torch when Python ends aborts the process

    def submit(self, tickets: Sequence[int], requests: Sequence[TurnRequest]) -> None:
        """Adds requests to the next batch."""
        with self._changed:
            self._pending += zip(tickets, requests, strict=True)
            self._changed.notify_all()

    def collect(self, seconds: float) -> list[tuple[int, Turn]]:
        """Returns the turns of batches that have ended since the last call; waits at most `seconds` for one.

        Raises:
          Exception: what the sampler raised, once its earlier turns were collected.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._error, timeout=max(seconds, 0))
            done, self._done = self._done, []
            if not done and self._error is not None:
                raise self._error
            return done

    def close(self) -> None:
        """Drops what is pending, waits for the batch that is being sampled, and ends the thread."""
        with self._changed:
            self._closed = True
            self._pending = []
            self._changed.notify_all()
        self._thread.join()
        atexit.unregister(self.close)

    def _work(self) -> None:
        while batch := self._next():
            try:
                turns = self.sampler.sample([request for _, request in batch])
            except BaseException as error:  # raised where turns are collected: nobody waits for this thread's end
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._done += ((ticket, turn) for (ticket, _), turn in zip(batch, turns, strict=True))
                self._changed.notify_all()

    def _next(self) -> list[tuple[int, TurnRequest]]:
        """Returns all that is pending, once something is and no more comes; nothing once the stream is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            while self._pending and self._changed.wait(COMPANY):  # notified: more has come, or the end
                pass
            batch, self._pending = self._pending, []
            return batch
