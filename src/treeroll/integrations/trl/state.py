"""What a checkpoint needs beside TRL's own, for each rank; written whole or not at all.

tree-rank-0.npz   the predictor, and how far this rank's trees have come
tree-rank-0.pt    the rest of a generation batch, where a checkpoint falls between two generations
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from treeroll.errors import DataError

OWN = "treeroll"
"""Key of the state that is not the predictor's."""


def save(folder: Path, rank: int, predictor: Mapping[str, Any], state: Mapping[str, Any], batch: Any) -> None:
    """Writes a rank's state into a checkpoint.

    Args:
      folder: the checkpoint.
      rank: of this process.
      predictor: its state.
      state: JSON values.
      batch: tensors that are still to be trained on, or None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"tree-rank-{rank}.npz"
    part = target.with_name(target.name + ".part")
    arrays = {key: np.asarray(value) for key, value in predictor.items()}
    rest = target.with_suffix(".pt")
    rest.unlink(missing_ok=True)  # of an earlier run in this folder
    if batch is not None:
        torch.save(batch, rest)
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{OWN: np.asarray(json.dumps(dict(state)))})
    os.replace(part, target)


def load(folder: Path, rank: int) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Returns a rank's predictor state, its own state, and what was still to be trained on (None: nothing).

    Raises:
      DataError: the checkpoint holds no trees, or none of this rank.
    """
    path = folder / f"tree-rank-{rank}.npz"
    if not path.exists():
        found = sorted(file.name for file in folder.glob("tree-rank-*.npz"))
        raise DataError(
            f"checkpoint {folder} has no {path.name}; it has {', '.join(found) or 'no state of trees'}. Resume with as "
            "many processes as saved it, or start from its weights: model=that folder, without resume_from_checkpoint"
        )
    with np.load(path, allow_pickle=False) as arrays:
        state = json.loads(arrays[OWN].item())
        predictor = {
            key: arrays[key].item() if arrays[key].ndim == 0 else arrays[key] for key in arrays.files if key != OWN
        }
    rest = path.with_suffix(".pt")
    return predictor, state, torch.load(rest, weights_only=True) if rest.exists() else None
