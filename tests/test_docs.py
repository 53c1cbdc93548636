"""The pages say what the code is: the table of methods, links that lead somewhere, no gaps left to fill."""

import re
from pathlib import Path

import pytest

from treeroll import methods
from treeroll.config import options

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])
TARGET = re.compile(r"(?:`|^)make ([a-z][a-z0-9-]*)(?=`|  | [A-Z#]|$)", re.MULTILINE)
OPTION = re.compile(r"(?<=[\s`-])((?:budget|sampling|predictor|learner|evaluation)\.[a-z_]+)(?==| [A-Z0-9]|`)")
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


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_make_is_there(page):
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(TARGET.findall(page.read_text(encoding="utf-8"))) <= set(targets)


def test_every_target_of_make_is_made():
    """One that is declared phony and has no rule does nothing, without a word."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = " ".join(re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)).split()
    assert sorted(phony) == sorted(re.findall(r"^([a-z0-9-]+):", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_option_is_there(page):
    """Also those that a page names in passing; what is no option is a module."""
    known = {key for key, _ in options()}
    named = set(OPTION.findall(page.read_text(encoding="utf-8"))) - known
    assert [key for key in named if not (ROOT / "src/treeroll" / f"{key.replace('.', '/')}.py").exists()] == []
