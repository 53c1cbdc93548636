"""BM25 (Robertson; Lucene's variant) with bm25s, which stores every word's score in every document.

The index is made here, in whole arrays: bm25s makes the same one document by document, which takes several times as
long. Its numba backend scores queries where numba is installed and the corpus is large enough to pay for compiling.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treeroll.envs.multihop.question import Document
from treeroll.envs.multihop.retrieval.cache import Documents, made
from treeroll.envs.multihop.retrieval.corpus import Corpus
from treeroll.envs.multihop.retrieval.words import words
from treeroll.errors import DataError, require

VERSION = "1"
"""Part of the name of an index; counts up when the words or the scores change."""
K1, B = 1.5, 0.75
"""Saturation of a word's count, and weight of a document's length: the defaults of bm25s."""
NUMBA_FROM = 10_000
"""Documents from which numba pays: compiling takes seconds, a query over fewer documents well under a millisecond."""


class _Numbering(dict[str, int]):
    """Gives each new word the next number."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


class Bm25:
    """Searches a folder that `write` made; use `open`, which makes it where it is missing.

    Args:
      folder: the index.
      backend: `numpy`, `numba`, or by what is installed and the number of documents where None; both give the same
        passages.
    """

    def __init__(self, folder: Path, backend: str | None = None) -> None:
        bm25s = require("bm25s", "train")
        self.documents = Documents(folder)
        if backend is None:
            numba = len(self.documents) >= NUMBA_FROM and importlib.util.find_spec("numba") is not None
            backend = "numba" if numba else "numpy"
        self.backend = backend
        try:
            self._index: Any = bm25s.BM25.load(folder, mmap=True)
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise DataError(f"{folder}: a damaged index: {error}. Delete this folder; it will be made again") from error
        if backend == "numba":
            require("numba", "qa")
            self._index.activate_numba_scorer()

    @classmethod
    def open(cls, corpus: Corpus, folder: Path, backend: str | None = None) -> Bm25:
        """Returns the search over a corpus, its index made once and kept in `folder` under the corpus' key.

        Raises:
          ConfigError: the folder cannot be written.
          DataError: a document is malformed, or the index is damaged.
          MissingExtraError: bm25s is not installed.
        """
        require("bm25s", "train")
        name = f"bm25-{VERSION}-{corpus.key}"
        return cls(made(folder, name, lambda part: write(part, corpus.documents())), backend)

    def search(self, queries: Sequence[str], top: int) -> list[list[Document]]:
        """Returns the documents with the best scores above 0, the earlier one first where scores are equal."""
        return [self._search(query, top) for query in queries]

    def _search(self, query: str, top: int) -> list[Document]:
        known = [number for word in words(query) if (number := self._index.vocab_dict.get(word)) is not None]
        if not known:
            return []
        scores = self._index.get_scores_from_ids(known)
        found: list[Document] = []
        for _ in range(min(top, len(scores))):  # a few passages: cheaper than sorting, and ties are settled
            best = int(scores.argmax())
            if scores[best] <= 0:
                break
            found.append(self.documents[best])
            scores[best] = 0
        return found


def write(folder: Path, documents: Iterable[Document]) -> None:
    """Writes an index of documents, titles included, in the files of `bm25s.BM25.save`.

    English stop words (bm25s's list) are left out of documents, so queries may hold them. It takes about 40 bytes of
    memory a word while it works.
    """
    bm25s = require("bm25s", "train")
    numbers, flat, lengths = _Numbering(), array("i"), array("i")
    stop = bm25s.stopwords.STOPWORDS_EN
    for word in stop:
        numbers[word]
    for document in Documents.write(folder, documents):
        found = words(f"{document.title} {document.text}")
        flat.extend(map(numbers.__getitem__, found))
        lengths.append(len(found))
    index = bm25s.BM25(k1=K1, b=B, method="lucene")
    counted = np.frombuffer(flat, np.int32) if flat else np.empty(0, np.int32)
    index.scores = scores(counted - len(stop), np.frombuffer(lengths, np.int32), len(numbers) - len(stop))
    index.vocab_dict = {word: number - len(stop) for word, number in numbers.items() if number >= len(stop)}
    index.nonoccurrence_array = None
    index.save(folder, show_progress=False)


def scores(words: NDArray[np.int32], lengths: NDArray[np.int32], size: int) -> dict[str, Any]:
    """Returns BM25's scores as the columns of a sparse matrix, as bm25s keeps them.

        idf(w) tf / (tf + K1 (1 - B + B |d| / mean |d|)),   idf(w) = ln(1 + (N - df + 1/2) / (df + 1/2))

    Args:
      words: [T] numbers of the words of all N documents, one document after the other; below 0: left out.
      lengths: [N] words of each document, the left-out ones included.
      size: different words V; numbers are below it.
    """
    count = len(lengths)
    owner = np.repeat(np.arange(count, dtype=np.int32), lengths)[words >= 0]
    lengths = np.bincount(owner, minlength=count).astype(np.int32)
    pairs = words[words >= 0].astype(np.int64) * count + owner  # one number for a word in a document
    pairs.sort()
    first = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]])[: len(pairs)])
    frequency = np.diff(first, append=len(pairs)).astype(np.float32)
    pairs = pairs[first]
    bounds = np.searchsorted(pairs, np.arange(size + 1, dtype=np.int64) * count)
    containing = np.diff(bounds)
    document = (pairs - np.repeat(np.arange(size) * count, containing)).astype(np.int32)
    rarity = np.log(1 + (count - containing + 0.5) / (containing + 0.5)).astype(np.float32)
    norm = (K1 * (1 - B + B * lengths / max(lengths.mean(), 1e-9))).astype(np.float32)
    data = np.repeat(rarity, containing) * frequency / (frequency + norm[document])
    return {"data": data, "indices": document, "indptr": bounds, "num_docs": count}
