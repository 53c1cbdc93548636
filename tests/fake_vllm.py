"""A vLLM server that is none: it speaks the part of the protocol that treeroll uses, and fails when it is told to.

What it samples with is a table (`Table`), or any model that scores tokens; its weights come from safetensors files, as
vLLM's do.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from treeroll.samplers.vllm.worker import files

BLOCK = 4
"""Tokens of a block of its prefix cache."""


class Table:
    """A policy whose next token depends on the last one alone: [V, V] logits. Also `samplers.base.Weights`."""

    rounds = False

    def __init__(self, size: int = 12, seed: int = 0) -> None:
        self.table = torch.from_numpy(np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32))

    @property
    def size(self) -> int:
        return len(self.table)

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield "table", self.table

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        self.table = weights["table"]

    def scores(self, ids: Sequence[int]) -> torch.Tensor:
        """Returns [T, V] the logits after each of T tokens."""
        return self.table[torch.tensor(ids, dtype=torch.long)]

    def logprobs(self, rows: Sequence[Any], temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        found = []
        for row in rows:
            ids = np.concatenate([row.prompt_ids, row.completion_ids]).tolist()
            scores = torch.log_softmax(self.scores(ids) / temperature, dim=-1)
            places = np.flatnonzero(row.loss_mask) + len(row.prompt_ids)
            found += [scores[place - 1, ids[place]] for place in places]
        return torch.stack(found), torch.zeros(len(found))


class FakeServer:
    """See `running`.

    Args:
      model: what it samples with; as new whenever the server starts.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.start = {name: weight.clone() for name, weight in model.weights()}
        self.names: list[dict[str, Any]] = [{"id": "it", "max_model_len": 64}]
        self.developer = self.worker = self.details = self.marks = True
        self.raw = self.deaf = False
        """Whether it tells log-probabilities of temperature 1; whether it ignores new weights."""
        self.vocabulary = model.size
        self.faults: deque[Any] = deque()
        """What becomes of the next completions: a status, "drop", a number of seconds, or a function of the reply."""
        self.lost = 0
        """How many of the next requests to score tokens lose their connection."""
        self.asked: list[tuple[str, Any]] = []
        """Paths and bodies of all requests."""
        self.mark, self.cached = "default", set()
        self.pause = threading.Event()
        self.lock = threading.Lock()

    def restart(self) -> None:
        """Loses what a new process would not have."""
        self.model.load({name: weight.clone() for name, weight in self.start.items()})
        self.mark, self.cached = "default", set()

    def paths(self, path: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == path]

    def reply(self, path: str, body: Any) -> Any:
        """Returns what a request is answered with: JSON, or a status and a sentence."""
        if path == "/v1/models":
            return {"data": self.names}
        if path == "/health":
            return {}
        if path == "/v1/completions":
            return self._complete(body)
        if not self.developer or (path.endswith(("/weight_info", "/update_weight_version")) and not self.marks):
            return 404, "Not Found"
        if path == "/collective_rpc":
            return self._call(body)
        if path == "/update_weight_version":
            self.mark = body["new_version"]
        if path == "/reset_prefix_cache":
            self.cached = set()
        return {"weight_version": self.mark}

    def _call(self, body: Any) -> Any:
        method = body["method"]
        if method is None:
            return 400, "Missing 'method' in request body"
        if method == "treeroll_about" and self.worker:
            return {"results": [["float32", str(self.vocabulary)]]}
        folder = {"treeroll_load": "args", "reload_weights": "kwargs"}.get(method)
        if folder is None or (method == "treeroll_load" and not self.worker):
            return 500, f"no method {method}"
        given = body[folder]
        try:
            found = dict(files(Path(given[0] if folder == "args" else given["weights_path"])))
        except FileNotFoundError as error:
            return 500, str(error)
        if not self.deaf:
            self.model.load(found)
        return {"results": [None]}

    def _complete(self, body: Any) -> Any:
        prompts = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
        if any(token >= self.vocabulary for prompt in prompts for token in prompt):
            return 400, "Token id is out of vocabulary"
        choices = [self._choice(prompt, body) for prompt in prompts]
        cached = sum(choice.pop("cached") for choice in choices)
        usage = {"prompt_tokens_details": {"cached_tokens": cached}} if self.details else {}
        return {"model": body["model"], "choices": choices, "usage": usage}

    def _choice(self, prompt: list[int], body: Any) -> dict[str, Any]:
        choice: dict[str, Any] = {"cached": self._hit(prompt, body.get("cache_salt"))}
        if body.get("prompt_logprobs") is not None:
            scores = torch.log_softmax(self.model.scores(prompt), dim=-1)
            told = [{str(token): {"logprob": float(scores[place, token])}} for place, token in enumerate(prompt[1:])]
            return {**choice, "prompt_logprobs": [None, *told]}
        draw = np.random.default_rng(body["seed"])
        ids, logprobs = list(prompt), []
        while len(logprobs) < body["max_tokens"]:
            scores = self.model.scores(ids)[-1]
            tempered = torch.log_softmax(scores / body["temperature"], dim=-1)
            chances = tempered.double().exp().numpy()
            ids.append(int(draw.choice(len(chances), p=chances / chances.sum())))
            logprobs.append(float((torch.log_softmax(scores, dim=-1) if self.raw else tempered)[ids[-1]]))
            if ids[-1] in body["stop_token_ids"]:
                break
        return choice | {
            "token_ids": ids[len(prompt) :],
            "prompt_token_ids": prompt,
            "logprobs": {"token_logprobs": logprobs},
            "finish_reason": "stop" if ids[-1] in body["stop_token_ids"] else "length",
        }

    def _hit(self, prompt: list[int], salt: str | None) -> int:
        """Returns how many tokens of a prompt were computed before, in whole blocks, and remembers the prompt."""
        starts = [(salt, *prompt[:end]) for end in range(BLOCK, len(prompt), BLOCK)]
        with self.lock:
            found = sum(start in self.cached for start in starts)
            self.cached.update(starts)
        return BLOCK * found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        fake, path = self.server.fake, urlsplit(self.path).path
        with fake.lock:
            fake.asked.append((path, body))
            sampling = path == "/v1/completions" and "seed" in body
            fault = fake.faults.popleft() if sampling and fake.faults else None
            if fake.lost and path == "/v1/completions" and "prompt_logprobs" in body:
                fake.lost, fault = fake.lost - 1, "drop"
        if fault == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if isinstance(fault, float):
            fake.pause.wait(fault)
        reply = (fault, "out of order") if isinstance(fault, int) else fake.reply(path, body)
        if callable(fault):
            reply = fault(reply)
        status, content = (reply[0], {"error": {"message": reply[1]}}) if isinstance(reply, tuple) else (200, reply)
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, *told: object) -> None:
        """Says nothing."""


@contextmanager
def running(model: Any) -> Iterator[tuple[FakeServer, str]]:
    """Runs a server on a free port; yields it and its address."""
    fake = FakeServer(model)
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.fake = True, fake
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake, f"http://127.0.0.1:{server.server_port}"
    finally:
        fake.pause.set()
        server.shutdown()
        server.server_close()
        thread.join()
