"""BM25 by hand and against bm25s' own index; corpora and the cache on disk."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treeroll.envs.multihop.question import Document, Question
from treeroll.envs.multihop.retrieval import Bm25, Corpus, open_retriever
from treeroll.envs.multihop.retrieval.bm25 import K1, B, scores
from treeroll.envs.multihop.retrieval.cache import Documents, default_folder, made
from treeroll.envs.multihop.retrieval.corpus import from_file, pooled
from treeroll.envs.multihop.retrieval.words import words
from treeroll.errors import ConfigError, DataError
from treeroll.seeding import generator

TEXTS = (
    "the ilse is a river",
    "the jarn is a river and the jarn is long",
    "arnholt lies on the ilse",
    "mountains",
)


def corpus(texts: tuple[str, ...] = TEXTS) -> Corpus:
    found = pooled([Question("q", "?", ("a",), "", tuple(Document("", "", text) for text in texts))])
    assert found is not None
    return found


@pytest.fixture
def search(tmp_path: Path) -> Bm25:
    return Bm25.open(corpus(), tmp_path)


def ids(search: Bm25, query: str, top: int = 3) -> list[str]:
    return [document.id for document in search.search([query], top)[0]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("Which river is the JARN?", ["1", "0"]),
        ("ilse", ["0", "2"]),  # one word as often; the shorter document first
        ("ilse river ilse", ["0", "2", "1"]),
        ("the and of", []),
        ("sea?", []),
        ("", []),
    ],
)
def test_ranking_by_hand(search: Bm25, query: str, found: list[str]) -> None:
    assert ids(search, query) == found


def test_at_most_the_top(search: Bm25) -> None:
    assert ids(search, "river", 1) == ["0"]
    assert ids(search, "river", 99) == ["0", "1"]


def test_equal_scores_come_in_the_order_of_the_documents(tmp_path: Path) -> None:
    search = Bm25.open(corpus(("x b", "e x", "c x", "x d")), tmp_path)
    assert ids(search, "x", 3) == ["0", "1", "2"]


def test_the_title_is_searched_and_shown(tmp_path: Path) -> None:
    question = Question("q", "?", ("a",), "", (Document("", "Korr", "a lake"), Document("", "Lume", "a river")))
    found = pooled([question])
    assert found is not None
    best = Bm25.open(found, tmp_path).search(["Where is Korr?"], 1)
    assert best == [[Document("0", "Korr", "a lake")]]
    assert str(best[0][0]) == "Korr: a lake"


def test_scores_by_hand() -> None:
    # documents: "x x y" and "y"; the word numbered -1 is left out, of the length too
    found = scores(np.asarray([0, 0, 1, -1, 1], np.int32), np.asarray([4, 1], np.int32), 2)
    rare, common = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5)), math.log(1 + (2 - 2 + 0.5) / (2 + 0.5))
    long, short = K1 * (1 - B + B * 3 / 2), K1 * (1 - B + B * 1 / 2)
    expected = [rare * 2 / (2 + long), common / (1 + long), common / (1 + short)]
    assert found["data"] == pytest.approx(expected)
    assert (found["indices"].tolist(), found["indptr"].tolist(), found["num_docs"]) == ([0, 0, 1], [0, 1, 3], 2)


def random_texts(count: int) -> tuple[str, ...]:
    draw = generator(0, "texts")
    lengths = draw.integers(1, 30, count)
    return tuple(" ".join(f"w{int(word)}" for word in draw.zipf(1.4, length) % 200) for length in lengths)


def test_the_index_is_the_one_that_bm25s_makes(tmp_path: Path) -> None:
    texts = random_texts(200)
    found = Bm25.open(corpus(texts), tmp_path)
    theirs = bm25s.BM25(k1=K1, b=B, method="lucene")
    theirs.index([text.split() for text in dict.fromkeys(texts)], show_progress=False)
    for query in random_texts(30):
        known = [word for word in query.split() if word in theirs.vocab_dict]
        mine = found._index.get_scores_from_ids([found._index.vocab_dict[word] for word in known])
        np.testing.assert_allclose(mine, theirs.get_scores(known), rtol=1e-5)


def test_numba_finds_what_numpy_finds(tmp_path: Path) -> None:
    same = corpus(random_texts(300))
    plain, compiled = Bm25.open(same, tmp_path, "numpy"), Bm25.open(same, tmp_path, "numba")
    assert (plain.backend, compiled.backend) == ("numpy", "numba")
    queries = list(random_texts(50))
    assert plain.search(queries, 5) == compiled.search(queries, 5)


def test_a_small_corpus_is_not_worth_compiling_for(search: Bm25) -> None:
    assert search.backend == "numpy"


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("Bogotá's 2nd-oldest", ["bogota", "s", "2nd", "oldest"]),
        ("Bogota's 2nd_oldest", ["bogota", "s", "2nd", "oldest"]),
        ("Łódź, Straße", ["łodz", "straße"]),
        ("東京 Tower", ["東京", "tower"]),
        ("\t\n", []),
    ],
)
def test_words(text: str, split: list[str]) -> None:
    assert words(text) == split


@settings(max_examples=200)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_the_fast_way_for_ascii_finds_the_same_words(text: str) -> None:
    assert words(text) == words(f"{text} é")[:-1]


# Corpora --------------------------------------------------------------------------------------------------------


def test_pooled_documents_are_counted_once() -> None:
    first, second = Document("", "A", "one"), Document("", "B", "two")
    questions = [Question("q", "?", ("a",), "", (first, second)), Question("r", "?", ("a",), "", (second, first))]
    found = pooled(questions)
    assert found is not None
    assert list(found.documents()) == [Document("0", "A", "one"), Document("1", "B", "two")]
    assert pooled([Question("q", "?", ("a",))]) is None


def test_the_key_is_the_content() -> None:
    assert corpus().key == corpus().key
    assert corpus().key != corpus(TEXTS[:3]).key
    assert corpus(("a b",)).key != corpus(("a", "b")).key


def write(path: Path, lines: list[object]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_file_of_documents(tmp_path: Path) -> None:
    lines: list[object] = [
        {"id": "7", "title": "Ilse", "text": "a river"},
        {"id": 8, "contents": '"Jarn"\nanother river\nin the north'},
        {"text": "no title"},
        {"contents": "one line"},
    ]
    found = from_file(write(tmp_path / "wiki.jsonl", lines))
    assert list(found.documents()) == [
        Document("7", "Ilse", "a river"),
        Document("8", "Jarn", "another river\nin the north"),
        Document("3", "", "no title"),
        Document("4", "", "one line"),
    ]
    assert from_file(write(tmp_path / "same.jsonl", lines)).key == found.key
    assert from_file(write(tmp_path / "other.jsonl", lines[:3])).key != found.key


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"title": "a"}, "line 2: field 'text' is missing"),
        ({"text": ""}, "line 2: field 'text' must be a text that is not empty"),
        ({"text": "a", "title": 5}, "line 2: field 'title' must be a text, got 5"),
        ({"text": "a", "id": None}, "line 2: field 'id' must be a text or a whole number, got None"),
        ({"contents": 3}, "line 2: field 'contents' must be a text that is not empty, got 3"),
        ("a", "line 2: expected an object, got str"),
    ],
)
def test_a_malformed_document_is_named_and_leaves_no_index(line: object, message: str, tmp_path: Path) -> None:
    found = from_file(write(tmp_path / "wiki.jsonl", [{"text": "fine"}, line]))
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=rf"wiki\.jsonl, {message}"):
        Bm25.open(found, cache)
    assert list(cache.iterdir()) == []


def test_no_documents_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no documents in it; write one JSON object a line"):
        Bm25.open(from_file(write(tmp_path / "wiki.jsonl", [])), tmp_path / "cache")
    with pytest.raises(DataError, match=r"corpus .*none\.jsonl: cannot be read"):
        from_file(str(tmp_path / "none.jsonl"))


# The cache ------------------------------------------------------------------------------------------------------


def test_an_index_is_made_once_and_memory_mapped(tmp_path: Path) -> None:
    reads: list[str] = []

    def documents() -> Iterator[Document]:
        reads.append("whole")
        return corpus().documents()

    counted = Corpus("key", documents)
    first = Bm25.open(counted, tmp_path)
    second = Bm25.open(counted, tmp_path)
    assert reads == ["whole"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["bm25-1-key"]
    assert isinstance(second._index.scores["data"], np.memmap)
    assert first.search(["ilse"], 2) == second.search(["ilse"], 2)


def test_a_stopped_maker_leaves_nothing(tmp_path: Path) -> None:
    def stopped(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, "name", stopped)
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_makers_takes_what_is_there(tmp_path: Path) -> None:
    def overtaken(folder: Path) -> None:
        (folder / "mine").touch()
        made(tmp_path, "name", lambda other: (other / "theirs").touch())

    folder = made(tmp_path, "name", overtaken)
    assert [file.name for file in folder.iterdir()] == ["theirs"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be written: .* Name another folder with cache="):
        Bm25.open(corpus(), tmp_path / "file")


@pytest.mark.parametrize("name", ["starts.npy", "documents.jsonl", "params.index.json", "data.csc.index.npy"])
def test_a_damaged_index_says_what_to_do(name: str, tmp_path: Path) -> None:
    Bm25.open(corpus(), tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{folder.name}: a damaged index: .* Delete this folder"):
        Bm25.open(corpus(), tmp_path)


def test_documents_keep_any_text(tmp_path: Path) -> None:
    odd = [Document("é\n", '"quoted"', "東京\u2028line"), Document("", "", "\\n")]
    assert list(Documents.write(tmp_path, odd)) == odd
    kept = Documents(tmp_path)
    assert [kept[place] for place in range(len(kept))] == odd


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/treeroll/retrieval")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "treeroll" / "retrieval"


@pytest.mark.parametrize(
    ("retrieval", "found", "message"),
    [
        ("bm52", corpus(), "retrieval=bm52: neither an address .* nor a known kind. Did you mean 'bm25'"),
        ("bm25", None, "retrieval=bm25: no documents to search. Name a JSONL file with corpus=, or a server"),
    ],
)
def test_what_cannot_be_searched_is_an_error(retrieval: str, found: Corpus | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_retriever(retrieval, found)
