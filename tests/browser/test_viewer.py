"""The tree viewer as a reader uses it, in headless Chromium."""

import dataclasses
import re

import numpy as np
import viewer_runs
from playwright.sync_api import expect

from treeroll.report import write_report


def titles(page):
    return page.locator(".tv-asked").all_inner_texts()


def line(page, node, kind="turn"):
    return page.locator(f'.tv-line[data-node="{node}"][data-kind="{kind}"]')


def focused(page):
    return page.evaluate("[document.activeElement.dataset.node, document.activeElement.dataset.kind]")


def test_the_newest_step_opens_with_a_tree_that_branched(visit, small, keep):
    page = visit(small)
    expect(page.get_by_label("Step", exact=True)).to_have_value("2")
    assert len(titles(page)) == 4
    expect(page.locator(".tv-title h3")).to_have_text("Lyon")
    expect(page.get_by_role("status")).to_have_text("4 trees")
    assert page.locator(".tv-is-head .tv-short > b").all_inner_texts() == [
        "Rollout 1", "Rollout 2", "As first sampled", "Continuation 1 of 2", "Continuation 2 of 2",
    ]  # fmt: skip
    assert page.locator(".tv-detail").count() == 0
    assert page.locator(".tv-map .dot").count() == 6
    keep(page, "desktop")


def test_filters_list_what_they_say(visit, small):
    page = visit(small)
    for name, listed in {
        "Mixed 2": ["Q oslo ? T", "Which currency is used where Lyon lies?"],
        "Failed 1": ["Q rome ? T"],
        "Succeeded 1": ["Q berlin ? T"],
        "All 4": ["Q berlin ? T", "Q rome ? T", "Q oslo ? T", "Which currency is used where Lyon lies?"],
    }.items():
        page.get_by_role("button", name=name).click()
        assert titles(page) == listed
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Mixed 2").click()
    page.get_by_role("button", name="Continued 1").click()
    assert titles(page) == ["Which currency is used where Lyon lies?"]
    expect(page.get_by_role("status")).to_have_text("1 of 4 trees")
    page.get_by_role("button", name="Failed 1").click()
    assert titles(page) == []
    expect(page.locator(".tv-empty")).to_have_text("No tree is selected.")


def test_a_task_is_found_by_its_name(visit, small):
    page = visit(small)
    page.get_by_label("Task", exact=True).fill("LYON")
    expect(page.locator(".tv-item")).to_have_count(1)
    assert titles(page) == ["Which currency is used where Lyon lies?"]


def test_search_finds_words_and_marks_them(visit, small, keep):
    page = visit(small)
    page.get_by_label("Search text").fill("Pangolin")
    expect(page.locator(".tv-item")).to_have_count(1)
    expect(page.locator(".tv-title h3")).to_have_text("oslo")
    assert set(page.locator(".tv-outline mark").all_inner_texts()) == {"pangolin"}
    keep(page, "search")
    page.get_by_label("Search text").fill("no such words")
    expect(page.locator(".tv-item")).to_have_count(0)


def test_an_opened_turn_says_all_that_is_known(visit, small, keep):
    page = visit(small)
    line(page, 3).locator(".tv-said").click()
    detail = line(page, 3).locator(".tv-detail")
    said = detail.inner_text()
    for words in (
        "Thought: where is Lyon?",
        "Action: search[Lyon]",
        "Lyon: nothing found.",
        "bare rollout, node 3",
        "1 of 3 succeed",
        "\u22120.50 by group-unscaled",  # its own rollout failed, and half of the four leaves succeed
        "3, mean log-probability \u22120.50",
        "2 continuations of a failed rollout",
        "expected contrast",
        "failure; the rule looked at it",
        "2, where 1 is the best anchor",
        "success 0.70",
        "Beta(1.4, 0.6), mean 0.70",
        "Beta(1.4, 1.6), mean 0.47",  # one more failure: 1.4 / 3
        "chosen at random with probability 0.25",
        "after 1 of this tree",
    ):
        assert words in said, words
    assert detail.get_by_role("img").get_attribute("aria-label").startswith("success probability: Beta(1.4, 0.6)")
    keep(page, "opened")
    line(page, 3).locator(".tv-said").click()
    expect(detail).to_have_count(0)


