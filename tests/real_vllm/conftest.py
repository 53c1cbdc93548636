"""Real vLLM, in an environment of its own: `make test-vllm`. One server for all tests, on a tied model of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from treeroll.models import TINY

CPU = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_CI_ENV": "1",
    "VLLM_SERVER_DEV_MODE": "1",
    "HF_HUB_OFFLINE": "1",
}
"""Small models on few cores: one thread, bound to none of them, and no warm-up."""
FLAGS = (
    "--dtype", "float32", "--block-size", "32", "--enforce-eager", "--no-enable-chunked-prefill",
    "--enable-prompt-tokens-details",
    "--logprobs-mode", "processed_logprobs", "--gpu-memory-utilization", "0.1",
    "--worker-extension-cls", "treeroll.samplers.vllm.worker.Worker",
)  # fmt: skip
STARTING = 600
"""Most seconds until a server answers; on a free machine it takes 30."""

os.environ.update(CPU)


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3 with the tiny model's tokenizer, whose output head is tied to its embedding."""
    folder = tmp_path_factory.mktemp("tied")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=708, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=256, tie_word_embeddings=True,
        initializer_range=0.2,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(TINY).save_pretrained(folder)
    return folder


class Process:
    """A vLLM server as a process."""

    def __init__(self, model: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.model, self.log, self.url = model, log, f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *FLAGS]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        end = time.monotonic() + STARTING
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.5)
        raise RuntimeError(f"the vLLM server did not start:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory, tied: Path) -> Iterator[Process]:
    """A server on its way up, so that other tests can run meanwhile."""
    process = Process(tied, tmp_path_factory.mktemp("server") / "log")
    yield process
    process.kill()


@pytest.fixture
def server(starting: Process) -> Process:
    """The server, up."""
    starting.wait()
    return starting
