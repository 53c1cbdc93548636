"""The engine: the only place where environments meet samplers.

`plant` turns tasks into trees of one node each; `extend` samples what an allocation asks for and returns larger
trees. Rollouts advance together, one turn a wave, so that the sampler always sees a full batch. As soon as the
last rollout of a task's round is in, the task's next round is asked for and joins the very next wave: no task waits
for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from treeroll import budget
from treeroll.allocation.base import Allocation
from treeroll.budget import Spent, Unit
from treeroll.envs.base import Done, Env, Observation, World
from treeroll.envs.forking import REPLAY
from treeroll.envs.stage import Branch, Kept, Stage
from treeroll.envs.tools import Failure, observed
from treeroll.errors import SamplerError
from treeroll.predictor.base import Prediction
from treeroll.samplers.base import Dialogue, Prefix, Sampler, Turn, TurnRequest
from treeroll.seeding import derive
from treeroll.tree import Anchor, Node, Origin, RolloutTree, Task

NextRound = Callable[[RolloutTree], Allocation]
"""Decides one task's next rollouts from its own tree; nothing, when the task is done."""

Answer: TypeAlias = Observation | Done | Failure


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
    lost: bool = False
    """Whether another environment has just taken the place of `env`, and has not seen the last action."""


@dataclass(eq=False)
class _Growing:
    """A tree while it grows, with what is needed to go on from its prefixes."""

    tree: RolloutTree
    nodes: list[Node]
    prefixes: dict[int, Prefix]
    forks: dict[int, Kept] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    """Nodes whose environment was lost: the one that took its place has not seen their action."""
    rollouts: int = 0
    running: int = 0
    rounds: int = 0
    draws: str = "turn"
    """First part of the address of its draws."""

    def frozen(self) -> RolloutTree:
        return replace(self.tree, nodes=tuple(self.nodes))

    def branch(self, node: int) -> Branch:
        """Returns what is needed to stand at a node again; without a fork that is replay, at the root a new start."""
        kept, history = self.forks.get(node, REPLAY), []
        while kept is REPLAY and node > 0:
            if node not in self.lost:
                history.append((self.nodes[node].text, self.nodes[node].observation))
            node = self.nodes[node].parent
        return Branch(kept, self.tree.task, history[::-1])


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
    ) -> None:
        self.world, self.sampler, self.dialogue, self.seed = world, sampler, dialogue, seed
        self.max_turns = max_turns or world.max_turns
        self.turn_tokens = turn_tokens or world.turn_tokens
        self.forks, self.tool_errors = forks, tool_errors
        self.stage = Stage(world, workers=tool_workers, seconds=tool_seconds)
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
          SamplerError: an anchor is a prefix, and the engine keeps nothing to branch from, or its world cannot.
        """
        shadows: dict[tuple[int, str], _Growing] = {}
        for key in {(anchor.tree.step, anchor.tree.task.id) for anchor in anchors}:
            growing = self._growing[key]
            kept = dict(growing.prefixes), dict(growing.forks), set(growing.lost)
            shadows[key] = _Growing(growing.tree, list(growing.nodes), *kept, draws="probe")
        spent, mishaps, blank = self.spent, self.stage.mishaps, np.full(len(anchors), np.nan)
        counts = np.full(len(anchors), count, dtype=np.int64)
        prediction = Prediction(blank, blank, np.ones(len(anchors)))
        plan = Allocation(tuple(anchors), counts, blank, prediction, blank, float(counts.sum()))
        rollouts = self._start(plan, shadows)
        if len(rollouts) < plan.rollouts:
            raise SamplerError(
                "a prefix cannot be probed, since no episode can be continued from it: "
                f"{' '.join(self.stage.take_notes())}. Take a predictor that does not probe"
            )
        self._play_out(rollouts, None)
        self.spent, self.stage.mishaps = spent, mishaps
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
            turns = self.sampler.sample([self._request(rollout) for rollout in waiting])
            actions = [self.dialogue.action(turn.token_ids) for turn in turns]
            answers = self._act(waiting, actions)
            going, ahead = [], []
            for rollout, turn, action, answer in zip(waiting, turns, actions, answers, strict=True):
                if self._advance(rollout, turn, action, answer):
                    going.append(rollout)
                    ahead.append(rollout)
                elif rollout.growing.running == 0 and next_round is not None:
                    going += self._go_on(rollout.growing, next_round)
            if self.forks:
                for rollout, (env, kept) in zip(ahead, self.stage.keep([it.env for it in ahead]), strict=True):
                    rollout.env, rollout.growing.forks[rollout.node] = env, kept
            waiting = going

    def _act(self, rollouts: Sequence[_Rollout], actions: Sequence[str]) -> list[Answer]:
        """Returns what the environments answer; failures as observations, where that is wanted and the episode can."""
        answers: list[Answer] = self.stage.step([rollout.env for rollout in rollouts], actions)
        if self.tool_errors == "fail":
            return answers
        failed = {place: said for place, said in enumerate(answers) if isinstance(said, Failure)}
        lost = [place for place, failure in failed.items() if failure.kind in {"hung", "lost"}]
        branches = [rollouts[place].growing.branch(rollouts[place].node) for place in lost]
        for place, env in zip(lost, self._continue(branches), strict=True):
            if isinstance(env, Failure):
                del failed[place]
            else:
                rollouts[place].env, rollouts[place].lost = env, True
        for place, failure in failed.items():
            answers[place] = Observation(observed(failure))
        return answers

    def _go_on(self, growing: _Growing, next_round: NextRound) -> list[_Rollout]:
        return self._start(next_round(growing.frozen()), self._growing)

    def _start(self, allocation: Allocation, trees: Mapping[tuple[int, str], _Growing]) -> list[_Rollout]:
        """Returns the rollouts that an allocation asks for, each standing at its anchor.

        A prefix from which one of its continuations cannot start gets none: they are counted as withdrawn, and their
        budget is left.
        """
        plan = list(zip(allocation.anchors, allocation.counts.tolist(), strict=True))
        started, opened = [], self._open(plan, trees)
        for rank, ((anchor, count), envs) in enumerate(zip(plan, opened, strict=True)):
            growing = trees[anchor.tree.step, anchor.tree.task.id]
            if failures := [env for env in envs if isinstance(env, Failure)]:
                self.stage.withdraw(count, failures[0])
                continue
            origin = _origin(allocation, rank, growing)
            prefix, turns = growing.prefixes[anchor.node], anchor.tree.depth(anchor.node)
            for env in envs:
                assert not isinstance(env, Failure)
                number, growing.rollouts = growing.rollouts, growing.rollouts + 1
                growing.running += 1
                history = prefix.token_ids
                started.append(_Rollout(growing, number, origin, anchor.node, turns, env, history, prefix))
        for growing in {id(rollout.growing): rollout.growing for rollout in started}.values():
            growing.rounds += 1
        self.spent += Spent(rollouts=len(started))
        return started

    def _open(
        self, plan: Sequence[tuple[Anchor, int]], trees: Mapping[tuple[int, str], _Growing]
    ) -> list[list[Env | Failure]]:
        """Returns the environments of each anchor's rollouts, or why there is none."""
        if not self.forks and any(anchor.node for anchor, _ in plan):
            raise SamplerError("this engine was made with forks=False, so nothing starts at a prefix. Use forks=True")
        tasks = [anchor.tree.task for anchor, count in plan if not anchor.node for _ in range(count)]
        branches = [
            branch
            for anchor, count in plan
            if anchor.node
            for branch in [trees[anchor.tree.step, anchor.tree.task.id].branch(anchor.node)] * count
        ]
        bare, continued = iter(self.stage.open(tasks)), iter(self._continue(branches))
        return [list(islice(continued if anchor.node else bare, count)) for anchor, count in plan]

    def _continue(self, branches: Sequence[Branch]) -> list[Env | Failure]:
        """Returns environments that stand at branches; replayed actions are charged."""
        before = self.stage.mishaps.replayed
        envs = self.stage.go_on(branches)
        self.spent += Spent(tool_calls=self.stage.mishaps.replayed - before)
        return envs

    def _request(self, rollout: _Rollout) -> TurnRequest:
        tree = rollout.growing.tree
        new = rollout.history[len(rollout.computed.token_ids) :]
        seed = derive(self.seed, rollout.growing.draws, tree.step, tree.task.id, rollout.number, rollout.turns)
        return TurnRequest(rollout.computed, new, self.turn_tokens, seed)

    def _advance(self, rollout: _Rollout, turn: Turn, action: str, answer: Answer) -> bool:
        """Stores the node of a turn that was played; returns whether the rollout goes on."""
        growing = rollout.growing
        self._remember(growing, rollout.node, turn.prefix)
        cause, reward, observation, answered = _judged(answer)
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
        if rollout.lost:
            growing.lost.add(rollout.node)
            rollout.lost = False
        if cause is not None:
            growing.running -= 1
            return False
        return True

    def _remember(self, growing: _Growing, node: int, prefix: Prefix) -> None:
        """Keeps what was computed at a node, for the predictor and for continuations."""
        if node in growing.prefixes:
            return
        branches = self.forks and self.stage.ladder.method != "roots"
        growing.prefixes[node] = prefix if branches else replace(prefix, kept=None)
        growing.nodes[node] = replace(growing.nodes[node], hidden=prefix.hidden)


def _judged(answer: Answer) -> tuple[str | None, float | None, str, bool]:
    """Returns the cause of an end (None: it goes on), the reward, the observation, and whether a tool answered."""
    if isinstance(answer, Failure):
        return f"error: {answer.cause}", 0.0, "", False
    if isinstance(answer, Done):
        return "answer", float(answer.reward), answer.text, False
    return None, None, answer.text, True


def _origin(allocation: Allocation, rank: int, growing: _Growing) -> Origin:
    """Returns why the rollouts of one of an allocation's anchors are sampled."""
    anchor, prediction = allocation.anchors[rank], allocation.prediction
    outcome = growing.nodes[anchor.tree.incumbent(anchor.node)].reward if anchor.node else None
    return Origin(
        kind="continuation" if anchor.node else "bare",
        round=growing.rounds,
        anchor=anchor.node,
        count=int(allocation.counts[rank]),
        gain=_number(allocation.gains[rank]),
        rank=rank,
        prediction=_number(prediction.mean[rank]),
        strength=_number(prediction.strength[rank]),
        cost=float(prediction.cost[rank]),
        outcome=outcome,
        propensity=_number(allocation.propensities[rank]),
    )


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
