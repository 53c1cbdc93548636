"""A sampler that can be stopped, and tells that it is alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from treeroll.samplers.base import Prefix, Sampler, Stream, Turn, TurnRequest, Weights
from treeroll.samplers.stream import BatchStream


class Stopped(Exception):  # noqa: N818 - nothing has gone wrong
    """Raised in the thread that samples, once it shall not any more."""


class Pulse:
    """What the trainer's thread and the one that samples know of each other."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._last = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._last

    def stop(self) -> None:
        """Lets every later beat raise."""
        self._stop.set()

    def beat(self) -> None:
        """Tells that there is progress.

        Raises:
          Stopped: there shall be none any more.
        """
        self._last = time.monotonic()
        if self._stop.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Waits, unless it is stopped meanwhile; raises as `beat` does."""
        self._stop.wait(seconds)
        self.beat()


class WatchedSampler:
    """A sampler with a beat before and after each batch.

    Args:
      inner: what samples.
      pulse: where it beats.
    """

    def __init__(self, inner: Sampler, pulse: Pulse) -> None:
        self.inner, self.pulse = inner, pulse
        self.context, self.continuous = inner.context, inner.continuous

    @property
    def version(self) -> int:
        """Policy updates before the weights that sample now."""
        return self.inner.version

    @version.setter
    def version(self, value: int) -> None:
        self.inner.version = value

    def plant(self, prompts: Sequence[NDArray[np.int32]]) -> list[Prefix]:
        """Computes prompts; see `Sampler.plant`."""
        self.pulse.beat()
        return self.inner.plant(prompts)

    def sample(self, requests: Sequence[TurnRequest]) -> list[Turn]:
        """Samples one turn for each request."""
        self.pulse.beat()
        turns = self.inner.sample(requests)
        self.pulse.beat()
        return turns

    def update(self, policy: Weights, version: int) -> None:
        """Samples with new weights; see `Sampler.update`. TRL's trainer updates the server by itself."""
        self.inner.update(policy, version)

    def stream(self) -> Stream:
        """Returns a stream; see `Sampler.stream`."""
        return _WatchedStream(self.inner.stream(), self.pulse) if self.continuous else BatchStream(self)


class _WatchedStream:
    def __init__(self, inner: Stream, pulse: Pulse) -> None:
        self._inner, self._pulse, self.capacity = inner, pulse, inner.capacity

    def submit(self, tickets: Sequence[int], requests: Sequence[TurnRequest]) -> None:
        self._pulse.beat()
        self._inner.submit(tickets, requests)

    def collect(self, seconds: float) -> list[tuple[int, Turn]]:
        turns = self._inner.collect(seconds)
        self._pulse.beat()
        return turns

    def close(self) -> None:
        self._inner.close()
