"""Rollouts that advance each by itself: a turn is asked for as soon as the tool before it has answered.

    open -> [ turn -> step -> ] ... leaf        each arrow as soon as what it needs is there
                        `-> keep                beside the next turn, before the next step

Sampler and tools work at the same time, and a slow tool delays its own rollout only. A tree's round is over when its
own rollouts are in; its nodes are then put in the order in which waves would have made them, so that rules which look
at the order decide the same, and trees are the same, whatever came when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from treeroll.allocation.base import Allocation
from treeroll.engine.growing import Answer, Growing, Rollout
from treeroll.envs.base import Env, Observation
from treeroll.envs.ongoing import Ongoing
from treeroll.envs.stage import Kept
from treeroll.envs.tools import Failure, observed
from treeroll.samplers.base import Turn

if TYPE_CHECKING:
    from treeroll.engine.engine import Engine, NextRound

TICK, PATIENCE = 0.005, 0.2
"""Seconds to wait for a turn where tools may answer first, and where nothing else can come but an end from outside."""


@dataclass(eq=False)
class _Opening:
    """One tree's share of an allocation, until all of its environments are there."""

    growing: Growing
    allocation: Allocation
    envs: dict[int, list[Env | Failure | None]]
    """By the anchor's place in the allocation."""
    missing: int
    first: bool
    """Whether it is the allocation that was asked for, not a next round."""


class Streaming:
    """Plays the rollouts of one `Engine.extend`.

    Args:
      engine: whose rollouts.
      next_round: asked for each tree whose rollouts are all in; None where there are no further rounds.
    """

    def __init__(self, engine: Engine, next_round: NextRound | None) -> None:
        self.engine, self.next_round = engine, next_round
        self.calls = Ongoing(engine.stage, partial(engine.meter.add, "calls"))
        self.ready: list[Rollout] = []
        """Rollouts whose next turn can be asked for."""
        self.asked: dict[int, Rollout] = {}
        """Rollouts whose turn is being sampled, by ticket."""
        self.tickets = 0

    def extend(self, allocation: Allocation, forest: Sequence[Growing]) -> None:
        """Plays an allocation and the rounds after it, of trees of a forest that are at rest too."""
        self.stream = self.engine.sampler.stream()
        self.engine.meter.capacity = self.stream.capacity
        try:
            opening = self._open(allocation, first=True)
            for growing in forest:
                if growing not in opening and growing.rollouts:
                    self._over(growing)
            while self.ready or self.asked or self.calls:
                self.engine.check_cancelled()
                self._submit()
                self._collect()
        finally:
            self.calls.close()
            self.engine.meter.add("turns", -len(self.asked))
            self.stream.close()

    def _submit(self) -> None:
        """Asks for the next turns of all that are ready."""
        if not self.ready:
            return
        rollouts, self.ready = self.ready, []
        tickets = range(self.tickets, self.tickets + len(rollouts))
        self.tickets = tickets.stop
        self.asked.update(zip(tickets, rollouts, strict=True))
        self.engine.meter.add("turns", len(rollouts))
        self.stream.submit(tickets, [self.engine.request(rollout) for rollout in rollouts])

    def _collect(self) -> None:
        """Waits until something has come, and goes on from it."""
        if self.calls:
            self.calls.collect(0 if self.asked else PATIENCE)
        if self.asked:
            wait = PATIENCE if not (self.calls or self.ready) else 0 if self.ready or self.calls.inline else TICK
            for ticket, turn in self.stream.collect(wait):
                self.engine.meter.add("turns", -1)
                self._sampled(self.asked.pop(ticket), turn)

    def _open(self, allocation: Allocation, *, first: bool) -> set[Growing]:
        """Opens the environments that an allocation asks for; returns the trees that get any."""
        self.engine.check_branches(allocation)
        openings: dict[Growing, _Opening] = {}
        for rank, (anchor, count) in enumerate(zip(allocation.anchors, allocation.counts.tolist(), strict=True)):
            if count:
                growing = self.engine.growing(anchor.tree)
                opening = openings.setdefault(growing, _Opening(growing, allocation, {}, 0, first))
                opening.envs[rank] = [None] * count
                opening.missing += count
        for opening in openings.values():
            for rank, envs in opening.envs.items():
                anchor = allocation.anchors[rank]
                for place in range(len(envs)):
                    then = partial(self._opened, opening, rank, place)
                    if anchor.node:
                        self._go_on(opening.growing, anchor.node, then)
                    else:
                        self.calls.open(anchor.tree.task, then)
        return set(openings)

    def _go_on(self, growing: Growing, node: int, then: partial[None]) -> None:
        """Opens an environment that stands at a node; replayed actions are charged."""
        self.engine.charge(self.calls.go_on(growing.branch(node), then))

    def _opened(self, opening: _Opening, rank: int, place: int, env: Env | Failure) -> None:
        opening.envs[rank][place] = env
        opening.missing -= 1
        if opening.missing:
            return
        growing, started = opening.growing, []
        for own, envs in opening.envs.items():
            started += self.engine.begin(growing, opening.allocation, own, [env for env in envs if env is not None])
        growing.rounds += bool(started)
        self.ready += started
        if not started and opening.first and growing.rollouts:
            self._over(growing)

    def _sampled(self, rollout: Rollout, turn: Turn) -> None:
        rollout.said = turn, self.engine.dialogue.action(turn.token_ids)
        if not rollout.keeping:
            self._act(rollout)

    def _act(self, rollout: Rollout) -> None:
        assert rollout.said is not None
        self.calls.step(rollout.env, rollout.said[1], partial(self._answered, rollout))

    def _answered(self, rollout: Rollout, answer: Answer) -> None:
        """Goes on from an answer; failures become observations, where that is wanted and the episode can go on."""
        if isinstance(answer, Failure) and self.engine.tool_errors == "observe":
            if answer.kind in {"hung", "lost"}:
                self._go_on(rollout.growing, rollout.node, partial(self._replaced, rollout, answer))
                return
            answer = Observation(observed(answer))
        self._advance(rollout, answer)

    def _replaced(self, rollout: Rollout, failure: Failure, env: Env | Failure) -> None:
        if isinstance(env, Failure):
            self._advance(rollout, failure)
        else:
            rollout.env, rollout.lost = env, True
            self._advance(rollout, Observation(observed(failure)))

    def _advance(self, rollout: Rollout, answer: Answer) -> None:
        assert rollout.said is not None
        (turn, action), rollout.said = rollout.said, None
        if self.engine.advance(rollout, turn, action, answer):
            self.ready.append(rollout)
            if self.engine.forks:
                rollout.keeping = True
                self.calls.keep(rollout.env, partial(self._kept, rollout))
        elif rollout.growing.running == 0:
            self._over(rollout.growing)

    def _kept(self, rollout: Rollout, env: Env, fork: Kept) -> None:
        rollout.env, rollout.growing.forks[rollout.node] = env, fork
        rollout.keeping = False
        if rollout.said is not None:
            self._act(rollout)

    def _over(self, growing: Growing) -> None:
        """Asks for a tree's next round, once its rollouts are in."""
        growing.settle()
        if self.next_round is not None:
            self._open(self.next_round(growing.frozen()), first=False)
