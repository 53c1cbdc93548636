"""A retrieval server, asked over a real socket: its answers, its bad days, and what is told about them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from treeroll.envs.multihop.question import Document
from treeroll.envs.multihop.retrieval import Server, open_retriever
from treeroll.errors import ConfigError, EnvError

Answer = tuple[int, bytes]


def passages(count: int) -> list[dict[str, Any]]:
    return [
        {"document": {"id": str(n), "contents": f'"Title {n}"\nText {n}'}, "score": 1.0 / (n + 1)} for n in range(count)
    ]


def found(asked: dict[str, Any]) -> Answer:
    return 200, json.dumps({"result": [passages(asked["topk"]) for _ in asked["queries"]]}).encode()


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """Yields the address of a server and what it was asked: (path, body) each."""
    asked: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            status, said = answer(body)
            if status == 0:  # hangs up without a word
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def asking(url: str, **options: Any) -> Server:
    return Server(url, **{"seconds": 60.0, "pause": 0.001} | options)


def test_a_question_and_its_answer() -> None:
    with serving(found) as (url, asked):
        result = asking(url).search(["who?", "where?"], 2)
    assert asked == [("/retrieve", {"queries": ["who?", "where?"], "topk": 2, "return_scores": True})]
    assert result == [[Document("0", "Title 0", "Text 0"), Document("1", "Title 1", "Text 1")]] * 2


@pytest.mark.parametrize(
    ("entry", "document"),
    [
        ({"document": {"title": "T", "text": " x "}}, Document("", "T", "x")),
        ({"id": 5, "contents": "alone"}, Document("5", "", "alone")),
        ({"title": None, "text": "x"}, Document("", "", "x")),
    ],
)
def test_other_forms_of_a_document(entry: object, document: Document) -> None:
    with serving(lambda asked: (200, json.dumps({"result": [[entry]]}).encode())) as (url, _):
        assert asking(url).search(["q"], 3) == [[document]]


def test_no_more_than_was_asked_for() -> None:
    with serving(lambda asked: (200, json.dumps({"result": [passages(9)]}).encode())) as (url, _):
        assert len(asking(url).search(["q"], 2)[0]) == 2


@pytest.mark.parametrize("bad", [(503, b"busy"), (429, b""), (500, b"oops"), (0, b"")])
def test_a_bad_moment_is_waited_for(bad: Answer) -> None:
    answers = iter([bad, bad])
    with serving(lambda asked: next(answers, None) or found(asked)) as (url, asked):
        assert len(asking(url).search(["q"], 1)[0]) == 1
    assert len(asked) == 3


def test_pauses_double(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with serving(lambda asked: (503, b"busy")) as (url, asked), pytest.raises(EnvError) as failed:
        Server(url, tries=4, pause=0.5).search(["q"], 1)
    assert str(failed.value) == f"retrieval server {url}/retrieve: no result in 4 tries; the last: HTTP 503: 'busy'"
    assert (len(asked), pauses) == (4, [0.5, 1.0, 2.0])


def test_a_refusal_is_final() -> None:
    with (
        serving(lambda asked: (422, b'{"detail": "topk"}')) as (url, asked),
        pytest.raises(EnvError, match=r"refuses: HTTP 422: .*topk"),
    ):
        asking(url).search(["q"], 1)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"<html>", "its answer is not JSON: '<html>'"),
        (b"\xff\xfe", "its answer is not JSON"),
        (b"[]", r"expected {'result': \[1 lists\]}, got '\[\]'"),
        (b'{"result": []}', r"expected {'result': \[1 lists\]}"),
        (b'{"result": [5]}', "a result must be a list of documents, got 5"),
        (b'{"result": [[{"document": {"title": "x"}}]]}', "a document needs 'contents' or 'text', got {'document'"),
        (b'{"result": [["x"]]}', "a document needs 'contents' or 'text', got 'x'"),
    ],
)
def test_an_answer_of_another_form_is_an_error(said: bytes, message: str) -> None:
    with serving(lambda asked: (200, said)) as (url, asked), pytest.raises(EnvError, match=message):
        asking(url).search(["q"], 1)
    assert len(asked) == 1


def test_a_server_that_hangs_is_given_up() -> None:
    freed = threading.Event()

    def hangs(asked: dict[str, Any]) -> Answer:
        freed.wait(60)
        return 0, b""  # nobody listens any more

    with serving(hangs) as (url, asked):
        with pytest.raises(EnvError, match=r"no result in 2 tries; the last: no answer within 0\.05 s"):
            asking(url, seconds=0.05, tries=2).search(["q"], 1)
        freed.set()
    assert len(asked) == 2


def test_nobody_there() -> None:
    with serving(found) as (url, _):
        pass
    with pytest.raises(EnvError, match=r"no result in 2 tries; the last: .*refused"):
        asking(url, tries=2).search(["q"], 1)


def test_a_wrong_address_is_told_when_the_world_is_made() -> None:
    with (
        serving(lambda asked: (404, b"no such page")) as (url, _),
        pytest.raises(ConfigError, match=r"HTTP 404: 'no such page'\. Start the server, or correct retrieval="),
    ):
        open_retriever(f"{url}/other", None)
    with pytest.raises(ConfigError, match="retrieval=http://: not an address; write http://host:port"):
        open_retriever("http://", None)


def test_a_path_of_ones_own_is_kept() -> None:
    with serving(found) as (url, asked):
        open_retriever(f"{url}/v2/find", None).search(["q"], 1)
    assert [path for path, _ in asked] == ["/v2/find", "/v2/find"]


def test_threads_ask_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=60)

    def together(asked: dict[str, Any]) -> Answer:
        both.wait()
        return found(asked)

    with serving(together) as (url, _):
        server, results = asking(url), []
        threads = [threading.Thread(target=lambda: results.append(server.search(["q"], 1))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(result[0]) for result in results] == [1, 1]
