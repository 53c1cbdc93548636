"""Where models are found: the packaged tiny one (in this folder), a directory, or the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from treeroll.errors import ConfigError

TINY = Path(__file__).parent / "tiny"
"""The packaged model, trained by `treeroll warmup` for the compact rendering of `atlas`."""


def check_model(name: str) -> str:
    """Returns where a model is to be loaded from, checked as far as can be without loading it.

    Raises:
      ConfigError: a directory that lacks its config, its weights or its tokenizer, or a path that does not exist.
    """
    path = TINY if name == "tiny" else Path(name).expanduser()
    if not path.is_dir():
        if name == "tiny" or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise ConfigError(f"model {name!r}: {path} is not a directory. Name a model directory or a hub model")
        return name
    needed = {
        "config.json": ["config.json"],
        "a weights file": ["*.safetensors", "pytorch_model*.bin"],
        "a tokenizer": ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"],
    }
    for what, patterns in needed.items():
        if not any(list(path.glob(pattern)) for pattern in patterns):
            raise ConfigError(
                f"model {name!r}: {path} holds no {' or '.join(patterns)}, so {what} is missing. "
                "Save the model and its tokenizer there with save_pretrained"
            )
    return str(path)
