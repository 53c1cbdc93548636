"""Where the files lie that bring new weights to a server; known before torch is imported."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from treeroll.errors import ConfigError

MEMORY = Path("/dev/shm")
"""Where files lie in memory, on Linux."""
NEARBY = ("127.0.0.1", "localhost", "::1")
"""Hosts that are this machine."""


def parent(url: str, folder: str | None) -> str | None:
    """Returns the folder that files are put into; None is the system's own for temporary ones.

    Args:
      url: address of the server.
      folder: `sampling.weights`.

    Raises:
      ConfigError: it does not exist, nothing can be written there, or the server is on another machine and none was
        named.
    """
    if folder is not None:
        if not Path(folder).is_dir():
            raise ConfigError(f"sampling.weights={folder}: no such folder. Name one that the vLLM server can read too")
        try:
            with tempfile.TemporaryDirectory(prefix="treeroll-weights-", dir=folder):
                return folder
        except OSError as error:
            raise ConfigError(
                f"sampling.weights={folder}: nothing can be written there: {error}. Name a folder that this process "
                "can write and the vLLM server can read"
            ) from error
    if urlsplit(url).hostname not in NEARBY:
        raise ConfigError(
            f"the vLLM server at {url} is on another machine, and nobody has said where it finds new weights. Name a "
            "folder that both can read in sampling.weights"
        )
    return str(MEMORY) if MEMORY.is_dir() else None
