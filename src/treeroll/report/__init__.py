"""A run as one self-contained HTML page, and a tree as plain text. Reads files only; torch is never imported."""

from __future__ import annotations

from treeroll.report.page import write_report
from treeroll.report.trees import branches

__all__ = ["branches", "write_report"]
