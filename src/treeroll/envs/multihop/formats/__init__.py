"""Multi-hop data sets in the formats they are published in, one file each."""

from __future__ import annotations

from treeroll.envs.multihop.formats.bamboogle import BAMBOOGLE
from treeroll.envs.multihop.formats.hotpotqa import HOTPOTQA
from treeroll.envs.multihop.formats.musique import MUSIQUE
from treeroll.envs.multihop.formats.twowiki import TWOWIKI
from treeroll.envs.multihop.question import Format

__all__ = ["BAMBOOGLE", "FORMATS", "HOTPOTQA", "MUSIQUE", "TWOWIKI"]

FORMATS: dict[str, Format] = {form.name: form for form in (HOTPOTQA, TWOWIKI, MUSIQUE, BAMBOOGLE)}
