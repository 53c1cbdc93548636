"""Every random draw has an address: the same run seed and address give the same draw, whatever else ran."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


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
    # numpy's stub knows its own SeedSequence only.
    return np.random.Generator(np.random.Philox(_Key(derive(seed, *address))))  # type: ignore[arg-type]


class _Key(ISeedSequence):
    """The key of a Philox generator as it stands.

    The same stream as ``Philox(key=...)``, in a third of the time: given a key, numpy asks the system for a seed too,
    and throws it away.
    """

    def __init__(self, key: int) -> None:
        self.key = key

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[Any]:
        """Returns the key, the lowest word first."""
        words = np.zeros(n_words, dtype)
        words[0] = self.key
        return words
