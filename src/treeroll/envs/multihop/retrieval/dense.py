"""Dense retrieval: cosines of sentence vectors, searched exactly with faiss."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treeroll.envs.multihop.question import Document
from treeroll.envs.multihop.retrieval.cache import Documents, made
from treeroll.envs.multihop.retrieval.corpus import Corpus
from treeroll.errors import ConfigError, DataError, require
from treeroll.predictor import encoders
from treeroll.tree import Anchor, Node, RolloutTree, Task

VERSION = "1"
"""Part of the name of an index; counts up when what is encoded changes."""
VECTORS = "vectors.f32"
BATCH = 256
"""Documents that are encoded together."""
E5 = ("query: ", "passage: ")
"""What the encoders named e5 were trained to see before a query and before a passage (arXiv 2212.03533)."""


class Embedding:
    """Texts to vectors of length 1, by an encoder of `treeroll.predictor.encoders`; one thread at a time.

    Args:
      name: `wordllama`, `minilm`, or a Hugging Face encoder by name or folder.

    Raises:
      ConfigError: no such encoder, or `hidden`, which reads a policy's states and no texts.
      MissingExtraError: a package that it needs is not installed.
    """

    def __init__(self, name: str) -> None:
        if name == "hidden":
            raise ConfigError("encoder=hidden reads the policy's states, not texts. Use minilm, wordllama or a model")
        self._encoder = encoders.get(name)
        self._before_query, self._before_passage = E5 if "e5" in Path(name).name.split("-") else ("", "")
        self._lock = threading.Lock()
        self._calls = 0
        self.size = self._encoder.size

    def queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, size] the vectors of n queries."""
        return self._encode([self._before_query + text for text in texts])

    def passages(self, documents: Sequence[Document]) -> NDArray[np.float32]:
        """Returns [n, size] the vectors of n documents, titles included."""
        return self._encode([self._before_passage + str(document) for document in documents])

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._lock:
            self._calls += 1  # encoders remember the texts of a step; each call is a step of its own
            vectors = self._encoder.encode([_anchor(text, self._calls) for text in texts])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        scaled: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
        return scaled


def _anchor(text: str, step: int) -> Anchor:
    """Returns a history that is nothing but the text: what encoders take."""
    node = Node(-1, np.empty(0, np.int32), np.empty(0, np.bool_), np.empty(0, np.float32), text=text)
    return Anchor(RolloutTree(Task("", text), (node,), step=step))


class Dense:
    """Searches a folder that `write` made; use `open`, which makes it where it is missing.

    Args:
      folder: documents and their vectors.
      embedding: what made the vectors.
    """

    def __init__(self, folder: Path, embedding: Embedding) -> None:
        self.documents, self._embedding = Documents(folder), embedding
        self._faiss = require("faiss", "qa")
        shape = (len(self.documents), embedding.size)
        try:
            self._vectors = np.memmap(folder / VECTORS, np.float32, "r", shape=shape)
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{folder}: a damaged index: {error}. Delete this folder; it will be made again") from error

    @classmethod
    def open(cls, corpus: Corpus, folder: Path, encoder: str) -> Dense:
        """Returns the search over a corpus, its vectors made once and kept in `folder`.

        Raises:
          ConfigError: no such encoder, or the folder cannot be written.
          DataError: a document is malformed, or the index is damaged.
          MissingExtraError: faiss, or a package of the encoder, is not installed.
        """
        require("faiss", "qa")
        embedding = Embedding(encoder)
        name = f"dense-{VERSION}-{blake2b(encoder.encode(), digest_size=4).hexdigest()}-{corpus.key}"
        return cls(made(folder, name, lambda part: write(part, corpus.documents(), embedding)), embedding)

    def search(self, queries: Sequence[str], top: int) -> list[list[Document]]:
        """Returns the documents with the largest cosines."""
        top = min(top, len(self.documents))
        _, places = self._faiss.knn(
            self._embedding.queries(queries), self._vectors, top, metric=self._faiss.METRIC_INNER_PRODUCT
        )
        return [[self.documents[place] for place in row] for row in places.tolist()]


def write(folder: Path, documents: Iterable[Document], embedding: Embedding) -> None:
    """Writes documents, and their vectors as rows of float32."""
    with (folder / VECTORS).open("wb") as file:
        written = Documents.write(folder, documents)
        while some := list(islice(written, BATCH)):
            file.write(embedding.passages(some).tobytes())
