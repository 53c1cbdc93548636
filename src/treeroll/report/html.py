"""What the pages have in common: the templates' environment, and writing a page all at once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from treeroll.errors import require
from treeroll.report.figures import Figure
from treeroll.report.figures.svg import UNSHOWABLE

HERE = Path(__file__).parent / "templates"


def render(template: str, *, script_policy: str = "", **values: Any) -> str:
    """Returns a page.

    Args:
      template: file in `templates`.
      script_policy: source expressions of the scripts that the page may run; none by default.
      values: what the template names; text is escaped, and characters that HTML forbids are replaced.

    Raises:
      MissingExtraError: jinja2 is not installed.
    """
    jinja2 = require("jinja2", "report")

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["breakable"] = breakable
    css = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "comparison.css", "print.css"))
    html: str = environment.get_template(template).render(
        css=trusted(css), script_policy=trusted(script_policy), **values
    )
    return UNSHOWABLE.sub("\ufffd", html)


def breakable(text: str) -> Any:
    """Returns a name as markup that a line may end in after each `:`, `=` and `.`, and not within a word or number."""
    escaped = str(require("markupsafe", "report").escape(text))  # an entity has none of the three in it
    return trusted(re.sub(r"(?<=[:=])|(?<=\.)(?!\d)", "<wbr>", escaped))


def trusted(markup: str) -> Any:
    """Returns markup that this package made as what a template takes as it is."""
    return require("markupsafe", "report").Markup(markup)


def drawings(figures: list[Figure]) -> list[dict[str, Any]]:
    """Returns figures as the templates take them."""
    return [{"title": one.title, "caption": one.caption, "svg": trusted(one.svg)} for one in figures]


def write(out: Path, html: str) -> Path:
    """Writes a page, all or nothing, and returns its path."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_text(html, encoding="utf-8")
    os.replace(part, out)
    return out
