"""The figures of the reports: one drawing a file, and the lists of what each page shows."""

from __future__ import annotations

from treeroll.report.figures.of_arms import of_arms
from treeroll.report.figures.of_run import of_run
from treeroll.report.figures.of_standings import of_standings
from treeroll.report.figures.svg import Figure

__all__ = ["Figure", "of_arms", "of_run", "of_standings"]
