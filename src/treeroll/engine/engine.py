"""Samples the rollouts of one world with one sampler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll import budget
from treeroll.allocation.base import Allocation
from treeroll.budget import Spent, Unit
from treeroll.engine.flight import Meter
from treeroll.engine.growing import Answer, Growing, Rollout, judged, node_of, origin_of
from treeroll.engine.stream import Streaming
from treeroll.engine.waves import Waves
from treeroll.envs.base import Env, World
from treeroll.envs.stage import Branch, Stage
from treeroll.envs.tools import Failure
from treeroll.errors import SamplerError
from treeroll.predictor.base import Prediction
from treeroll.samplers.base import Dialogue, Prefix, Sampler, Turn, TurnRequest
from treeroll.seeding import derive
from treeroll.tree import Anchor, Node, RolloutTree, Task

NextRound: TypeAlias = Callable[[RolloutTree], Allocation]
"""Decides one task's next rollouts from its own tree; nothing, when the task is done."""

Playing: TypeAlias = Literal["waves", "stream"]
"""How rollouts advance; see `treeroll.engine`."""


class Cancelled(Exception):  # noqa: N818 - nothing went wrong
    """Sampling was broken off by `Engine.cancel`."""


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
      tool_workers: environments that step at the same time; the world's own number where None.
      tool_seconds: wall seconds that a step or a reset may take; the world's own where None.
      tool_errors: what an environment's failure (an exception, no answer in time, an answer that is none) becomes:
        `fail`, a failed rollout with its cause; `observe`, an observation "Error: ...", and the episode goes on. One
        whose environment was lost goes on in another that stands before the action; where there is none, it fails.
      playing: how rollouts advance.
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
        tool_workers: int | None = None,
        tool_seconds: float | None = None,
        tool_errors: Literal["fail", "observe"] = "fail",
        playing: Playing = "waves",
    ) -> None:
        self.world, self.sampler, self.dialogue, self.seed = world, sampler, dialogue, seed
        self.max_turns = max_turns or world.max_turns
        self.turn_tokens = turn_tokens or world.turn_tokens
        self.forks, self.tool_errors, self.playing = forks, tool_errors, playing
        self.stage = Stage(world, workers=tool_workers, seconds=tool_seconds)
        self.spent = Spent()
        """All that was sampled through this engine."""
        self.meter = Meter()
        """What was in flight since trees were last planted."""
        self._growing: dict[tuple[int, str], Growing] = {}
        self._streaming = False
        self._cancelled = threading.Event()

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
        self.meter = Meter()
        with self.meter.during("turns", len(prompts)):
            prefixes = self.sampler.plant(prompts)
        self.spent += Spent(computed_tokens=sum(prefix.computed_tokens for prefix in prefixes))
        for task, prompt, prefix in zip(tasks, prompts, prefixes, strict=True):
            blank = np.zeros(len(prompt), dtype=np.bool_)
            logprobs = np.zeros(len(prompt), dtype=np.float32)
            root = Node(-1, prompt, blank, logprobs, text=task.prompt, hidden=prefix.hidden)
            tree = RolloutTree(task, (root,), self.sampler.version, self.seed, step, self.world.success_at)
            self._growing[step, task.id] = Growing(tree, [root], {0: prefix})
        return [growing.frozen() for growing in self._growing.values()]

    def release(self) -> None:
        """Forgets what is kept of the planted trees (keys, values, snapshots); they cannot be extended any more."""
        self._growing.clear()

    def cancel(self) -> None:
        """Lets a sampling that goes on in another thread, and all later ones, end with `Cancelled`, as soon as the
        turns and tools in flight allow. What was sampled stays charged."""
        self._cancelled.set()

    def check_cancelled(self) -> None:
        """Raises `Cancelled` after `cancel`."""
        if self._cancelled.is_set():
            raise Cancelled("sampling was broken off")

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
        grown = [self._growing[tree.step, tree.task.id] for tree in forest]
        if self.playing == "waves":
            Waves(self, next_round).extend(allocation, grown)
        else:
            self._streaming = True
            try:
                Streaming(self, next_round).extend(allocation, grown)
            finally:
                self._streaming = False
        self.meter.barrier()
        return [growing.frozen() for growing in grown]

    def probe(
        self, anchors: Sequence[Anchor], count: int, unit: Unit
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns [K] the share of successes and [K] the mean cost of `count` rollouts from each of K anchors.

        They enter no tree and are not charged: what they tell is for an oracle, which no real run has. They are played
        in waves, so not while rollouts are in flight.

        Raises:
          SamplerError: an anchor is a prefix, and the engine keeps nothing to branch from, or its world cannot; or
            rollouts are in flight.
        """
        if self._streaming:
            raise SamplerError(
                "a predictor that probes cannot be asked while rollouts are in flight. Use sampling.engine=waves, or "
                "another predictor"
            )
        shadows: dict[tuple[int, str], Growing] = {}
        for key in {(anchor.tree.step, anchor.tree.task.id) for anchor in anchors}:
            growing = self._growing[key]
            kept = dict(growing.prefixes), dict(growing.forks), set(growing.lost)
            shadows[key] = Growing(growing.tree, list(growing.nodes), *kept, draws="probe")
        spent, mishaps, blank = self.spent, self.stage.mishaps, np.full(len(anchors), np.nan)
        meter, self.meter = self.meter, Meter()
        counts = np.full(len(anchors), count, dtype=np.int64)
        prediction = Prediction(blank, blank, np.ones(len(anchors)))
        plan = Allocation(tuple(anchors), counts, blank, prediction, blank, float(counts.sum()))
        rollouts = self.start(plan, shadows)
        if len(rollouts) < plan.rollouts:
            raise SamplerError(
                "a prefix cannot be probed, since no episode can be continued from it: "
                f"{' '.join(self.stage.take_notes())}. Take a predictor that does not probe"
            )
        Waves(self, None).play(list(rollouts))
        self.spent, self.stage.mishaps, self.meter = spent, mishaps, meter
        success, cost = np.zeros((2, len(anchors), count))
        for place, rollout in enumerate(rollouts):
            own, leaf = divmod(place, count), rollout.growing.nodes[rollout.node]
            success[own] = leaf.reward is not None and leaf.reward >= self.world.success_at
            path = rollout.growing.frozen().path(rollout.node)
            cost[own] = budget.cost([rollout.growing.nodes[i] for i in path if i > rollout.origin.anchor], unit)
        return success.mean(axis=1), cost.mean(axis=1)

    def growing(self, tree: RolloutTree) -> Growing:
        """Returns what a planted tree grows in."""
        return self._growing[tree.step, tree.task.id]

    def start(self, allocation: Allocation, trees: Mapping[tuple[int, str], Growing] | None = None) -> list[Rollout]:
        """Returns the rollouts that an allocation asks for, each standing at its anchor; waits for all environments.

        Args:
          allocation: what to start.
          trees: by step and task, what its rollouts grow in; the planted ones where None.
        """
        trees = self._growing if trees is None else trees
        plan = [
            (trees[anchor.tree.step, anchor.tree.task.id], anchor.node, int(count))
            for anchor, count in zip(allocation.anchors, allocation.counts.tolist(), strict=True)
        ]
        self.check_branches(allocation)
        tasks = [growing.tree.task for growing, node, count in plan if not node for _ in range(count)]
        branches = [
            branch for growing, node, count in plan if node and count for branch in [growing.branch(node)] * count
        ]
        with self.meter.during("calls", len(tasks) + len(branches)):
            bare, continued = iter(self.stage.open(tasks)), iter(self.go_on(branches))
        opened = [list(islice(continued if node else bare, count)) for _, node, count in plan]
        started = []
        for rank, ((growing, _, _), envs) in enumerate(zip(plan, opened, strict=True)):
            started += self.begin(growing, allocation, rank, envs)
        for growing in {id(rollout.growing): rollout.growing for rollout in started}.values():
            growing.rounds += 1
        return started

    def check_branches(self, allocation: Allocation) -> None:
        """Raises `SamplerError` where an allocation starts at prefixes, and nothing is kept for that."""
        if not self.forks and any(anchor.node for anchor in allocation.anchors):
            raise SamplerError("this engine was made with forks=False, so nothing starts at a prefix. Use forks=True")

    def begin(
        self, growing: Growing, allocation: Allocation, rank: int, envs: Sequence[Env | Failure]
    ) -> list[Rollout]:
        """Returns the rollouts of one of an allocation's anchors, standing there in their environments.

        A prefix from which one of its continuations cannot start gets none: they are counted as withdrawn, and their
        budget is left.
        """
        if not envs:  # another process plays this anchor's rollouts
            return []
        if failures := [env for env in envs if isinstance(env, Failure)]:
            self.stage.withdraw(len(envs), failures[0])
            return []
        anchor = allocation.anchors[rank]
        origin, prefix = origin_of(allocation, rank, growing), growing.prefixes[anchor.node]
        turns, started = anchor.tree.depth(anchor.node), []
        for env in envs:
            assert not isinstance(env, Failure)
            number, growing.rollouts = growing.rollouts, growing.rollouts + 1
            growing.running += 1
            started.append(Rollout(growing, number, origin, anchor.node, turns, turns, env, prefix.token_ids, prefix))
        self.spent += Spent(rollouts=len(started))
        return started

    def go_on(self, branches: Sequence[Branch]) -> list[Env | Failure]:
        """Returns environments that stand at branches; replayed actions are charged."""
        before = self.stage.mishaps.replayed
        envs = self.stage.go_on(branches)
        self.charge(self.stage.mishaps.replayed - before)
        return envs

    def charge(self, replayed: int) -> None:
        """Charges actions that were taken again to continue from a prefix."""
        self.spent += Spent(tool_calls=replayed)

    def request(self, rollout: Rollout) -> TurnRequest:
        """Returns the request for a rollout's next turn."""
        tree = rollout.growing.tree
        new = rollout.history[len(rollout.computed.token_ids) :]
        seed = derive(self.seed, rollout.growing.draws, tree.step, tree.task.id, rollout.number, rollout.turns)
        return TurnRequest(rollout.computed, new, self.turn_tokens, seed)

    def advance(self, rollout: Rollout, turn: Turn, action: str, answer: Answer) -> bool:
        """Stores the node of a turn that was played; returns whether the rollout goes on."""
        growing = rollout.growing
        self._remember(growing, rollout.node, turn.prefix)
        cause, reward, observation, answered = judged(answer)
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
        growing.nodes.append(node_of(rollout, turn, written, **told))
        growing.made.append((rollout.turns - rollout.began, rollout.number))
        rollout.history = np.concatenate([rollout.history, turn.token_ids, written])
        rollout.computed = turn.ahead
        rollout.node = len(growing.nodes) - 1
        rollout.turns += 1
        if rollout.lost:
            growing.lost.add(rollout.node)
            rollout.lost = False
        if cause is not None:
            growing.running -= 1
            self.meter.landed()
            return False
        return True

    def _remember(self, growing: Growing, node: int, prefix: Prefix) -> None:
        """Keeps what was computed at a node, for the predictor and for continuations."""
        if node in growing.prefixes:
            return
        branches = self.forks and self.stage.ladder.method != "roots"
        growing.prefixes[node] = prefix if branches else replace(prefix, kept=None)
        growing.nodes[node] = replace(growing.nodes[node], hidden=prefix.hidden)
