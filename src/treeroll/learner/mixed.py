"""Mixed precision: float32 weights and steps, passes through the layers in bfloat16.

A weight in bfloat16 has 8 bits of mantissa, so a step below 1/256 of it is lost. Here the weights stay float32 and
autocast rounds what goes into each matrix product. The output head is outside: logits of a large vocabulary need more
than 8 bits (rounded, two passes disagree on log-probabilities by several per cent), and it is one layer of many.
"""

from __future__ import annotations

from functools import wraps
from types import MethodType
from typing import Any

import torch


def compute_in_bfloat16(model: Any) -> None:
    """Lets a float32 model's layers compute in bfloat16, wherever they are called: sampling, learning, predicting."""
    decoder = model.get_decoder()
    plain = type(decoder).forward

    @wraps(plain)
    def forward(self: Any, *given: Any, **named: Any) -> Any:
        with torch.autocast(self.device.type, torch.bfloat16):
            return plain(self, *given, **named)

    # A bound method, so that a deep copy of the model calls its own layers.
    decoder.forward = MethodType(forward, decoder)