def test_a_choice_that_looked_at_no_outcome_says_so_and_what_it_had_to_promise(visit, tmp_path, keep):
    trees = {1: [viewer_runs.branched("Nice", 1, viewer_runs.BLIND)]}
    page = visit(write_report(viewer_runs.write_run(tmp_path / "run", trees, budget={"tokens": 100})))
    expect(page.locator(".tv-reason", has_text="chosen without a look at the outcome")).to_have_count(1)
    line(page, 3).locator(".tv-said").click()
    said = line(page, 3).locator(".tv-detail").inner_text()
    for words in (
        "4 continuations of a successful rollout",
        "success; the rule did not look at it",
        "0.0314 expected contrast a token, by which anchors were ranked",
        "0.0021 a token at least; the first rollout promised 0.0123",
        "1 token a rollout, expected",
        "Beta(0.00946, 1.03), mean 0.01",
    ):
        assert words in said, words
    assert "posterior" not in said.lower()
    keep(page, "blind")


def test_where_an_older_file_does_not_say_what_a_rule_looked_at_nothing_is_claimed(visit, tmp_path):
    why = dataclasses.replace(viewer_runs.FORKED, blind=None)
    page = visit(write_report(viewer_runs.write_run(tmp_path / "run", {1: [viewer_runs.branched("Nice", 1, why)]})))
    line(page, 3).locator(".tv-said").click()
    said = line(page, 3).locator(".tv-detail").inner_text()
    assert "failure; not saved whether the rule looked at it" in said
    assert "Beta(1.4, 0.6), mean 0.70" in said
    assert "posterior" not in said.lower()


def test_credit_has_colour_and_sign(visit, small):
    page = visit(small)
    up, down = line(page, 2), line(page, 4)
    assert up.locator(".tv-credit").inner_text() == "+0.50"
    assert down.locator(".tv-credit").inner_text() == "\u22120.50"
    colours = [one.locator(".tv-credit").evaluate("e => getComputedStyle(e).borderRightColor") for one in (up, down)]
    assert colours[0] != colours[1]
    expect(page.locator(".tv-legend")).to_contain_text("credit by group-unscaled, \u22120.50 to +0.50")


def test_a_deep_link_opens_its_node(visit, small):
    page = visit(small, "#step=1&tree=0&node=5")
    expect(page.get_by_label("Step", exact=True)).to_have_value("1")
    expect(line(page, 5).locator(".tv-detail")).to_contain_text("continuation, node 5")
    assert focused(page) == ["5", "turn"]
    assert page.locator(".tv-map .here").get_attribute("data-node") == "5"
    page.evaluate("location.hash = '#step=2&tree=2&node=1'")
    expect(page.locator(".tv-title h3")).to_have_text("oslo")
    expect(line(page, 1).locator(".tv-detail")).to_have_count(1)


def test_a_link_to_what_is_not_there_says_so(visit, small):
    page = visit(small, "#step=2&tree=9")
    expect(page.get_by_role("status")).to_have_text("This page has no tree 9 in step 2.")
    page.evaluate("location.hash = '#step=7'")
    expect(page.get_by_role("status")).to_have_text("This page has no step 7.")
    page.evaluate("location.hash = '#step=2&tree=0&node=99'")
    expect(page.get_by_role("status")).to_have_text("This page has no node 99 in tree 0.")
    page.evaluate("location.hash = '#elsewhere'")
    expect(page.locator(".tv-title h3")).to_have_text("berlin")


def test_a_link_leads_back_to_what_was_read(visit, small):
    page = visit(small)
    line(page, 3).locator(".tv-said").click()
    assert page.evaluate("location.hash") == "#step=2&tree=3&node=3"
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^(Link copied|Copy this link: .*node=3)$"))
    page.reload()
    expect(line(page, 3).locator(".tv-detail")).to_have_count(1)


