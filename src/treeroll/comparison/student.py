"""Student's t for whole degrees of freedom, exactly and with numpy's own means: no table, no library."""

from __future__ import annotations

import math

_HALVINGS = 60
"""Of [0, pi/2], after which an angle is known to the last bit."""


def inside(angle: float, freedom: int) -> float:
    """Returns P(|T| < sqrt(freedom) tan(angle)), a finite sum: Abramowitz and Stegun, 26.7.3 and 26.7.4.

    Args:
      angle: in [0, pi/2].
      freedom: degrees of freedom, at least 1.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for power in range(3 + odd, freedom + 1, 2):  # each term has two more cosines than the one before
        term *= cosine * cosine * (power - 2) / (power - 1)
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def quantile(level: float, freedom: int) -> float:
    """Returns t with P(T < t) = `level`, for Student's T; found by bisection of `inside`.

    Args:
      level: in [0.5, 1).
      freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle, freedom) < 2 * level - 1 else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)
