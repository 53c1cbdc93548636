"""A run, and a comparison of runs, as one self-contained HTML page; a tree as plain text.

Reads files only; torch is never imported.

| file | what it holds |
|---|---|
| `page.py`, `comparison_page.py` | the two pages; their markup is in `templates/` |
| `data.py`, `compared.py`, `calibration.py` | what is read: a run folder, a comparison's folder, predictions in trees |
| `standings.py`, `grid.py` | who wins, in words and in tables |
| `figures/` | the drawings, one a file |
| `viewer/` | the trees, to be looked through |
| `trees.py`, `drawing.py`, `terminal.py` | a tree cut into branches, as lines of text, and in a terminal |
| `advantages.py` | the credit of a saved tree, computed again |
"""

from __future__ import annotations

from treeroll.report.compared import run_folders
from treeroll.report.comparison_page import write_comparison
from treeroll.report.drawing import branches
from treeroll.report.page import write_report

__all__ = ["branches", "run_folders", "write_comparison", "write_report"]
