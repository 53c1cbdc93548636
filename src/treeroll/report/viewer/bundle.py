"""The viewer's scripts as one inline module: a page opened from a file can import nothing.

The files in `js/` are ordinary modules, each importing what it uses. Here each becomes a function that is called at
once and returns what the file exports, in an order in which what is imported comes first:

    import { el } from "./dom.js";         const { el } = dom$;
    export function map() {...}            const map$ = (() => { function map() {...} return { map }; })();
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ENTRY = "main.js"

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|const|class) (\w+)", re.MULTILINE)
_LEFT = re.compile(r"^\s*(?:import|export)\b.*", re.MULTILINE)


@cache
def script() -> str:
    """Returns all scripts as the text of one module.

    Raises:
      RuntimeError: an import or export has a form that cannot be put together here.
    """
    parts: dict[str, str] = {}
    _add(ENTRY.removesuffix(".js"), parts)
    return "\n".join(parts.values())


@cache
def style() -> str:
    """Returns the style sheet."""
    return (HERE / "viewer.css").read_text(encoding="utf-8")


def _add(name: str, parts: dict[str, str]) -> None:
    source = (HERE / "js" / f"{name}.js").read_text(encoding="utf-8")
    for _, needed in _IMPORT.findall(source):
        if needed not in parts:
            _add(needed, parts)
    exported = [found for _, found in _EXPORT.findall(source)]
    source = _EXPORT.sub(r"\1 \2", _IMPORT.sub(r"const \1 = \2$;", source))
    left = _LEFT.search(source)
    if left is not None:
        raise RuntimeError(f'js/{name}.js: {left[0].strip()!r}; write import {{ a }} from "./b.js"; or export function')
    # The entry exports nothing and waits at its top level, which only a module may.
    parts[name] = (
        f"const {name}$ = (() => {{\n{source}\nreturn {{ {', '.join(exported)} }};\n}})();" if exported else source
    )
