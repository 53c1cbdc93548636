"""Checkpoints: everything that a run needs to go on, written whole or not at all.

step-0040/
  model/          weights, config and tokenizer: any Hugging Face tool loads it; LoRA adapters are added in
  adapter/        with LoRA: the adapters alone, unrounded, as peft saves them; a resumed run goes on from these
  optimizer.pt    AdamW's moments
  predictor.npz   the predictor's state
  state.json      step, policy version, budget spent and carried
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from treeroll.errors import DataError
from treeroll.learner.lora import has_adapters, save_adapters
from treeroll.learner.policy import Policy


def save_checkpoint(
    folder: Path,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    predictor: Mapping[str, Any],
    state: Mapping[str, Any],
) -> None:
    """Writes a checkpoint; an interrupted write leaves no folder of that name."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if has_adapters(policy.model):
        save_adapters(policy.model, part / "adapter", policy.name)
        policy.model.save_pretrained(part / "model", state_dict={name: one.cpu() for name, one in policy.weights()})
    else:
        policy.model.save_pretrained(part / "model")
    policy.tokenizer.save_pretrained(part / "model")
    torch.save(optimizer.state_dict(), part / "optimizer.pt")
    with (part / "predictor.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **{key: np.asarray(value) for key, value in predictor.items()})
    (part / "state.json").write_text(json.dumps({**state, "policy_version": policy.version}, indent=2))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


def read_state(folder: Path) -> dict[str, Any]:
    """Returns a checkpoint's state.json.

    Raises:
      DataError: the checkpoint is incomplete, or this file damaged.
    """
    for name in ("model", "optimizer.pt", "predictor.npz", "state.json"):
        if not (folder / name).exists():
            raise DataError(f"checkpoint {folder} is incomplete: {name} is missing")
    with _whole(folder / "state.json") as file:
        state: dict[str, Any] = json.load(file)
    return state


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Puts AdamW's moments back.

    Raises:
      DataError: their file is damaged.
    """
    with _whole(folder / "optimizer.pt") as file:
        state = torch.load(file, weights_only=True)
    optimizer.load_state_dict(state)


def read_predictor(folder: Path) -> dict[str, Any]:
    """Returns the predictor's state; numbers and strings come back as such.

    Raises:
      DataError: its file is damaged.
    """
    with _whole(folder / "predictor.npz") as file, np.load(file, allow_pickle=False) as arrays:
        return {key: arrays[key].item() if arrays[key].ndim == 0 else arrays[key] for key in arrays.files}


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Yields an open file to be read; what shows that it is damaged becomes an error that names it, and a way on."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError:
        raise
    except Exception as error:  # readers meet damage with errors of any kind
        raise DataError(
            f"{path}: damaged ({type(error).__name__}: {error}). Remove {path.parent}: the run then goes on from the "
            "checkpoint before it, or from its start"
        ) from error


def checkpoints(run: Path) -> list[Path]:
    """Returns a run's complete checkpoints, oldest first."""
    return sorted((run / "checkpoints").glob("step-*[0-9]"), key=lambda folder: int(folder.name.removeprefix("step-")))


def latest_checkpoint(run: Path) -> Path | None:
    """Returns a run's newest complete checkpoint, or None."""
    found = checkpoints(run)
    return found[-1] if found else None


def prune_checkpoints(run: Path, keep: int) -> None:
    """Deletes all but a run's newest `keep` checkpoints."""
    for folder in checkpoints(run)[:-keep]:
        shutil.rmtree(folder)
