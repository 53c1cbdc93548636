"""What rules came to on recorded forests, as a markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treeroll.comparison.replay import MOST_CUT
from treeroll.comparison.table import rows

LIMITS = (
    "Judged on recorded outcomes, by means over all draws from the record; nothing was sampled. It ranks rules on the "
    "tasks and prefixes that were recorded, at the policy that recorded them: not on what the recording rule dropped "
    "or never continued, and not by what a policy learns. Stages that were recorded by rules which look at outcomes "
    "before they ask for more are left out: their group sizes depend on outcomes, and the means would be biased. Cut: "
    "planned rollouts beyond the record, which count for nothing; a rule that lost more than "
    f"{MOST_CUT:.0%} of its plan so is not comparable. Relied on: steps in which the rule's predictor was informed; in "
    "the others it allocated uniformly. The bound knows all outcomes of the record, luck included, and spends as many "
    "rollouts as the rule it is set against. Rules stand by their share of it, not by their rate per 1,000 rollouts, "
    "which falls with what is spent."
)
STAGES = (("roots", "Stage 1: mixed groups"), ("prefixes", "Stage 2: flips"))
_SHARED = ("rule", "predictor", "steps", "relied on", "rollouts", "cut", "a choice", "per 1,000", "of the bound")
_FLIPS = ("flips predicted", "flips realised")


def page(found: Mapping[str, Any]) -> str:
    """Returns the page of what `replay.json` holds."""
    runs = f"{len(found['runs'])} recorded run{'s' if len(found['runs']) > 1 else ''}"
    parts = ["# Rules on recorded forests", f"{runs}; rules spend {found['share']:g} of what was recorded. {LIMITS}"]
    parts += found["notes"]
    for world in found["envs"]:
        parts.append(f"## {world}")
        for key, title in STAGES:
            entries = sorted((entry for entry in found[key] if entry["env"] == world), key=_place)
            heading = [*_SHARED, *(_FLIPS if key == "prefixes" else ())]
            lines = [_line(entry, key == "prefixes") for entry in entries]
            parts += [f"### {title}", rows(heading, lines) if lines else "No rule could be judged here."]
    if found["problems"]:
        parts += ["## Problems", "\n".join(f"- {problem}" for problem in found["problems"])]
    return "\n\n".join(parts) + "\n"


def _place(entry: Mapping[str, Any]) -> tuple[bool, float]:
    """Returns what rules are sorted by: comparable ones first, the largest share of the bound first."""
    share = entry["share_of_bound"]
    return not entry["comparable"], 0.0 if share is None else -share


def _line(entry: Mapping[str, Any], flips: bool) -> list[str]:
    def shown(key: str, form: str) -> str:
        return "-" if entry[key] is None else f"{entry[key]:{form}}"

    size = entry["rollouts"] / entry["anchors"] if entry["anchors"] else 0.0
    name = f"`{entry['name']}`" if entry["comparable"] else f"`{entry['name']}` (not comparable)"
    cells = [
        name, entry["predictor"], str(entry["steps"]), shown("informed", ".0%"), f"{entry['rollouts']:,}",
        shown("cut", ".0%"), f"{size:.1f}", shown("per_1000", ".0f"), shown("share_of_bound", ".2f"),
    ]  # fmt: skip
    return [*cells, shown("predicted", ".2f"), shown("realised", ".2f")] if flips else cells
