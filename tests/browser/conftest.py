"""A headless Chromium, and pages of reports in it. Screenshots stay in `screenshots/`, which git ignores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import viewer_runs

from treeroll.report import write_report

HERE = Path(__file__).parent
FINDER = HERE.parents[1] / "scripts" / "browser"
VIEWER = "section.tv[data-ready]"


@pytest.fixture(scope="session")
def browser():
    """Fails where there is no browser: a report that nobody has opened is not tested."""
    found = subprocess.run([sys.executable, FINDER, "--find"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.fail(f"{found.stderr.strip()}. Or let this find or install one: python scripts/browser", pytrace=False)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.fail("the browser tests need playwright: pip install -c constraints.txt -e '.[dev]'", pytrace=False)
    with sync_playwright() as playwright:
        # A container's root may start Chromium only without its sandbox; the pages are our own.
        started = playwright.chromium.launch(executable_path=found.stdout.strip(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of `viewer_runs.small_run`."""
    return write_report(viewer_runs.small_run(tmp_path_factory.mktemp("small") / "run"))


@pytest.fixture
def visit(browser):
    """Opens a page and waits for a part of it, at first the viewer. What it complains of fails the test, at its end."""
    contexts, complaints = [], []

    def opened(path: Path, place: str = "", *, ready: str = VIEWER, **options):
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: None if asked.url.startswith("file:") else complaints.append(asked.url))
        page.goto(path.as_uri() + place)
        page.wait_for_selector(ready)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def pictures() -> dict[str, str]:
    """Which test kept a picture, by its name."""
    return {}


@pytest.fixture
def keep(pictures, request):
    """Keeps a picture of a page; fails where another test has kept one of that name."""

    def kept(page, name: str, *, whole: bool = True) -> None:
        assert pictures.setdefault(name, request.node.nodeid) == request.node.nodeid
        page.screenshot(path=HERE / "screenshots" / f"{name}.png", full_page=whole)

    return kept
