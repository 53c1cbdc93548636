"""What is compared: runs that something disturbed, with runs that nothing did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest

from treeroll.envs.base import Done, Env, Forkable, Observation
from treeroll.envs.conformance.play import Episode, Player, Said, same, text
from treeroll.envs.conformance.report import Difference
from treeroll.envs.forking import Fork, around
from treeroll.envs.tools import Failure, Tools


@dataclass(eq=False)
class Comparisons:
    """Makes them, counts them, and keeps the first difference of each check."""

    player: Player
    compared: dict[str, int] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    forks: int = 0

    def compare(self, check: str, episode: Episode, found: Iterable[Said], fork: int | None = None) -> bool:
        """Compares answers with an episode's, from its start or from a fork; returns whether they are the same."""
        self.compared[check] = self.compared.get(check, 0) + 1
        start = fork or 0
        for turn, (before, now) in enumerate(zip_longest(episode.said[start:], found), start=start + 1):
            if before is None or now is None or not same(before, now):
                self._differs(check, episode, turn, _told(before, now), fork)
                return False
        return True

    def answers(self, episode: Episode) -> None:
        """Checks that an episode was answered as it should be; an `EnvError` is an environment's right."""
        self.compared["answers"] = self.compared.get("answers", 0) + 1
        for turn, said in enumerate(episode.said, start=1):
            if isinstance(said, Failure) and said.kind != "failed":
                where = f" ({said.where})" if said.where else ""
                self._differs("answers", episode, turn, ("Observation, Done or EnvError", f"{said.cause}{where}"))

    def repeat(self, episode: Episode) -> None:
        """Plays an episode again in another instance."""
        self.compare("repeat", episode, self.player.play(self.player.open(episode.task), episode.actions))

    def interleaved(self, one: Episode, other: Episode) -> None:
        """Plays two episodes in turns, each in an instance of its own."""
        runs = [self.player.play(self.player.open(it.task), it.actions) for it in (one, other)]
        for episode, said in zip((one, other), _in_turns(runs), strict=True):
            self.compare("interleaved", episode, said)

    def threads(self, episodes: Sequence[Episode], workers: int) -> None:
        """Plays episodes in threads, as many at a time as a run does."""

        def played(episode: Episode) -> list[Said]:
            return list(self.player.play(self.player.open(episode.task), episode.actions))

        calls = [partial(played, episode) for episode in episodes]
        for episode, said in zip(episodes, Tools(workers).run(calls), strict=True):
            self.compare("threads", episode, [said] if isinstance(said, Failure) else said)

    def forked(self, episode: Episode, elsewhere: Episode, wild: Sequence[str]) -> None:
        """Plays an episode that is forked after every turn, and every continuation of it.

        Args:
          episode: what is played.
          elsewhere: another episode, in the middle of which snapshots are restored.
          wild: actions that a continuation takes instead.
        """
        player, env, forks = self.player, self.player.open(episode.task), dict[int, Fork]()
        said: list[Said] = []
        for turn, action in enumerate(episode.actions):
            if isinstance(env, Failure):
                said.append(env)
                break
            if turn:
                fork = player.keep(env)
                if fork is None:
                    return
                if isinstance(fork, Failure):
                    self.compare("continued", episode, [fork], turn)
                    return
                forks[turn] = fork
                self._branches(episode, turn, fork, wild)
            said.append(player.step(env, action))
            if not isinstance(said[-1], Observation):
                break
        self.compare("parent", episode, said)
        for turn, fork in forks.items():
            self._continue("later", episode, turn, fork)
            if fork.method == "snapshot":
                self.compare("used", episode, player.play(self._used(elsewhere, fork), episode.actions[turn:]), turn)
        self.forks += len(forks)

    def _branches(self, episode: Episode, turn: int, fork: Fork, wild: Sequence[str]) -> None:
        """Continues from a fork: as the episode did, twice at the same time, elsewhere, and as the episode did."""
        if not self._continue("continued", episode, turn, fork):
            return
        for said in _in_turns([self._run(episode, turn, fork) for _ in range(2)]):
            self.compare("siblings", episode, said, turn)
        list(self.player.play(self.player.go_on(fork, episode.task, episode.history(turn)), wild))
        self._continue("second", episode, turn, fork)

    def _continue(self, check: str, episode: Episode, turn: int, fork: Fork) -> bool:
        return self.compare(check, episode, self._run(episode, turn, fork), turn)

    def _run(self, episode: Episode, turn: int, fork: Fork) -> Iterator[Said]:
        env = self.player.go_on(fork, episode.task, episode.history(turn))
        return self.player.play(env, episode.actions[turn:])

    def _used(self, elsewhere: Episode, fork: Fork) -> Env | Failure:
        """Returns an instance that was in the middle of another episode when a snapshot was restored in it."""
        env = self.player.open(elsewhere.task)
        if isinstance(env, Failure):
            return env
        half = elsewhere.actions[: (len(elsewhere.actions) + 1) // 2]
        list(self.player.play(env, half))
        assert isinstance(env, Forkable)
        return self.player.restore(env, fork)

    def _differs(self, check: str, episode: Episode, turn: int, told: tuple[str, str], fork: int | None = None) -> None:
        difference = Difference(check, episode.task.id, turn, fork, *told, episode.actions[:turn])
        self.differences.setdefault(check, difference)


def _in_turns(runs: Sequence[Iterator[Said]]) -> list[list[Said]]:
    """Returns the answers of each of some runs that take one turn after the other."""
    turns = list(zip_longest(*runs))
    return [[said for said in run if said is not None] for run in zip(*turns, strict=True)]


def _told(before: Said | None, now: Said | None) -> tuple[str, str]:
    """Returns two answers in words: what they are, and their texts where those differ."""
    one, other = around("" if before is None else text(before), "" if now is None else text(now))
    return f"{_kind(before)} {one}".strip(), f"{_kind(now)} {other}".strip()


def _kind(said: Said | None) -> str:
    match said:
        case None:
            return "no turn, the episode was over:"
        case Done():
            return f"the end, reward {float(said.reward):g}:"
        case Failure():
            return f"an error ({said.kind}):"
    return "the observation"
