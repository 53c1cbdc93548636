"""Dense retrieval with the encoder that comes as a package."""

from pathlib import Path

import numpy as np
import pytest

from treeroll.envs.multihop.question import Document, Question
from treeroll.envs.multihop.retrieval import Corpus, Dense, dense, open_retriever
from treeroll.envs.multihop.retrieval.corpus import pooled
from treeroll.errors import ConfigError, DataError

DOCUMENTS = (
    Document("", "Sharks", "large fish of the ocean with many teeth"),
    Document("", "Violin", "an instrument with four strings that musicians play with a bow"),
    Document("", "Bread", "flour and water, baked in an oven"),
)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    found = pooled([Question("q", "?", ("a",), "", DOCUMENTS)])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("query", "title"), [("a dangerous sea animal", "Sharks"), ("music", "Violin"), ("baker's food", "Bread")]
)
def test_meaning_finds_what_shares_no_word(query: str, title: str, corpus: Corpus, tmp_path: Path) -> None:
    found = open_retriever("dense", corpus, encoder="wordllama", cache=str(tmp_path)).search([query, "bread"], 2)
    assert [len(row) for row in found] == [2, 2]
    assert (found[0][0].title, found[1][0].title) == (title, "Bread")


def test_all_documents_are_the_most(corpus: Corpus, tmp_path: Path) -> None:
    (found,) = Dense.open(corpus, tmp_path, "wordllama").search(["music"], 10)
    assert sorted(document.title for document in found) == ["Bread", "Sharks", "Violin"]


def test_vectors_are_made_once_of_length_1(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Dense.open(corpus, tmp_path, "wordllama")
    assert np.linalg.norm(first._vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    monkeypatch.setattr(dense, "write", None)
    assert Dense.open(corpus, tmp_path, "wordllama").search(["music"], 3) == first.search(["music"], 3)


def test_batches_give_what_one_batch_gives(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Dense.open(corpus, tmp_path / "whole", "wordllama")
    monkeypatch.setattr(dense, "BATCH", 2)
    parts = Dense.open(corpus, tmp_path / "parts", "wordllama")
    np.testing.assert_allclose(parts._vectors, whole._vectors, atol=1e-6)


def test_e5_is_told_what_is_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Encoder:
        size = 1

        def encode(self, anchors):
            said.extend(anchor.text for anchor in anchors)
            return np.full((len(anchors), 1), -2.0)

    monkeypatch.setattr(dense.encoders, "get", lambda name: Encoder())
    for name in ("intfloat/e5-base-v2", "models/multilingual-e5-small", "minilm"):
        embedding = dense.Embedding(name)
        assert embedding.queries(["a"]).tolist() == [[-1.0]]
        embedding.passages([Document("", "B", "c")])
    assert said == ["query: a", "passage: B: c", "query: a", "passage: B: c", "a", "B: c"]


def test_what_cannot_encode_is_an_error(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="encoder=hidden reads the policy's states, not texts"):
        Dense.open(corpus, tmp_path, "hidden")


def test_damaged_vectors_say_what_to_do(corpus: Corpus, tmp_path: Path) -> None:
    Dense.open(corpus, tmp_path, "wordllama")
    (folder,) = tmp_path.iterdir()
    (folder / "vectors.f32").write_bytes(b"1234")
    with pytest.raises(DataError, match=r"a damaged index: .* Delete this folder"):
        Dense.open(corpus, tmp_path, "wordllama")
