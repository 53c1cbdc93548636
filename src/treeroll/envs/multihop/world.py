"""From questions and a retriever to a world; from options to both, made once per process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from treeroll.envs.base import World
from treeroll.envs.multihop import web_questions
from treeroll.envs.multihop.demonstrations import EXAMPLES
from treeroll.envs.multihop.env import INSTRUCTIONS, MAX_TURNS, TURN_TOKENS, MultihopEnv, random_action
from treeroll.envs.multihop.formats import FORMATS
from treeroll.envs.multihop.loading import load, sample, split, to_data
from treeroll.envs.multihop.question import Format, Question
from treeroll.envs.multihop.retrieval import is_server, open_retriever
from treeroll.envs.multihop.retrieval.corpus import from_file, pooled
from treeroll.envs.multihop.scoring import SCORES
from treeroll.errors import ConfigError, did_you_mean
from treeroll.tree import Task

SERVER_CALLS = 16
"""Searches at the same time where a server does them: it waits for the network, not for this machine."""


@dataclass(frozen=True)
class Options:
    """What a user sets beside the questions."""

    test: str | None = None
    """Held-out questions: a second source, `NAME=SOURCE` for one of another data set, or `bfcl-web`."""
    test_share: float = 0.1
    """Share of `data` that is held out where there is no `test`, in (0, 1)."""
    aliases: str | None = None
    """2WikiMultiHopQA's file of aliases."""
    limit: int | None = None
    """Training questions at most, drawn by seed; their documents are searched all the same."""
    seed: int = 0
    """Which questions are held out, and which ones a limit keeps."""
    retrieval: str = "bm25"
    """`bm25`, `dense`, or the address of a retrieval server."""
    corpus: str | None = None
    """JSONL file of documents to search instead of those that come with the questions."""
    encoder: str = "minilm"
    """Sentence encoder of `dense`."""
    passages: int = 3
    """Passages of an observation, at most."""
    words: int = 180
    """Words of an observation, at most, shared out evenly among its passages."""
    score: Literal["f1", "em"] = "f1"
    """`f1` or `em`: the reward of an answer."""
    success_at: float = 0.3
    """Reward from which an answer is a success."""
    cache: str | None = None
    """Folder for indices; `treeroll/retrieval` in the user's cache folder where None."""

    def check(self, name: str) -> None:
        """Raises `ConfigError` for a value that cannot work; `name` is the world's."""
        for option, least in {"passages": 1, "words": 1, "limit": 1}.items():
            value = getattr(self, option)
            if value is not None and value < least:
                raise ConfigError(f"{name}: {option}={value} must be {least} or more")
        if not 0 < self.test_share < 1:
            raise ConfigError(f"{name}: test_share={self.test_share:g} must be above 0 and below 1")
        if not 0 < self.success_at <= 1:
            raise ConfigError(f"{name}: success_at={self.success_at:g} must be above 0 and at most 1")
        if self.score not in SCORES:
            raise ConfigError(f"{name}: unknown score {self.score!r}.{did_you_mean(self.score, list(SCORES))}")


def from_data(form: Format, data: str, options: Options) -> World:
    """Returns the world of a data set, made once per process for equal options and unchanged files.

    Args:
      form: how the data set is published.
      data: questions: a file, or `owner/name:config:split` of the Hugging Face hub.
      options: the rest.

    Raises:
      ConfigError: an option that cannot work.
      DataError: a file that cannot be read; file, line and field are named.
      MissingExtraError: a package that is needed is not installed.
    """
    options.check(form.name)
    stamps = tuple(map(_stamp, (data, options.test, options.aliases, options.corpus)))
    return _from_data(form, data, options, stamps)


@lru_cache(maxsize=4)
def _from_data(form: Format, data: str, options: Options, stamps: tuple[object, ...]) -> World:
    """Returns the world; `stamps` only tell one state of the files from another."""
    questions = load(form, data, aliases=options.aliases).questions
    if options.test is None:
        train, test = split(questions, options.test_share, options.seed)
    else:
        train, test = list(questions), _held_out(form, options.test, options)
    return made(form.name, sample(train, options.limit, options.seed), test, [*questions, *test], options)


def made(
    name: str, train: Sequence[Question], test: Sequence[Question], searched: Sequence[Question], options: Options
) -> World:
    """Returns a world.

    Args:
      name: the world's.
      train: questions to train on.
      test: held-out questions.
      searched: questions whose documents are searched where there is no corpus and no server.
      options: the rest; already checked.

    Raises:
      ConfigError, DataError, MissingExtraError: as `retrieval.open_retriever`.
    """
    corpus = None
    if not is_server(options.retrieval):
        corpus = pooled(searched) if options.corpus is None else from_file(options.corpus)
    retriever = open_retriever(options.retrieval, corpus, encoder=options.encoder, cache=options.cache)
    env = partial(MultihopEnv, retriever, passages=options.passages, words=options.words, score=options.score)
    return World(
        name=name,
        train=_tasks(train, f"{name}-train"),
        test=_tasks(test, f"{name}-test"),
        make=env,
        max_turns=MAX_TURNS,
        turn_tokens=TURN_TOKENS,
        success_at=options.success_at,
        instructions=INSTRUCTIONS,
        examples=EXAMPLES,
        tool_workers=SERVER_CALLS if is_server(options.retrieval) else 1,
        actions=random_action,
    )


def _held_out(form: Format, test: str, options: Options) -> list[Question]:
    """Returns the questions that `test` names."""
    if test == web_questions.NAME:
        return list(web_questions.questions())
    named, equals, source = test.partition("=")
    if equals and named in FORMATS:
        form, test = FORMATS[named], source
    return list(load(form, test, aliases=options.aliases if form.has_aliases else None).questions)


def _tasks(questions: Sequence[Question], name: str) -> tuple[Task, ...]:
    return tuple(Task(f"{name}-{question.id}", question.text, to_data(question)) for question in questions)


def _stamp(source: str | None) -> object:
    """Returns what changes when a file does; None for what is no file."""
    for name in (source, source.partition("=")[2]) if source else ():
        path = Path(name).expanduser()
        if path.is_file():
            return path.stat().st_size, path.stat().st_mtime_ns
    return None
