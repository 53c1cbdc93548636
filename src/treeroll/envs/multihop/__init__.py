"""Worlds `hotpotqa`, `2wikimultihopqa`, `musique`, `bamboogle`, `bfcl-web`: questions that need several searches.

The listing is the way of a question: `records` and `tables` read files, `formats` know how each data set is published,
`loading` checks and splits, `retrieval` searches, `env` plays an episode, `scoring` scores its answer, `world` puts
them together.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Literal

from treeroll.envs.base import World
from treeroll.envs.multihop import web_questions
from treeroll.envs.multihop.formats import BAMBOOGLE, HOTPOTQA, MUSIQUE, TWOWIKI
from treeroll.envs.multihop.loading import split
from treeroll.envs.multihop.question import Format
from treeroll.envs.multihop.world import Options, from_data, made

__all__ = ["Options", "bamboogle", "bfcl_web", "hotpotqa", "musique", "twowiki"]


def _world(
    form: Format,
    *,
    data: str,
    test: str | None = None,
    test_share: float = 0.1,
    aliases: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    retrieval: str = "bm25",
    corpus: str | None = None,
    encoder: str = "minilm",
    passages: int = 3,
    words: int = 180,
    score: Literal["f1", "em"] = "f1",
    success_at: float = 0.3,
    cache: str | None = None,
) -> World:
    """Returns the world of a data set; `Options` says what each option is, `from_data` what can go wrong.

    Args:
      data: questions: a JSON, JSONL, CSV or parquet file, or `owner/name:config:split` of the Hugging Face hub.
    """
    options = Options(
        test=test,
        test_share=test_share,
        aliases=aliases,
        limit=limit,
        seed=seed,
        retrieval=retrieval,
        corpus=corpus,
        encoder=encoder,
        passages=passages,
        words=words,
        score=score,
        success_at=success_at,
        cache=cache,
    )
    return from_data(form, data, options)


hotpotqa = partial(_world, HOTPOTQA)
twowiki = partial(_world, TWOWIKI)
musique = partial(_world, MUSIQUE)
bamboogle = partial(_world, BAMBOOGLE)


@lru_cache(maxsize=4)
def bfcl_web(
    *,
    test_share: float = 0.5,
    seed: int = 0,
    retrieval: str = "bm25",
    corpus: str | None = None,
    encoder: str = "minilm",
    passages: int = 3,
    words: int = 180,
    score: Literal["f1", "em"] = "f1",
    success_at: float = 0.3,
    cache: str | None = None,
) -> World:
    """Returns the world of BFCL's web-search questions, made once per process for equal options.

    To hold out all 87 of them from training on another data set, name them there: ``test="bfcl-web"``.

    Raises:
      ConfigError: an option that cannot work.
      MissingExtraError: bfcl-eval, or a package of the search, is not installed.
      DataError: the package's files are not those that are known.
    """
    options = Options(
        test_share=test_share,
        seed=seed,
        retrieval=retrieval,
        corpus=corpus,
        encoder=encoder,
        passages=passages,
        words=words,
        score=score,
        success_at=success_at,
        cache=cache,
    )
    options.check(web_questions.NAME)
    questions = web_questions.questions()
    train, test = split(questions, test_share, seed)
    return made(web_questions.NAME, train, test, questions, options)
