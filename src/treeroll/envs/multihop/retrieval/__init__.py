"""Retrieval: from a query to passages. BM25 or dense vectors over a corpus, or somebody's server."""

from __future__ import annotations

from pathlib import Path

from treeroll.envs.multihop.retrieval.base import Retriever
from treeroll.envs.multihop.retrieval.bm25 import Bm25
from treeroll.envs.multihop.retrieval.cache import default_folder
from treeroll.envs.multihop.retrieval.corpus import Corpus
from treeroll.envs.multihop.retrieval.dense import Dense
from treeroll.envs.multihop.retrieval.server import Server
from treeroll.errors import ConfigError, did_you_mean

__all__ = ["Bm25", "Corpus", "Dense", "Retriever", "Server", "is_server", "open_retriever"]

KINDS = ("bm25", "dense")


def is_server(retrieval: str) -> bool:
    """Returns whether the option names a server: an http or https address."""
    return retrieval.startswith(("http://", "https://"))


def open_retriever(
    retrieval: str, corpus: Corpus | None, *, encoder: str = "minilm", cache: str | None = None
) -> Retriever:
    """Returns the retriever that an option names; a server is asked once, so that a wrong address is told at once.

    Args:
      retrieval: `bm25`, `dense`, or the address of a server.
      corpus: what is searched; not needed by a server, which has its own.
      encoder: of `dense`; see `treeroll.predictor.encoders.get`.
      cache: folder for indices; `default_folder()` where None.

    Raises:
      ConfigError: an unknown kind, no corpus to search, a folder that cannot be written, or a server that does not
        answer.
      DataError: a document of the corpus is malformed.
      MissingExtraError: a package that it needs is not installed.
    """
    if is_server(retrieval):
        server = Server(retrieval)
        server.check()
        return server
    if retrieval not in KINDS:
        known = did_you_mean(retrieval, list(KINDS))
        raise ConfigError(f"retrieval={retrieval}: neither an address (http://...) nor a known kind.{known}")
    if corpus is None:
        raise ConfigError(
            f"retrieval={retrieval}: no documents to search. Name a JSONL file with corpus=, or a server with "
            "retrieval=http://..."
        )
    folder = default_folder() if cache is None else Path(cache).expanduser()
    return Bm25.open(corpus, folder) if retrieval == "bm25" else Dense.open(corpus, folder, encoder)
