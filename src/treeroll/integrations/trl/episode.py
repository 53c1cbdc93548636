"""One rollout of TRL as an environment that can be continued from its middle."""

from __future__ import annotations

import copy
from typing import Any, Self

from treeroll.envs.base import Done, Observation
from treeroll.errors import ConfigError, EnvError
from treeroll.integrations.trl.host import Host, opened
from treeroll.integrations.trl.wording import Verdict, Words
from treeroll.tree import Task


class Episode:
    """A prompt, turns and tool calls, as TRL plays them.

    A turn without a tool call is the answer. A turn whose tools may not be called any more
    (max_tool_calling_iterations) ends the rollout, and so does one after whose tools no room is left for another turn;
    both are judged as they are.

    Args:
      host: the trainer.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._environment: Any = None
        self._task: Task | None = None
        self._ids: tuple[int, ...] = ()
        self._messages: tuple[Any, ...] = ()
        self._iterations = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Returns a copy with an environment of its own. The rest is shared: it is replaced, never changed."""
        twin = copy.copy(self)
        twin._environment = copy.deepcopy(self._environment, memo)
        return twin

    def reset(self, task: Task) -> None:
        """Starts a rollout.

        Raises:
          ConfigError: the environment starts in other words than it did for the task's other rollouts.
        """
        self._task, self._ids, self._messages, self._iterations = task, (), (), 0
        self._environment = self._host.environment(task.data["environment"])
        if self._environment is not None:
            said = self._environment.reset(**task.data["reset"])
            if opened(task.data["asked"], said) != task.data["prompt"]:
                raise ConfigError(
                    f"the environment of a task starts with {str(said)[:80]!r}, and started otherwise before. All "
                    "rollouts of a tree have the same prompt: make reset() depend on the row alone"
                )

    def step(self, action: str) -> Observation | Done:
        """Takes one turn.

        Raises:
          EnvError: no episode, or a text without its tokens.
        """
        if self._task is None or not isinstance(action, Words):
            raise EnvError("no episode, or a turn that does not come from the trainer's dialogue")
        data, host = self._task.data, self._host
        chat = not isinstance(data["prompt"], str)
        prompt = data["ids"]
        message = host.message(action.token_ids, (*prompt, *self._ids), data["environment"], chat)
        self._ids += action.token_ids
        self._messages += (message,)
        calls = message.get("tool_calls") if chat and host.trainer.tools else None
        if not calls or self._iterations >= host.iterations:
            return self._ended()
        answers = host.answered(calls, self._environment)
        suffix = host.suffix(answers)
        room = min(host.completion, host.context - len(prompt))
        if len(self._ids) + len(suffix) >= room:
            return self._ended()
        self._ids += tuple(suffix)
        self._messages += tuple(answers)
        self._iterations += 1
        return Observation(Words("\n".join(str(answer["content"]) for answer in answers), suffix))

    def _ended(self) -> Done:
        assert self._task is not None
        data = self._task.data
        completion: Any = list(self._messages) if not isinstance(data["prompt"], str) else "".join(self._messages)
        reward, judged = self._host.judge(data["row"], data["prompt"], completion, self._ids, self._environment)
        return Done(reward, Verdict("", judged))
