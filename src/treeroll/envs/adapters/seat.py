"""A conversation of verifiers with one agent played from outside: an event loop that stops where a reply is wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Never

from treeroll.envs.adapters.adapted import joined
from treeroll.errors import EnvError, require

GRACE = 1.0
"""Seconds that an abandoned episode has to end itself."""


class Exchange:
    """One episode: the env's `setup`, `run` and `finalize`, paused between two replies.

    Args:
      env: an `Env` of verifiers.
      task: a task of verifiers.
      seat: the agent whose replies come from outside.
    """

    def __init__(self, env: Any, task: Any, seat: str) -> None:
        self._env, self._task, self._name = env, task, seat
        vf = require("verifiers.v1", "verifiers")
        self.episode = vf.Episode(env=vf.EnvInfo(id=env.config.env_id), task=_record(task))
        agents = vf.Agents(env.config, self._sit)
        self._asked = asyncio.Event()
        self._said = ""
        self._reply: asyncio.Future[str] | None = None
        self._loop = asyncio.new_event_loop()
        self._playing = self._play(agents)
        self._run = self._loop.create_task(self._playing)

    def __deepcopy__(self, memo: dict[int, Any]) -> Never:
        raise TypeError("an episode of verifiers is a running coroutine and cannot be copied; use forking=replay")

    def __del__(self) -> None:
        if hasattr(self, "_run"):  # not where __init__ failed
            self.close()

    def go_on(self, reply: str | None = None) -> str | None:
        """Runs until the seat is asked; returns what it is told, or None where the episode is over.

        Args:
          reply: the seat's reply to what it was told last; None at the start.
        """
        self._asked.clear()
        if reply is not None and self._reply is not None:
            waiting, self._reply = self._reply, None
            waiting.set_result(reply)
        self._loop.run_until_complete(self._pause())
        if self._reply is not None:
            return self._said
        self._run.result()  # what run() raised is raised here
        return None

    def reward(self) -> float:
        """Returns the reward of the seat's conversation.

        Raises:
          EnvError: there is none, or several.
        """
        traces = [trace for trace in self.episode.traces if trace.agent.name == self._name]
        if len(traces) != 1:
            raise EnvError(f"run() had {len(traces)} conversations with agent {self._name!r}; exactly 1 can be scored")
        return float(traces[0].reward)

    def close(self) -> None:
        """Ends what still runs; may be called again."""
        if self._loop.is_closed():
            return
        if not _looping():
            self._run.cancel()
            self._loop.run_until_complete(asyncio.wait([self._run], timeout=GRACE))
            if self._run.done() and not self._run.cancelled():
                self._run.exception()  # of an episode that nobody waits for: read, or asyncio would log it
        elif not self._run.done():  # garbage collection came here from within another loop: no second one can run
            self._run._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(RuntimeError):
                self._playing.close()
        self._loop.close()

    async def ask(self, said: str) -> str:
        """Tells the seat something and waits for its reply.

        Raises:
          EnvError: it is asked twice at the same time.
        """
        if self._reply is not None:
            raise EnvError(f"run() asks agent {self._name!r} for two replies at once; only one after the other works")
        self._said, self._reply = said, self._loop.create_future()
        self._asked.set()
        return await self._reply

    async def _play(self, agents: Any) -> None:
        await self._env.setup(agents)
        await self._env.run(self._task, agents)
        await self._env.finalize(self._task, self.episode)

    async def _pause(self) -> None:
        """Waits until the seat is asked or the episode is over."""
        asked = asyncio.ensure_future(self._asked.wait())
        await asyncio.wait({asked, self._run}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()

    def _sit(self, name: str, config: Any) -> Any:
        return Seat(self, config, name) if name == self._name else _Empty(name)


class Seat:
    """Stands for an `Agent` of verifiers: its replies come from `Exchange.ask`."""

    def __init__(self, exchange: Exchange, config: Any, name: str) -> None:
        self.exchange, self.config, self.name = exchange, config, name
        self.trainable = True

    async def run(self, task: Any, **options: Any) -> Any:
        """Plays a task that speaks first and is answered once; returns its trace."""
        async with self.interaction(task, **options) as talk:
            await talk.turn()
        return talk.trace

    @contextlib.asynccontextmanager
    async def interaction(self, task: Any, **options: Any) -> AsyncIterator[Talk]:
        """Opens a conversation about a task; it is scored when it is left.

        Raises:
          EnvError: a runtime or tools are handed over, which nothing here could use.
        """
        if any(value for value in options.values()):
            raise EnvError(f"run() hands {', '.join(options)} to agent {self.name!r}, which plays in plain text only")
        talk = Talk(self, task)
        yield talk
        trace = talk.trace
        if trace.stop_condition is None:
            trace.stop("user_closed")
        await task.score(trace)
        trace.is_completed = trace.ok = True
        self.exchange.episode.traces.append(trace)


class Talk:
    """Stands for an `Interaction` of verifiers: a conversation turn by turn, and its trace."""

    def __init__(self, seat: Seat, task: Any) -> None:
        vf, state = require("verifiers.v1", "verifiers"), require("verifiers.v1.state", "verifiers")
        info = vf.AgentInfo(config=seat.config, name=seat.name, trainable=seat.trainable)
        self.trace = vf.Trace(task=_record(task), state=state.state_cls(type(task))(), agent=info)
        self._seat, self._vf = seat, vf
        self._messages: list[Any] = []
        self._opening = _opening(vf, task.data)
        self._prompted = task.data.prompt is not None

    async def turn(self, message: str | Sequence[Any] | None = None) -> Any:
        """Says something to the agent and returns its answer, a `Segment`.

        Args:
          message: what the user says; None where the task's prompt opens the conversation.

        Raises:
          ValueError: nobody says anything, or the prompt and a message both want to be first.
        """
        first = not self._messages
        if (message is None) != (first and self._prompted):
            raise ValueError("a task with a prompt opens with a bare turn(); every other turn takes a message")
        new = list(self._opening) if first else []
        if isinstance(message, str):
            new.append(self._vf.UserMessage(content=message))
        elif message is not None:
            parse = require("verifiers.v1.dialects.chat", "verifiers").parse_message
            new += [parse(one) if isinstance(one, dict) else one for one in message]
        limit = self._seat.config.max_turns
        if limit is not None and self.trace.num_turns >= limit:
            self.trace.stop("max_turns")
            return self._vf.Segment(messages=[], terminated=True)
        text = require("verifiers.v1.types", "verifiers").content_text
        said = joined(*(text(one.content) for one in new))
        reply = self._vf.AssistantMessage(content=await self._seat.exchange.ask(said))
        turn = require("verifiers.v1.graph", "verifiers").prepare_turn(self.trace, [*self._messages, *new])
        turn.commit(self._vf.Response(id="", created=0, model="policy", message=reply, finish_reason="stop"))
        self._messages += [*new, reply]
        return self._vf.Segment(messages=[reply])


class _Empty:
    """The seat of an agent that nobody plays."""

    trainable = False

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Callable[..., Any]:
        raise EnvError(
            f"run() uses agent {self._name!r} ({attribute}), but only one agent is played here: the policy's"
        )


def _looping() -> bool:
    """Returns whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _record(task: Any) -> Any:
    """Returns what a trace says of its task."""
    vf = require("verifiers.v1", "verifiers")
    return vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)


def _opening(vf: Any, data: Any) -> list[Any]:
    """Returns the messages that a task opens with: its system words and its prompt."""
    opening = [] if data.system_prompt is None else [vf.SystemMessage(content=data.system_prompt)]
    if isinstance(data.prompt, str):
        return [*opening, vf.UserMessage(content=data.prompt)]
    return [*opening, *(data.prompt or ())]
