"""Who wins by how much, in words: the headline of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treeroll.report.compared import Arm, Comparison, Estimate

AT = (("success_tokens", "at equal sampled tokens"), ("success_rollouts", "at equal rollouts"), ("final", "at the end"))
"""Columns that a headline may be about, the first one that there is."""


@dataclass(frozen=True)
class Standing:
    """How the arms stand on one environment."""

    env: str
    winner: str
    """Name of the arm that the sentence starts with; empty where none is clearly ahead."""
    words: str
    """What follows the name."""


def measure(found: Comparison) -> tuple[str, str]:
    """Returns (key of the column, words) of what the headline is about."""
    held = {key for arm in found.arms for key in arm.mean}
    return next((pair for pair in AT if pair[0] in held), AT[-1])


def standing(found: Comparison, env: str) -> Standing | None:
    """Returns who is ahead on an environment; None where nothing was measured, or nothing to compare with."""
    key, _ = measure(found)
    arms = [arm for arm in found.on(env) if key in arm.mean]
    reference = next((arm for arm in arms if arm.name == found.reference), None)
    others = [arm for arm in arms if key in arm.difference]
    if reference is None or not others:
        return None
    best = max(others, key=lambda arm: arm.mean[key].mean)
    gap, count = best.difference[key], _tally(others, key)
    if gap.sign > 0:
        ahead = f"is ahead of {reference.name}: {best.mean[key].mean:.3f} against {reference.mean[key].mean:.3f}"
        return Standing(env, best.name, f"{ahead}, {said(gap)}. {count}".strip())
    if all(arm.difference[key].sign < 0 for arm in others):
        behind = f"is ahead of every other arm with {reference.mean[key].mean:.3f}; the nearest is {best.name}"
        return Standing(env, reference.name, f"{behind}, {said(gap)}.")
    near = f"No arm is clearly ahead of {reference.name} ({reference.mean[key].mean:.3f})"
    return Standing(env, "", f"{near}; the highest other is {best.name}, {said(gap)}. {count}".strip())


def title(found: Comparison) -> str:
    """Returns the headline of the page."""
    key, _ = measure(found)
    if found.pooled and len(found.envs) > 1:
        gaps = [(name, gap[key]) for name, gap in found.pooled if key in gap]
        over = f" over {len(found.envs)} worlds"
    else:
        gaps = [(arm.name, arm.difference[key]) for arm in found.arms if key in arm.difference]
        over = f" on {found.envs[0]}" if len(found.envs) == 1 else ""
    if not gaps or (len(found.envs) > 1 and not found.pooled):
        return "A comparison" + (f" on {', '.join(found.envs)}" if found.envs else "")
    name, gap = max(gaps, key=lambda pair: pair[1].mean)
    if gap.sign > 0:
        return f"{name} beats {found.reference} by {gap.mean:.3f}{over}"
    if all(other.sign < 0 for _, other in gaps):
        return f"{found.reference} beats every other arm{over}"
    return f"No arm clearly beats {found.reference}{over}"


def said(gap: Estimate, digits: int = 3) -> str:
    """Returns a difference with its interval, e.g. ``"+0.067 [+0.041, +0.092]"``."""
    if gap.low is None or gap.high is None:
        return f"{gap.mean:+,.{digits}f} (no interval: one seed)"
    return f"{gap.mean:+,.{digits}f} [{gap.low:+,.{digits}f}, {gap.high:+,.{digits}f}]"


def _tally(others: Sequence[Arm], key: str) -> str:
    """Returns how many arms differ clearly from the reference, in words; empty where there is one arm."""
    if len(others) < 2:
        return ""
    above, below = (sum(arm.difference[key].sign == sign for arm in others) for sign in (1, -1))
    return (
        f"Of {len(others)} arms, {above or 'none'} lie clearly above the reference and {below or 'none'} clearly below."
    )
