"""What a vLLM worker does at an update: takes new weights, and what was made from the old ones anew.

A server gets it with --worker-extension-cls treeroll.samplers.vllm.worker.Worker, in whose environment treeroll has to
be installed (its core is enough: pip install --no-deps treeroll).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Worker:
    """Methods that vLLM adds to its own worker."""

    model_runner: Any

    def treeroll_about(self) -> list[str]:
        """Returns the number format and the vocabulary of the model."""
        config = self.model_runner.model_config
        return [str(config.dtype).removeprefix("torch."), str(config.get_vocab_size())]

    def treeroll_load(self, folder: str) -> None:
        """Takes the weights in the safetensors files of a folder."""
        load(self, files(Path(folder)))


def files(folder: Path) -> Iterator[tuple[str, Any]]:
    """Returns the weights of all safetensors files of a folder, one at a time.

    Raises:
      FileNotFoundError: there are none; nothing would be loaded, and nobody told.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no weights: this process does not see it. Name a folder in sampling.weights that learner "
            "and server both see"
        )
    return _opened(paths)


def _opened(paths: Iterable[Path]) -> Iterator[tuple[str, Any]]:
    """Yields the weights of files; each is read when it is asked for."""
    from safetensors import safe_open

    for path in paths:
        with safe_open(path, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - an open file is no mapping
                yield name, weights.get_tensor(name)


def load(worker: Any, weights: Iterable[tuple[str, Any]]) -> None:
    """Puts weights of a checkpoint into a worker's model, through vLLM's own loading.

    On CPU a linear layer computes with a packed copy of its weight. vLLM packs anew what it loads, but an output head
    that is tied to the embedding is not loaded, so its copy would stay the old one: it is packed again here.
    """
    worker.reload_weights(weights_iterator=weights)
    for module in worker.get_model().modules():
        if hasattr(module, "cpu_linear") and module.weight.numel():
            from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

            dispatch_cpu_unquantized_gemm(module, remove_weight=False)
