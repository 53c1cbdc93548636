"""Times retrieval: making an index, opening it again, and queries, one at a time as an environment asks them.

The documents are drawn: words by Zipf's law from a vocabulary as large as an encyclopedia's, so that the lengths of
the lists that a query walks through are those of English text. A query is words of one document, as many as a question
has. Next to our index stands what bm25s takes to make the same one by itself. Seconds are wall and CPU of one process
and one thread; queries a second are the median over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import bm25s
import numpy as np

from machine import RESULTS, about, save, table
from treeroll.envs.multihop.question import Document
from treeroll.envs.multihop.retrieval import Bm25, Corpus, Dense, Retriever
from treeroll.seeding import generator

VOCABULARY, TITLE, WORDS = 200_000, 3, 80
"""Different words; words of a title; words of a document, title included (HotpotQA's paragraphs: about 85)."""
ASKED = 6
"""Words of a query."""
TOP = 3
REPEATS = 5
TARGET = {"seconds": 10.0, "queries_per_second": 1_000.0}
"""Of 100,000 documents: most seconds for the index, and fewest queries a second with numba. By the CPU's clock, as the
machine may be shared."""


def drawn(count: int, seed: int) -> list[Document]:
    """Returns documents of Zipf's words."""
    weights = 1 / np.arange(1, VOCABULARY + 1)
    words = np.char.add("w", np.arange(VOCABULARY).astype(str))
    ids = generator(seed, "documents").choice(VOCABULARY, (count, WORDS), p=weights / weights.sum())
    return [
        Document(str(number), " ".join(words[row[:TITLE]]), " ".join(words[row[TITLE:]]))
        for number, row in enumerate(ids)
    ]


def questions(documents: list[Document], count: int, seed: int) -> list[str]:
    """Returns queries, each of words of one document."""
    draw = generator(seed, "queries")
    found = []
    for place in draw.integers(len(documents), size=count):
        words = f"{documents[place].title} {documents[place].text}".split()
        found.append(" ".join(draw.choice(words, ASKED, replace=False)))
    return found


def timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Returns a call's result and its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def rate(search: Retriever, asked: list[str]) -> dict[str, float]:
    """Returns queries a second, by the wall and by the CPU; the first query, which may compile, is not timed."""

    def one_by_one(queries: list[str]) -> None:
        for query in queries:
            search.search([query], TOP)

    one_by_one(asked[:1])
    parts = [asked[start::REPEATS] for start in range(REPEATS)]
    times = [timed(partial(one_by_one, part))[1] for part in parts]
    return {
        f"per_{clock}_second": statistics.median(len(part) / one[clock] for part, one in zip(parts, times, strict=True))
        for clock in ("wall", "cpu")
    }


def lexical(documents: list[Document], asked: list[str], folder: Path) -> dict[str, Any]:
    """Returns what BM25 takes."""
    corpus = Corpus("benchmark", lambda: iter(documents))
    search, made = timed(lambda: Bm25.open(corpus, folder, "numpy"))
    _, opened = timed(lambda: Bm25.open(corpus, folder, "numpy"))
    compiled = Bm25.open(corpus, folder, "numba")
    _, compiling = timed(lambda: compiled.search(asked[:1], TOP))
    if search.search(asked[:200], TOP) != compiled.search(asked[:200], TOP):
        raise AssertionError("numpy and numba find different documents")
    size = sum(file.stat().st_size for file in (folder / "bm25-1-benchmark").iterdir())
    return {
        "made": made,
        "opened": opened,
        "megabytes": size / 1e6,
        "compiling": compiling,
        "queries": {"numpy": rate(search, asked), "numba": rate(compiled, asked)},
        "bm25s_alone": by_itself(documents),
    }


def by_itself(documents: list[Document]) -> dict[str, float]:
    """Returns the seconds of bm25s' own tokenizer and index."""
    texts = [f"{document.title} {document.text}" for document in documents]

    def index() -> None:
        words = bm25s.tokenize(texts, stopwords="en", show_progress=False)
        bm25s.BM25().index(words, show_progress=False)

    return timed(index)[1]


def dense(documents: list[Document], asked: list[str], folder: Path, encoder: str) -> dict[str, Any]:
    """Returns what dense retrieval takes; random words have no meaning, but cost what words cost."""
    corpus = Corpus("benchmark", lambda: iter(documents))
    search, made = timed(lambda: Dense.open(corpus, folder, encoder))
    return {"encoder": encoder, "documents": len(documents), "made": made, "queries": rate(search, asked)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--documents", type=int, default=100_000, help="[100000]")
    parser.add_argument("--dense-documents", type=int, default=10_000, help="of the dense index; 0: none [10000]")
    parser.add_argument("--encoder", default="wordllama", help="of the dense index [wordllama]")
    parser.add_argument("--queries", type=int, default=2_000, help="[2000]")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--out", type=Path, default=RESULTS / "retrieval.json", help="[benchmarks/results/...]")
    known = parser.parse_args()
    told = about()
    told["packages"] |= {name: metadata.version(name) for name in ("bm25s", "numba", "faiss-cpu")}
    documents = drawn(known.documents, known.seed)
    asked = questions(documents, known.queries, known.seed)
    with tempfile.TemporaryDirectory() as place:
        result: dict[str, Any] = {"about": told, "documents": len(documents), "words": WORDS}
        result |= {"queries": len(asked), "top": TOP}
        result["bm25"] = found = lexical(documents, asked, Path(place))
        if known.dense_documents:
            result["dense"] = dense(documents[: known.dense_documents], asked, Path(place), known.encoder)
    seconds = {"index made": found["made"], "bm25s alone": found["bm25s_alone"], "index opened": found["opened"]}
    rows = [[name, f"{one['wall']:.2f}", f"{one['cpu']:.2f}"] for name, one in seconds.items()]
    print(table([f"{len(documents):,} documents", "wall s", "CPU s"], rows))
    kinds = found["queries"] | ({"dense": result["dense"]["queries"]} if "dense" in result else {})
    rates = [
        [name, *(f"{one[f'per_{clock}_second']:,.0f}" for clock in ("wall", "cpu"))] for name, one in kinds.items()
    ]
    print("\n" + table(["queries, one at a time", "per wall s", "per CPU s"], rates))
    fast = found["queries"]["numba"]["per_cpu_second"] >= TARGET["queries_per_second"]
    result["target"] = TARGET | {"index": found["made"]["cpu"] < TARGET["seconds"], "queries": fast}
    save(known.out, result)


if __name__ == "__main__":
    main()
