"""The pages say what the code is: the table of methods, links that lead somewhere, no gaps left to fill."""

import re
from pathlib import Path

import pytest

from treeroll import methods

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def methods_table() -> str:
    rows = ["| method | rules | predictor | credit | paper |", "| --- | --- | --- | --- | --- |"]
    for method in methods.METHODS.values():
        rules = ", then ".join(f"`{type(rule).__name__}`" for rule in method.rounds())
        paper = f"[{method.paper.rsplit('/', 1)[1]}]({method.paper})"
        rows.append(f"| `{method.name}` | {rules} | `{method.predictor}` | `{method.credit}` | {paper} |")
    return "\n".join(rows)


def test_the_table_of_methods_is_what_the_registry_gives():
    section = (ROOT / "docs" / "method.md").read_text(encoding="utf-8").split("\n## Methods\n")[1].split("\n## ")[0]
    written = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert written == methods_table(), f"put this into docs/method.md:\n{methods_table()}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_has_a_gap_to_fill(page):
    assert "@@" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if ROOT / "src" not in page.parents], ids=name)
def test_relative_links_lead_to_files(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
