"""The viewer on a phone, in the dark, on paper, and for eyes that need contrast."""

import pytest
import viewer_runs
from playwright.sync_api import expect

from treeroll.report import write_report

CONTRASTS = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (below, css, opacity) => {
    paint.globalAlpha = 1; paint.fillStyle = `rgb(${below})`; paint.fillRect(0, 0, 1, 1);
    paint.globalAlpha = opacity; paint.fillStyle = css; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = (e) => e ? over(behind(e.parentElement), getComputedStyle(e).backgroundColor, 1) : [255, 255, 255];
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const e of document.querySelectorAll("section.tv .tv-app *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest("svg") || e.closest("dialog")) continue;
    const below = behind(e);
    const [a, b] = [light(below), light(over(below, getComputedStyle(e).color, Number(getComputedStyle(e).opacity)))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, e.className || e.tagName, e.textContent.slice(0, 30)]);
  }
  return found;
}"""
"""[ratio, class, text] of each piece of text: WCAG 2's contrast with what lies behind it."""


@pytest.fixture(scope="module")
def wordy(tmp_path_factory):
    """Words without a place to break, in every field."""
    path = tmp_path_factory.mktemp("wordy") / "run"
    long = viewer_runs.flat("W" * 300, 1, [1, 0], text="Action: " + "x" * 400)
    return write_report(viewer_runs.write_run(path, {1: [long, viewer_runs.branched("Lyon", 1)]}))


@pytest.mark.parametrize("place", ["#step=1&tree=0&node=1", "#step=1&tree=1&node=3"])
def test_a_phone_shows_it_all_without_scrolling_sideways(visit, wordy, keep, place):
    page = visit(wordy, place, viewport={"width": 390, "height": 844}, has_touch=True, device_scale_factor=2)
    assert page.locator(".tv-detail").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    keep(page, f"phone-{place[-1]}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(visit, small, keep, scheme):
    page = visit(small, "#step=2&tree=3&node=3", color_scheme=scheme)
    page.locator(".tv-line.tv-is-prompt .tv-short").click()
    found = page.evaluate(CONTRASTS)
    assert len(found) > 60
    assert [one for one in found if one[0] < 4.5] == []
    keep(page, scheme)


def test_paper_gets_the_tree_that_is_read_with_all_its_turns(visit, small, keep):
    page = visit(small, "#step=2&tree=3")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for hidden in (".tv-bar", ".tv-list", ".tv-status", ".tv-button >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator(".tv-detail")).to_have_count(7)
    expect(page.locator(".tv-title h3")).to_be_visible()
    keep(page, "print")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".tv-detail")).to_have_count(0)
    assert page.pdf().startswith(b"%PDF")


def test_a_screen_reader_finds_names_levels_and_places(visit, small):
    page = visit(small, "#step=2&tree=3&node=3")
    assert page.locator("section.tv").get_attribute("aria-labelledby") == "tv-title"
    for control in page.locator("section.tv :is(button, input, select):visible").all():
        assert control.evaluate("e => e.ariaLabel || e.textContent.trim()")
    items = page.get_by_role("treeitem")
    levels = [int(level) for level in items.evaluate_all("all => all.map((e) => e.ariaLevel)")]
    assert levels == [1, 2, 3, 3, 2, 3, 3, 4, 3, 4, 3, 4]
    assert items.evaluate_all("all => all.filter((e) => e.tabIndex === 0).length") == 1
    chosen = page.get_by_role("listbox").get_by_role("option", selected=True)
    expect(chosen).to_have_count(1)
    assert chosen.get_attribute("aria-posinset") == "4"
    assert chosen.get_attribute("aria-setsize") == "4"
