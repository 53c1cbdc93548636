"""Who wins by how much, in words: the headline of a comparison.

An arm is ahead where its difference to the reference lies above 0 by an interval that holds for all arms at once
(`comparison.statistics.corrected`): the best of many is picked after looking. Bounds, which the oracle tells, are shown
but never win.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from treeroll.comparison.statistics import LEAST
from treeroll.report.compared import Arm, Comparison, Estimate

AT = (("success_tokens", "at equal sampled tokens"), ("success_rollouts", "at equal rollouts"), ("final", "at the end"))
"""Columns that a headline may be about, the first one that there is."""

Named = tuple[str, Estimate]
"""An arm's name, and its difference to the reference."""


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
    arms = {arm.name: arm for arm in found.on(env) if key in arm.mean}
    reference = arms.get(found.reference)
    gaps = _rivals(arms.values(), key)
    if reference is None or not gaps:
        return None
    ahead, behind = _clear(gaps)
    base = f"{reference.name} ({reference.mean[key].mean:.3f})"
    tally = _tally(len(gaps), len(ahead), len(behind))
    if ahead:
        name, gap = ahead[0]
        won = f"is ahead of {base} with {arms[name].mean[key].mean:.3f}, {said(gap, found.seeds)}."
        return Standing(env, name, f"{won} {tally}".strip())
    name, gap = max(gaps, key=lambda pair: pair[1].mean)
    if len(behind) == len(gaps):
        won = f"is ahead of every other arm with {reference.mean[key].mean:.3f}; the nearest is {name}"
        return Standing(env, reference.name, f"{won}, {said(gap, found.seeds)}.")
    near = f"the highest other is {name}, {said(gap, found.seeds)}."
    if _judged(gaps):
        return Standing(env, "", f"No arm is clearly ahead of {base}; {near} {tally}".strip())
    return Standing(env, "", f"No verdict, as fewer than {LEAST} seeds give no interval. Against {base}, {near}")


def title(found: Comparison) -> str:
    """Returns the headline of the page."""
    key, _ = measure(found)
    if found.pooled and len(found.envs) > 1:
        gaps = [(arm.name, arm.headline[key]) for arm in found.pooled if key in arm.headline and not arm.bound]
        over = f" over {len(found.envs)} worlds"
    else:
        gaps = _rivals(found.arms, key)
        over = f" on {found.envs[0]}" if len(found.envs) == 1 else ""
    if not gaps or (len(found.envs) > 1 and not found.pooled):
        return "A comparison" + (f" on {', '.join(found.envs)}" if found.envs else "")
    ahead, behind = _clear(gaps)
    if ahead:
        name, gap = ahead[0]
        return f"{name} beats {found.reference} by {gap.mean:.3f}{over}"
    if len(behind) == len(gaps):
        return f"{found.reference} beats {'every other arm' if len(gaps) > 1 else gaps[0][0]}{over}"
    if not _judged(gaps):
        return f"Too few seeds for a verdict{over}"
    return f"No arm clearly beats {found.reference}{over}"


def said(gap: Estimate, asked: int = 0, digits: int = 3) -> str:
    """Returns a difference with its interval, or its seeds' values, e.g. ``"+0.067 [+0.041, +0.092]"``.

    Args:
      gap: the difference.
      asked: seeds of the comparison; a difference of fewer says so.
      digits: decimals.
    """
    fewer = f" over {gap.seeds} of {asked} seeds" if 0 < gap.seeds < asked else ""
    if gap.low is not None and gap.high is not None:
        return f"{gap.mean:+,.{digits}f} [{gap.low:+,.{digits}f}, {gap.high:+,.{digits}f}]{fewer}"
    values = "; ".join(f"{value:+,.{digits}f}" for value in gap.each)
    return f"{gap.mean:+,.{digits}f}" + (f" ({values})" if len(gap.each) > 1 else "") + fewer


def _rivals(arms: Iterable[Arm], key: str) -> list[Named]:
    """Returns the differences of all arms but bounds; they have the seeds' values where they have no interval."""
    return [(arm.name, arm.headline[key]) for arm in arms if key in arm.headline and not arm.bound]


def _clear(gaps: Sequence[Named]) -> tuple[list[Named], list[Named]]:
    """Returns those that lie clearly above, the highest first, and those that lie clearly below."""
    ahead = sorted((pair for pair in gaps if pair[1].sign > 0), key=lambda pair: -pair[1].mean)
    return ahead, [pair for pair in gaps if pair[1].sign < 0]


def _judged(gaps: Sequence[Named]) -> bool:
    """Returns whether any of them has an interval."""
    return any(gap.low is not None for _, gap in gaps)


def _tally(count: int, above: int, below: int) -> str:
    """Returns how many arms differ clearly from the reference, in words; empty where there is one arm."""
    if count < 2:
        return ""
    verb = "lies" if above == 1 else "lie"
    return f"Of {count} arms, {above or 'none'} {verb} clearly above the reference and {below or 'none'} clearly below."
