"""The engine: the only place where environments meet samplers.

`plant` turns tasks into trees of one node each; `extend` samples what an allocation asks for and returns larger
trees. Rollouts advance together, one turn a wave, so that the sampler always sees a full batch. As soon as the
last rollout of a task's round is in, the task's next round is asked for and joins the very next wave: no task waits
for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll import budget
from treeroll.allocation.base import Allocation
from treeroll.budget import Spent, Unit
from treeroll.envs.base import Done, Env, World, continue_from, fork_point
from treeroll.errors import EnvError, SamplerError
from treeroll.predictor.base import Prediction
from treeroll.samplers.base import Dialogue, Prefix, Sampler, Turn, TurnRequest
from treeroll.seeding import derive
from treeroll.tree import Anchor, Node, Origin, RolloutTree, Task

NextRound = Callable[[RolloutTree], Allocation]
"""Decides one task's next rollouts from its own tree; nothing, when the task is done."""


@dataclass(eq=False)
class _Rollout:
    """A rollout on its way from an anchor to a leaf."""

    growing: _Growing
    number: int
    """Place among the rollouts of its tree; part of the address of its draws."""
    origin: Origin
    node: int
    """Node that its next turn goes on from."""
    turns: int
    """Turns between the root and `node`."""
    env: Env
    history: NDArray[np.int32]
    computed: Prefix


@dataclass(eq=False)
class _Growing:
    """A tree while it grows, with what is needed to go on from its prefixes."""

    tree: RolloutTree
    nodes: list[Node]
    prefixes: dict[int, Prefix]
    forks: dict[int, Any] = field(default_factory=dict)
    rollouts: int = 0
    running: int = 0
    rounds: int = 0
    draws: str = "turn"
    """First part of the address of its draws."""

    def frozen(self) -> RolloutTree:
        return replace(self.tree, nodes=tuple(self.nodes))