def test_everything_can_be_done_by_keyboard(visit, small, keep):
    page = visit(small)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.dataset.field") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    expect(page.locator(".tv-title h3")).to_have_text("oslo")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".tv-title h3")).to_have_text("Lyon")
    active = page.locator(".tv-list").get_attribute("aria-activedescendant")
    assert "Lyon" in page.locator(f"#{active}").inner_text()
    page.keyboard.press("Enter")
    assert focused(page) == ["0", "prompt"]
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == ["1", "turn"]
    page.keyboard.press("Enter")
    expect(line(page, 1).locator(".tv-detail")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(line(page, 1).locator(".tv-detail")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    assert focused(page) == ["1", "head"]
    page.keyboard.press("ArrowLeft")
    expect(line(page, 1)).to_have_count(0)
    page.keyboard.press("o")
    expect(page.locator(".tv-detail")).to_have_count(7)
    page.keyboard.press("[")
    expect(page.get_by_label("Step", exact=True)).to_have_value("1")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    keep(page, "keyboard", whole=False)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_letters_do_nothing_while_another_part_of_the_page_is_read(visit, small):
    page = visit(small)
    page.evaluate("document.body.style.paddingTop = '3000px'")
    page.keyboard.press("k")
    expect(page.locator(".tv-title h3")).to_have_text("Lyon")
    assert page.evaluate("[location.hash, document.activeElement.tagName]") == ["", "BODY"]


def test_text_from_a_model_stays_text(visit, tmp_path):
    tree = viewer_runs.flat(viewer_runs.HOSTILE, 1, [1, 0], text=viewer_runs.HOSTILE)
    page = visit(write_report(viewer_runs.write_run(tmp_path / "run", {1: [tree]})))
    page.get_by_role("button", name="Open all turns").click()
    page.get_by_label("Search text").fill("<img")
    expect(page.locator(".tv-outline mark").first).to_have_text("<img")
    assert page.evaluate("window.hacked") is None
    assert page.locator("section.tv img").count() == 0
    assert "<script>window.hacked" in page.locator(".tv-tree").inner_text()
    assert not re.search("[\u202e\x1b]", page.locator("section.tv .tv-app").inner_text())


def test_credit_that_cannot_be_known_is_said_not_invented(visit, tmp_path):
    page = visit(write_report(viewer_runs.small_run(tmp_path / "run", credit="critic")))
    expect(page.locator(".tv-problem")).to_contain_text("'critic' compares with the predicted success")
    assert page.locator(".tv-credit").all_inner_texts() == ["\u00b7"] * 6


def test_the_success_predicted_at_every_turn_is_shown(visit, tmp_path, keep):
    values = np.array([0.4, 0.8, np.nan, 0.65, np.nan, np.nan, np.nan])
    tree = dataclasses.replace(viewer_runs.branched("Lyon", 1), values=values)
    page = visit(write_report(viewer_runs.write_run(tmp_path / "run", {1: [tree]}, credit="critic")))
    assert page.locator(".tv-chance").all_inner_texts() == ["0.80", "0.65"]  # nodes 1 and 3; the others end
    expect(page.locator(".tv-legend")).to_contain_text("at the right: success predicted after the turn")
    # Critic: what became of the turn's own rollout, less what was predicted before it.
    assert page.locator(".tv-credit").all_inner_texts() == [
        "+0.60", "+0.20", "\u22120.40", "\u22120.65", "+0.35", "\u22120.65",
    ]  # fmt: skip
    line(page, 1).locator(".tv-said").click()
    expect(line(page, 1).locator(".tv-detail")).to_contain_text("predicted success0.80")
    keep(page, "values")


def test_where_an_older_file_holds_no_prediction_it_is_said(visit, small):
    page = visit(small)
    line(page, 1).locator(".tv-said").click()
    expect(line(page, 1).locator(".tv-detail")).to_contain_text("not saved: no budget was spent here")
    assert page.locator(".tv-chance").all_inner_texts() == ["0.70"]  # node 3, where continuations were sampled
