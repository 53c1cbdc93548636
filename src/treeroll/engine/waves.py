"""Rollouts that advance together, one turn a wave: sample for all, step all environments, and so on.

A task whose round is over gets its next one in the very next wave. The sampler waits while environments step, and a
wave takes as long as the slowest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from treeroll.allocation.base import Allocation
from treeroll.engine.growing import Answer, Growing, Rollout
from treeroll.envs.base import Observation
from treeroll.envs.tools import Failure, observed

if TYPE_CHECKING:
    from treeroll.engine.engine import Engine, NextRound


class Waves:
    """Plays the rollouts of one `Engine.extend`.

    Args:
      engine: whose rollouts.
      next_round: asked for each tree whose rollouts are all in; None where there are no further rounds.
    """

    def __init__(self, engine: Engine, next_round: NextRound | None) -> None:
        self.engine, self.next_round = engine, next_round

    def extend(self, allocation: Allocation, forest: Sequence[Growing]) -> None:
        """Plays an allocation and the rounds after it, of trees of a forest that are at rest too."""
        waiting = self.engine.start(allocation)
        if self.next_round is not None:
            for growing in forest:
                if growing.running == 0 and growing.rollouts:
                    waiting += self._go_on(growing, self.next_round)
        self.play(waiting)

    def play(self, waiting: list[Rollout]) -> None:
        """Plays rollouts to their ends, wave by wave, and the rounds that follow them."""
        engine, stage, meter = self.engine, self.engine.stage, self.engine.meter
        while waiting:
            engine.check_cancelled()
            with meter.during("turns", len(waiting)):
                turns = engine.sampler.sample([engine.request(rollout) for rollout in waiting])
            actions = [engine.dialogue.action(turn.token_ids) for turn in turns]
            with meter.during("calls", len(waiting)):
                answers = self._act(waiting, actions)
            going, ahead = [], []
            for rollout, turn, action, answer in zip(waiting, turns, actions, answers, strict=True):
                if engine.advance(rollout, turn, action, answer):
                    going.append(rollout)
                    ahead.append(rollout)
                elif rollout.growing.running == 0 and self.next_round is not None:
                    going += self._go_on(rollout.growing, self.next_round)
            if engine.forks:
                with meter.during("calls", len(ahead)):
                    kept = stage.keep([rollout.env for rollout in ahead])
                for rollout, (env, fork) in zip(ahead, kept, strict=True):
                    rollout.env, rollout.growing.forks[rollout.node] = env, fork
            waiting = going

    def _act(self, rollouts: Sequence[Rollout], actions: Sequence[str]) -> list[Answer]:
        """Returns what the environments answer; failures as observations, where that is wanted and the episode can."""
        answers: list[Answer] = self.engine.stage.step([rollout.env for rollout in rollouts], actions)
        if self.engine.tool_errors == "fail":
            return answers
        failed = {place: said for place, said in enumerate(answers) if isinstance(said, Failure)}
        lost = [place for place, failure in failed.items() if failure.kind in {"hung", "lost"}]
        branches = [rollouts[place].growing.branch(rollouts[place].node) for place in lost]
        for place, env in zip(lost, self.engine.go_on(branches), strict=True):
            if isinstance(env, Failure):
                del failed[place]
            else:
                rollouts[place].env, rollouts[place].lost = env, True
        for place, failure in failed.items():
            answers[place] = Observation(observed(failure))
        return answers

    def _go_on(self, growing: Growing, next_round: NextRound) -> list[Rollout]:
        return self.engine.start(next_round(growing.frozen()))