class Engine:
    """Samples rollouts of one world with one sampler.

    Args:
      world: tasks' environment and limits.
      sampler: token ids in, token ids out.
      dialogue: how an episode is worded in tokens for this model.
      seed: the run's seed; every turn's draw is addressed from it.
      max_turns: turns after which an episode ends without success; the world's own where None.
      turn_tokens: most tokens sampled in a turn; the world's own where None.
      forks: whether later rounds may branch from prefixes; without them nothing is kept for that.
    """

    def __init__(
        self,
        world: World,
        sampler: Sampler,
        dialogue: Dialogue,
        *,
        seed: int,
        max_turns: int | None = None,
        turn_tokens: int | None = None,
        forks: bool = True,
    ) -> None:
        self.world, self.sampler, self.dialogue, self.seed = world, sampler, dialogue, seed
        self.max_turns = max_turns or world.max_turns
        self.turn_tokens = turn_tokens or world.turn_tokens
        self.forks = forks
        self.spent = Spent()
        """All that was sampled through this engine."""
        self._growing: dict[tuple[int, str], _Growing] = {}

    def prompt(self, task: Task) -> NDArray[np.int32]:
        """Returns the ids that a task's histories start with.

        Raises:
          SamplerError: they leave no room for a turn.
        """
        ids = self.dialogue.prompt(task.prompt)
        if len(ids) + self.turn_tokens > self.sampler.context:
            raise SamplerError(
                f"the prompt of task {task.id!r} is {len(ids)} tokens; with a turn of {self.turn_tokens} it does not "
                f"fit the context of {self.sampler.context}. Shorten it, or use a model with a longer context"
            )
        return ids

    def plant(self, tasks: Sequence[Task], *, step: int) -> list[RolloutTree]:
        """Returns one tree per task that holds the computed prompt, and forgets what earlier steps kept.

        Raises:
          SamplerError: a prompt leaves no room for a turn; the task is named.
        """
        prompts = [self.prompt(task) for task in tasks]
        self.release()
        prefixes = self.sampler.plant(prompts)
        self.spent += Spent(computed_tokens=sum(prefix.computed_tokens for prefix in prefixes))
        for task, prompt, prefix in zip(tasks, prompts, prefixes, strict=True):
            blank = np.zeros(len(prompt), dtype=np.bool_)
            logprobs = np.zeros(len(prompt), dtype=np.float32)
            root = Node(-1, prompt, blank, logprobs, text=task.prompt, hidden=prefix.hidden)
            tree = RolloutTree(task, (root,), self.sampler.version, self.seed, step, self.world.success_at)
            self._growing[step, task.id] = _Growing(tree, [root], {0: prefix})
        return [growing.frozen() for growing in self._growing.values()]

    def release(self) -> None:
        """Forgets what is kept of the planted trees (keys, values, snapshots); they cannot be extended any more."""
        self._growing.clear()

    def extend(
        self, forest: Sequence[RolloutTree], allocation: Allocation, next_round: NextRound | None = None
    ) -> list[RolloutTree]:
        """Samples an allocation and each tree's further rounds; returns the larger forest, in the same order.

        Args:
          forest: trees that this engine planted in this step.
          allocation: rollouts to sample now.
          next_round: asked for each tree of the forest whose rollouts are all in, again and again until it allocates
            nothing; None where there are no further rounds.
        """
        keys = [(tree.step, tree.task.id) for tree in forest]
        waiting = self._start(allocation, self._growing)
        if next_round is not None:
            for growing in [self._growing[key] for key in keys]:
                if growing.running == 0 and growing.rollouts:
                    waiting += self._go_on(growing, next_round)
        self._play_out(waiting, next_round)
        return [self._growing[key].frozen() for key in keys]

    def probe(
        self, anchors: Sequence[Anchor], count: int, unit: Unit
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [K] the share of successes and [K] the mean cost of `count` rollouts from each of K anchors.

        They enter no tree and are not charged: what they tell is for an oracle, which no real run has.

        Raises:
          SamplerError: an anchor is a prefix, and the engine keeps nothing to branch from.
        """
        if not self.forks and any(anchor.node for anchor in anchors):
            raise SamplerError(
                "a prefix cannot be probed: this engine was made with forks=False. Make it with forks=True"
            )
        shadows: dict[tuple[int, str], _Growing] = {}
        for key in {(anchor.tree.step, anchor.tree.task.id) for anchor in anchors}:
            growing = self._growing[key]
            shadows[key] = _Growing(
                growing.tree, list(growing.nodes), dict(growing.prefixes), dict(growing.forks), draws="probe"
            )
        spent, blank = self.spent, np.full(len(anchors), np.nan)
        counts = np.full(len(anchors), count, dtype=np.int64)
        prediction = Prediction(blank, blank, np.ones(len(anchors)))
        plan = Allocation(tuple(anchors), counts, blank, prediction, blank, float(counts.sum()))
        rollouts = self._start(plan, shadows)
        self._play_out(rollouts, None)
        self.spent = spent
        success, cost = np.zeros((2, len(anchors), count))
        for place, rollout in enumerate(rollouts):
            own, leaf = divmod(place, count), rollout.growing.nodes[rollout.node]
            success[own] = leaf.reward is not None and leaf.reward >= self.world.success_at
            path = rollout.growing.frozen().path(rollout.node)
            cost[own] = budget.cost([rollout.growing.nodes[i] for i in path if i > rollout.origin.anchor], unit)
        return success.mean(axis=1), cost.mean(axis=1)

    def _play_out(self, waiting: list[_Rollout], next_round: NextRound | None) -> None:
        """Plays rollouts to their ends, wave by wave, and the rounds that follow them."""
        while waiting:
            requests = [self._request(rollout) for rollout in waiting]
            turns = self.sampler.sample(requests)
            going = []
            for rollout, turn in zip(waiting, turns, strict=True):
                if self._advance(rollout, turn):
                    going.append(rollout)
                elif rollout.growing.running == 0 and next_round is not None:
                    going += self._go_on(rollout.growing, next_round)
            waiting = going

    def _go_on(self, growing: _Growing, next_round: NextRound) -> list[_Rollout]:
        return self._start(next_round(growing.frozen()), self._growing)

    def _start(self, allocation: Allocation, trees: Mapping[tuple[int, str], _Growing]) -> list[_Rollout]:
        """Returns the rollouts that an allocation asks for, each standing at its anchor."""
        started, prediction = [], allocation.prediction
        for rank, (anchor, count) in enumerate(zip(allocation.anchors, allocation.counts.tolist(), strict=True)):
            growing = trees[anchor.tree.step, anchor.tree.task.id]
            outcome = None
            if anchor.node:
                outcome = growing.nodes[anchor.tree.incumbent(anchor.node)].reward
            origin = Origin(
                kind="continuation" if anchor.node else "bare",
                round=growing.rounds,
                anchor=anchor.node,
                count=count,
                gain=_number(allocation.gains[rank]),
                rank=rank,
                prediction=_number(prediction.mean[rank]),
                strength=_number(prediction.strength[rank]),
                cost=float(prediction.cost[rank]),
                outcome=outcome,
                propensity=_number(allocation.propensities[rank]),
            )
            prefix, turns = growing.prefixes[anchor.node], anchor.tree.depth(anchor.node)
            for _ in range(count):
                if anchor.node:
                    env = continue_from(self.world.make, growing.forks[anchor.node])
                else:
                    env = self.world.make()
                    env.reset(growing.tree.task)
                number, growing.rollouts = growing.rollouts, growing.rollouts + 1
                growing.running += 1
                history = prefix.token_ids
                started.append(_Rollout(growing, number, origin, anchor.node, turns, env, history, prefix))
        for growing in {id(rollout.growing): rollout.growing for rollout in started}.values():
            growing.rounds += 1
        self.spent += Spent(rollouts=len(started))
        return started

    def _request(self, rollout: _Rollout) -> TurnRequest:
        tree = rollout.growing.tree
        new = rollout.history[len(rollout.computed.token_ids) :]
        seed = derive(self.seed, rollout.growing.draws, tree.step, tree.task.id, rollout.number, rollout.turns)
        return TurnRequest(rollout.computed, new, self.turn_tokens, seed)

    def _advance(self, rollout: _Rollout, turn: Turn) -> bool:
        """Plays a sampled turn and stores its node; returns whether the rollout goes on."""
        growing = rollout.growing
        self._remember(growing, rollout.node, turn.prefix)
        action = self.dialogue.action(turn.token_ids)
        cause, reward, observation, answered = self._play(rollout, action)
        written = np.empty(0, np.int32)
        if cause is None:
            written = self.dialogue.observation(observation, stopped=turn.stopped)
            length = len(rollout.history) + len(turn.token_ids) + len(written)
            if rollout.turns + 1 >= self.max_turns:
                cause, reward = "turn limit", 0.0
            elif length + self.turn_tokens > self.sampler.context:
                cause, reward = "token limit", 0.0
            if cause is not None:  # no turn follows, so nobody reads what was written
                written = written[:0]
        self.spent += Spent(
            turns=1, sampled_tokens=len(turn.token_ids), computed_tokens=turn.computed_tokens, tool_calls=int(answered)
        )
        told = {"text": action, "observation": observation, "reward": reward, "stop_reason": cause}
        growing.nodes.append(_node(rollout, turn, written, **told))
        rollout.history = np.concatenate([rollout.history, turn.token_ids, written])
        rollout.computed = turn.ahead
        rollout.node = len(growing.nodes) - 1
        rollout.turns += 1
        if cause is not None:
            growing.running -= 1
            return False
        if self.forks:
            growing.forks[rollout.node] = fork_point(rollout.env)
        return True

    def _play(self, rollout: _Rollout, action: str) -> tuple[str | None, float | None, str, bool]:
        """Returns the cause of an end (None: it goes on), the reward, the observation, and whether a tool answered."""
        try:
            answer = rollout.env.step(action)
        except EnvError as error:
            return f"error: {error}", 0.0, "", False
        if isinstance(answer, Done):
            return "answer", float(answer.reward), answer.text, False
        return None, None, answer.text, True

    def _remember(self, growing: _Growing, node: int, prefix: Prefix) -> None:
        """Keeps what was computed at a node, for the predictor and for continuations."""
        if node in growing.prefixes:
            return
        growing.prefixes[node] = prefix if self.forks else replace(prefix, kept=None)
        growing.nodes[node] = replace(growing.nodes[node], hidden=prefix.hidden)


def _node(rollout: _Rollout, turn: Turn, written: NDArray[np.int32], **told: Any) -> Node:
    """Returns the node of a turn: its sampled tokens, then those that the environment wrote."""
    sampled, total = len(turn.token_ids), len(turn.token_ids) + len(written)
    mask = np.zeros(total, dtype=np.bool_)
    mask[:sampled] = True
    logprobs = np.zeros(total, dtype=np.float32)
    logprobs[:sampled] = turn.logprobs
    token_ids = np.concatenate([turn.token_ids, written])
    return Node(rollout.node, token_ids, mask, logprobs, origin=rollout.origin, **told)


def _number(value: float) -> float | None:
    """Returns a finite number as itself, and NaN and infinity as None."""
    return float(value) if np.isfinite(value) else None
