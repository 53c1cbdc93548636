"""The four settings of the compact world: where in an episode its outcome is decided.

    atlas         1-4 hops, then the answer: 2 to 5 turns; a wrong reading of an alias is fatal
    atlas-long    8 places are read first, then 1-2 hops and the answer: decided in the last third of 12 turns
    atlas-early   1-2 hops and the answer come first, then 8 places are read: decided at the start, and then fixed
    atlas-repair  1-3 hops, and a wrong answer may be mended until the 12th turn: open until the end

Reading a place is easy, and what it says does not matter for the answer: such turns stand for the gathering that
real agents do. See `compact` for the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from treeroll.envs.atlas.questions import HOPS, Mix, Question, Tier
from treeroll.seeding import generator


@dataclass(frozen=True, eq=False)
class Setting:
    """What the tasks of a world ask beside their question."""

    name: str
    max_turns: int
    """Turns after which an episode fails."""
    hops: Mapping[Tier, tuple[int, int]]
    """Fewest and most hops of a tier."""
    mix: Mix
    """Shares of the tiers, chosen for a start where 0.2 to 0.4 of uniform groups of 8 are mixed."""
    places: int = 0
    """Places that are to be read before or after the question; 0: none."""
    when: Literal["first", "last"] = "first"
    """Whether the places come before the question or after its answer."""
    checked: bool = False
    """Whether a wrong answer is refused, so that the agent can try again."""

    def demands(self, question: Question, entities: Sequence[str], name: str) -> dict[str, Any]:
        """Returns what a task's data holds beside its question; nothing where there is nothing.

        Args:
          entities: where places are drawn from; those of the question are left out.
          name: the task's, from which the draw follows.
        """
        found: dict[str, Any] = {"checked": True} if self.checked else {}
        if self.places:
            free = [*entities]
            for entity in set(question.chain).intersection(entities):
                free.remove(entity)
            start = [question.start] if self.when == "first" else []
            drawn = generator(0, "atlas places", name).choice(len(free), self.places - len(start), replace=False)
            found |= {"places": [*(free[place] for place in drawn), *start], "when": self.when}
        return found


_SHORT: Mapping[Tier, tuple[int, int]] = {"easy": (1, 2), "frontier": (1, 2), "hard": (2, 2)}

ATLAS = Setting("atlas", 6, HOPS, Mix())
LONG = Setting("atlas-long", 12, _SHORT, Mix(), places=8, when="first")
EARLY = Setting("atlas-early", 12, _SHORT, Mix(), places=8, when="last")
REPAIR = Setting("atlas-repair", 12, {"easy": (1, 2), "frontier": (1, 3), "hard": (2, 3)}, Mix(), checked=True)

SETTINGS = {setting.name: setting for setting in (ATLAS, LONG, EARLY, REPAIR)}
