"""The tree viewer: the section of a run's report that shows every tree of a step, from files alone.

Python packs the trees (`records`, `steps`) and writes the section (`section`); the scripts and the style sheet that
show them lie beside it (`js/`, `viewer.css`) and are copied into the page (`bundle`), which needs no network.
"""

from __future__ import annotations

from treeroll.report.viewer.section import script_policy, section

__all__ = ["script_policy", "section"]
