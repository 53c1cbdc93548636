"""The page of a comparison as a reader uses it, in headless Chromium; its runs have trees, but no pages at first."""

import pytest
import viewer_runs
from playwright.sync_api import expect

from comparison_runs import comparison
from tiny import printed
from treeroll.comparison import World, write
from treeroll.report import write_comparison
from treeroll.sinks import TREES, trees_file
from treeroll.treefile import save_trees

WORLDS = (World("atlas", "atlas"), World("atlas-" + "W" * 60, "atlas"))
ENDS = {"grpo": [0.5 + 0.01 * seed for seed in range(5)], "trace": [0.7 + 0.01 * seed for seed in range(5)]}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The page of two methods with 5 seeds on two worlds, one of them with a name without a place to break."""
    root = comparison(tmp_path_factory.mktemp("compared") / "compared", ENDS, WORLDS)
    write(root)
    return write_comparison(root)


@pytest.fixture
def opened(visit, compared):
    """Opens the page."""
    return lambda **options: visit(compared, ready="main", **options)


def test_it_opens_with_its_tables_and_figures(opened, keep):
    page = opened()
    expect(page.locator("h1")).to_contain_text("trace beats grpo by 0.200")
    assert page.locator("figure svg[role=img]").count() == 13  # 3 of differences, 5 a world
    for name in ("atlas", WORLDS[1].name):
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    hidden = page.locator(".grids .fold .grid").first
    expect(hidden).to_be_hidden()
    page.locator(".grids .fold > summary").first.click()
    expect(hidden).to_be_visible()
    keep(page, "comparison-desktop")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_all_without_scrolling_sideways(opened, keep, scheme):
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True, device_scale_factor=2, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    keep(page, f"comparison-phone-{scheme}")


def test_paper_gets_all_tables_and_no_controls(opened, keep):
    page = opened()
    tables = page.locator(".box > .grid")
    folded = page.locator("details .grid")
    assert 0 < folded.count() < tables.count()
    expect(folded.first).to_be_hidden()
    page.emulate_media(media="print")
    for table in tables.all():
        expect(table).to_be_visible()
    markers = page.locator("summary").evaluate_all("all => all.map((one) => getComputedStyle(one).listStyleType)")
    assert set(markers) == {"none"}
    boxes = page.locator(".box").evaluate_all("all => all.map((one) => getComputedStyle(one).overflowX)")
    assert set(boxes) == {"visible"}
    assert page.locator("button, input, select").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    keep(page, "comparison-print")
    assert page.pdf().startswith(b"%PDF")


def test_the_pages_of_its_runs_are_written_when_asked_and_open_from_it(visit, tmp_path):
    root = comparison(tmp_path / "compared", {"grpo": [0.5, 0.6], "trace": [0.7, 0.8]})
    write(root)
    runs = [root / "runs" / "atlas" / arm / f"seed-{seed}" for arm in ENDS for seed in (0, 1)]
    for folder in runs:
        (folder / TREES).mkdir()
        save_trees(trees_file(folder, 2), [viewer_runs.branched("Lyon", 2)])
    page = visit(write_comparison(root), ready="main")
    assert page.locator("main a").count() == 0
    said = page.locator(".lead", has_text="The page of a run shows")
    expect(said).to_contain_text("4 of the runs below have none yet: treeroll report DIR --runs writes")
    expect(said).to_contain_text("treeroll report DIR/runs/atlas/grpo/seed-0 writes one.")

    assert printed(["report", str(root), "--runs"]) == [str(one / "report.html") for one in (*runs, root)]
    page.reload()
    expect(said).to_have_count(0)
    page.locator("details.arms > summary").click()
    assert page.locator("main a").count() == 4
    page.get_by_role("link", name="runs/atlas/trace/seed-1").click()
    expect(page.locator(".tv-title h3")).to_have_text("Lyon")
    page.go_back()
    expect(page.locator("h1")).to_be_visible()
