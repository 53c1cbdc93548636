"""The groups of rewards that every parity script scores: sizes 2 to 16, binary and graded, with ties.

All are multiples of 1/64, so that float32 holds them exactly: what is compared is the rule, not the rounding of 0.1.
"""

from __future__ import annotations

GROUPS: dict[str, list[float]] = {
    "two, one success": [1.0, 0.0],
    "two, graded": [0.25, 0.75],
    "two, close": [0.5, 0.515625],
    "two, equal": [1.0, 1.0],
    "three, one success": [0.0, 1.0, 0.0],
    "three, graded, a tie": [0.25, 0.25, 0.875],
    "three, equal and graded": [0.375, 0.375, 0.375],
    "four, one success": [1.0, 0.0, 0.0, 0.0],
    "four, two successes": [1.0, 0.0, 1.0, 0.0],
    "four, graded": [0.125, 0.5, 0.96875, 0.3125],
    "four, all fail": [0.0, 0.0, 0.0, 0.0],
    "eight, one failure": [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0],
    "eight, graded, ties": [0.0, 0.25, 0.25, 0.703125, 1.0, 1.0, 0.359375, 0.0],
    "eight, negative and above one": [-1.0, 2.0, 0.5, -0.25, 3.5, 0.0, 0.0, 1.0],
    "sixteen, one success": [0.0] * 15 + [1.0],
    "sixteen, graded": [k * (k % 5) / 64 for k in range(16)],
}
"""Name -> rewards of one task's rollouts."""
