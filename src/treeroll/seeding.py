"""Every random draw has an address: the same run seed and address give the same draw, whatever else ran."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *address: int | str) -> int:
    """Returns a 64-bit seed for one place of the program.

    Args:
      seed: the run's seed.
      address: where the draw happens, outermost first, e.g. ``("turn", step, task_id, node, sample)``.
        Addresses that differ in any part give independent seeds.
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in address)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, *address: int | str) -> np.random.Generator:
    """Returns numpy's generator for one address; see `derive`."""
    return np.random.Generator(np.random.Philox(key=derive(seed, *address)))
