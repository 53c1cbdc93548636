"""Indices on disk: made once, whole or not at all, then shared by all processes that open them memory-mapped."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from treeroll.envs.multihop.question import Document
from treeroll.errors import ConfigError, DataError


def default_folder() -> Path:
    """Returns the user's cache folder for indices: `$XDG_CACHE_HOME/treeroll/retrieval`, else below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "treeroll" / "retrieval"


def made(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Returns `folder/name`, which `make` fills where it is not there yet.

    It is made beside its place and moved there, so that a process that is stopped leaves nothing that looks whole,
    and of two that make it at the same time one wins.

    Raises:
      ConfigError: the folder cannot be written.
    """
    target = folder / name
    if target.is_dir():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".part", dir=folder))
    except OSError as error:
        raise ConfigError(f"cache={folder}: cannot be written: {error}. Name another folder with cache=") from error
    try:
        make(part)
        try:
            os.rename(part, target)
        except OSError:
            if not target.is_dir():  # else another process was faster: its index is the same
                raise
        return target
    finally:
        shutil.rmtree(part, ignore_errors=True)


class Documents:
    """Documents on disk, read where they are asked for; threads may read at the same time.

    Args:
      folder: where `write` put them.
    """

    TEXT, STARTS = "documents.jsonl", "starts.npy"

    def __init__(self, folder: Path) -> None:
        path = folder / self.TEXT
        try:
            self._starts = np.load(folder / self.STARTS, mmap_mode="r")
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{folder}: a damaged index: {error}. Delete this folder; it will be made again") from error

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int) -> Document:
        line = self._bytes[int(self._starts[place]) : int(self._starts[place + 1])]
        return Document(*json.loads(line))

    @classmethod
    def write(cls, folder: Path, documents: Iterable[Document]) -> Iterator[Document]:
        """Writes documents and yields each on the way; what it wrote is whole when the last one is taken."""
        starts, encode = [0], json.JSONEncoder(ensure_ascii=False).encode
        with (folder / cls.TEXT).open("wb") as file:
            for document in documents:
                line = encode([document.id, document.title, document.text]) + "\n"
                starts.append(starts[-1] + file.write(line.encode()))
                yield document
        np.save(folder / cls.STARTS, np.asarray(starts, dtype=np.int64))
