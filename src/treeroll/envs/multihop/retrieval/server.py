"""A retrieval server as Search-R1 (arXiv 2503.09516) runs it, and whoever speaks like it.

    POST /retrieve  {"queries": ["..."], "topk": 3, "return_scores": true}
    {"result": [[{"document": {"id": "7", "contents": "\\"Title\\"\\nText"}, "score": 1.5}, ...]]}

A document may have `title` and `text` instead of `contents`, and may stand without its score.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from treeroll.envs.multihop.question import Document
from treeroll.envs.multihop.retrieval.corpus import contents
from treeroll.errors import ConfigError, EnvError

PATH = "/retrieve"
"""Where a server is asked whose address names no path."""
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one a moment later."""


class Server:
    """Asks a server over HTTP; threads may ask at the same time.

    Args:
      url: its address; `/retrieve` is added where it has no path.
      seconds: wall seconds that an answer may take.
      tries: how often a question is asked before the search has failed.
      pause: seconds before the second try; twice as long before each further one.

    Raises:
      ConfigError: not an http or https address.
    """

    def __init__(self, url: str, *, seconds: float = 20.0, tries: int = 4, pause: float = 0.5) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"retrieval={url}: not an address; write http://host:port")
        self.url = parts._replace(path=PATH).geturl() if parts.path in ("", "/") else url
        self.seconds, self.tries, self.pause = seconds, tries, pause

    def check(self) -> None:
        """Asks for one passage.

        Raises:
          ConfigError: no answer, or none that can be read.
        """
        try:
            self.search(["test"], 1)
        except EnvError as error:
            raise ConfigError(f"{error}. Start the server, or correct retrieval={self.url}") from error

    def search(self, queries: Sequence[str], top: int) -> list[list[Document]]:
        """Returns what the server finds, in its order.

        Raises:
          EnvError: no answer after all tries, a refusal, or an answer of another form.
        """
        said = self._ask(json.dumps({"queries": list(queries), "topk": top, "return_scores": True}).encode())
        try:
            found = json.loads(said)
        except ValueError as error:
            raise EnvError(f"retrieval server {self.url}: its answer is not JSON: {_shown(said)}") from error
        result = found.get("result") if isinstance(found, Mapping) else None
        if not isinstance(result, list) or len(result) != len(queries):
            raise EnvError(
                f"retrieval server {self.url}: expected {{'result': [{len(queries)} lists]}}, got {_shown(said)}"
            )
        return [[self._document(entry) for entry in self._entries(row)][:top] for row in result]

    def _ask(self, question: bytes) -> bytes:
        request = urllib.request.Request(self.url, question, {"Content-Type": "application/json"}, method="POST")
        cause = ""
        for number in range(self.tries):
            if number:
                time.sleep(self.pause * 2 ** (number - 1))
            try:
                with urllib.request.urlopen(request, timeout=self.seconds) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    cause = f"HTTP {error.code}: {_shown(error.read())}"
                if error.code not in BUSY:
                    raise EnvError(f"retrieval server {self.url} refuses: {cause}") from error
            except TimeoutError:
                cause = f"no answer within {self.seconds:g} s"
            except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
                reason = getattr(error, "reason", error)
                late = isinstance(reason, TimeoutError)
                cause = f"no answer within {self.seconds:g} s" if late else str(reason) or type(error).__name__
        raise EnvError(f"retrieval server {self.url}: no result in {self.tries} tries; the last: {cause}")

    def _entries(self, row: object) -> list[Any]:
        if not isinstance(row, list):
            raise EnvError(f"retrieval server {self.url}: a result must be a list of documents, got {row!r:.80}")
        return row

    def _document(self, entry: object) -> Document:
        inner = entry.get("document", entry) if isinstance(entry, Mapping) else entry
        if isinstance(inner, Mapping):
            name = str(inner.get("id", ""))
            if isinstance(inner.get("contents"), str):
                return Document(name, *contents(inner["contents"]))
            if isinstance(inner.get("text"), str):
                return Document(name, str(inner.get("title") or ""), inner["text"].strip())
        raise EnvError(f"retrieval server {self.url}: a document needs 'contents' or 'text', got {entry!r:.80}")


def _shown(said: bytes) -> str:
    """Returns the start of an answer, for a message."""
    return repr(said[:80].decode(errors="replace"))
