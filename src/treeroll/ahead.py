"""How sampling and learning follow each other over a run: in turn, or sampling ahead by a bounded number of updates.

    in turn (sampling.staleness=0)         sample 1 | learn 1 | sample 2 | learn 2 | ...
    ahead by s updates                     sample 1 | sample 2 | sample 3 | ...
                                                    | learn 1  | learn 2  | ...

Sampling of step k does not start before update k - 1 - s is in the sampler's weights, so update k learns from weights
that are at most s updates old. Weights change between two steps of sampling, while neither samples nor learns: a
step's kept keys, its turns and their log-probabilities are of one policy. With s = 1 that policy is always the one
before the last update, and a run is the same from its seed, bit for bit; with more it is the newest that there is,
which depends on the clock. The predictor lives with the sampling: it has learned from every earlier step.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from treeroll.build import Parts
from treeroll.clock import Clock
from treeroll.engine import Cancelled
from treeroll.errors import TreerollError
from treeroll.learner.twin import follow
from treeroll.step import Harvest, evaluate, learn_step, sample_step
from treeroll.tree import RolloutTree


class Pace(Protocol):
    """A context in which a run's steps are trained one by one."""

    carried: float
    """What the steps so far left unspent."""

    def __enter__(self) -> Pace: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def step(self) -> tuple[dict[str, Any], list[RolloutTree]]:
        """Trains the next step; returns its metrics record, without seconds, and its trees.

        Raises:
          TreerollError: as `step.train_step`.
        """

    def evaluate(self, rollouts: int = 1) -> dict[str, Any]:
        """Plays held-out tasks with the policy as it is now; see `step.evaluate`."""

    def seconds(self) -> dict[str, dict[str, float]]:
        """Returns the seconds by phase since the last call."""

    def predictor_state(self) -> dict[str, Any]:
        """Returns the state of the predictor once it had learned from the steps so far, and from no other."""


@dataclass(frozen=True, eq=False)
class _Sampled:
    harvest: Harvest
    predictor: dict[str, Any]
    seconds: dict[str, dict[str, float]]


class Ahead:
    """Steps are sampled in a thread of their own while the calling thread learns. See `Pace` for the methods.

    All that both threads see is changed under one condition. The sampling thread rests between two steps until it is
    let go; whoever finds that it may go brings its weights up to date first.
    """

    def __init__(self, parts: Parts, done: int, carried: float) -> None:
        self.parts, self.carried = parts, carried
        self.limit = parts.config.sampling.staleness
        self._changed = threading.Condition()
        self._queue: deque[_Sampled] = deque()
        self._next, self._resting = done + 1, True
        self._learning = self._held = self._closed = self._ended = False
        self._error: BaseException | None = None
        self._failed: TreerollError | None = None
        self._predictor: dict[str, Any] = parts.predictor.state_dict()
        self._seconds: dict[str, dict[str, float]] = {}
        self._thread = threading.Thread(target=self._sample, args=(carried,), name="treeroll sampling", daemon=True)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._break_off()

    def _break_off(self) -> None:
        """Breaks off the step that is being sampled; what it has spent stays charged."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.parts.engine.cancel()
        if self._thread.ident is not None:
            self._thread.join()
        atexit.unregister(self._break_off)

    def step(self) -> tuple[dict[str, Any], list[RolloutTree]]:
        if self._failed is not None:
            raise self._failed
        with self.parts.clock.phase("await_sample"), self._changed:
            if self._thread.ident is None:
                self._let_go()
                self._thread.start()
                # Left alive by one Ctrl-C too many, a thread that is inside torch when Python ends aborts the process.
                atexit.register(self._break_off)
            self._changed.wait_for(lambda: self._queue or self._ended)
            if not self._queue:
                raise self._error or RuntimeError("all steps of this run have been sampled")
            sampled = self._queue.popleft()
            self._let_go()
            self._learning = True
        try:
            record, forest = learn_step(self.parts, sampled.harvest)
        finally:
            with self._changed:
                self._learning = False
        self.carried, self._predictor = sampled.harvest.left, sampled.predictor
        self._seconds = added(self._seconds, sampled.seconds)
        with self._changed:
            try:
                self._let_go()
            except TreerollError as error:  # this step is learned: the next one fails
                self._failed = error
        return record, forest

    def evaluate(self, rollouts: int = 1) -> dict[str, Any]:
        with self.parts.clock.phase("await_sample"), self._changed:
            self._held = True
            self._changed.wait_for(lambda: self._resting or self._ended)
            self._refresh()
        try:
            return evaluate(self.parts, rollouts)
        finally:
            with self._changed:
                self._held = False
                self._let_go()

    def seconds(self) -> dict[str, dict[str, float]]:
        own, self._seconds = self._seconds, {}
        return added(self.parts.clock.take(), own)

    def predictor_state(self) -> dict[str, Any]:
        return self._predictor

    # The sampling thread --------------------------------------------------------------------------------------------

    def _sample(self, carried: float) -> None:
        """Samples step after step, and lets the predictor learn from each."""
        parts, clock = self.parts, Clock(time.thread_time)
        parts.rounds.clock = clock
        try:
            while self._rest(clock):
                harvest = sample_step(parts, self._next, carried, clock)
                with clock.phase("predict"):
                    parts.predictor.update(harvest.forest)
                carried = harvest.left
                sampled = _Sampled(harvest, parts.predictor.state_dict(), clock.take())
                with self._changed:  # at rest with the same stroke: nobody may start to learn in between
                    self._queue.append(sampled)
                    self._next += 1
                    self._resting = True
                    self._let_go()
        except Cancelled:
            pass  # whoever has broken it off knows
        except BaseException as error:  # raised by `step`, which waits for what this thread cannot give it
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _rest(self, clock: Clock) -> bool:
        """Waits until the next step may be sampled; returns whether there is one."""
        with clock.phase("await_update"), self._changed:
            last = self.parts.config.steps
            self._changed.wait_for(lambda: not self._resting or self._closed or self._next > last)
            return not self._closed and self._next <= last

    # Under the condition --------------------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Lets the next step be sampled if its weights are new enough, or can be made so now."""
        if self._resting and not self._held:
            if not self._learning:
                self._refresh()
            if self.parts.sampler.version >= self._next - 1 - self.limit:
                self._resting = False
        self._changed.notify_all()

    def _refresh(self) -> None:
        """Gives the sampler the newest weights; only while it rests and nobody learns."""
        if self.parts.sampler.version < self.parts.policy.version:
            follow(self.parts.sampled, self.parts.policy)
            self.parts.sampler.update(self.parts.sampled, self.parts.policy.version)


def added(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns seconds by phase of two threads, or of two processes after each other, added up."""
    phases = [*one, *(phase for phase in other if phase not in one)]
    none = {"cpu": 0.0, "wall": 0.0}
    return {
        phase: {clock: round(one.get(phase, none)[clock] + other.get(phase, none)[clock], 4) for clock in none}
        for phase in phases
    }
