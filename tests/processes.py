"""Several processes of one run in a test: forks of the test's own, so that nothing is imported twice."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from treeroll.errors import TreerollError
from treeroll.ranks import Ranks


def together(folder: Path, work: Callable[[Ranks], Any], count: int = 2) -> list[Any]:
    """Returns what `work` returns in each process: a `TreerollError` if it raised one, None if the process died."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True)
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_one, args=(rank, count, port, folder, work)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    said = "".join(path.read_text() for path in folder.glob("*.txt"))
    assert not said, said
    found = [folder / f"{rank}.pickle" for rank in range(count)]
    return [pickle.loads(path.read_bytes()) if path.exists() else None for path in found]


def _one(rank: int, count: int, port: int, folder: Path, work: Callable[[Ranks], Any]) -> None:
    from accelerate.state import PartialState

    PartialState._reset_state()
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
                   "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
    try:
        ranks = Ranks.join("cpu")
        try:
            told = work(ranks)
        except TreerollError as error:
            told = error
        (folder / f"{rank}.pickle").write_bytes(pickle.dumps(told))
    except BaseException:
        (folder / f"{rank}.txt").write_text(traceback.format_exc())
    finally:
        os._exit(0)
