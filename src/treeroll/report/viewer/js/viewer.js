/** The viewer as a whole: a step, its filtered list, and the tree that is read. */

import { creditColour, reach } from "./colour.js";
import { readStep } from "./data.js";
import { el } from "./dom.js";
import { openFilter, passing, tally } from "./filters.js";
import { treeItem } from "./item.js";
import { helpWindow } from "./keys.js";
import { copyLink, hashOf, showHash } from "./link.js";
import { VirtualList } from "./list.js";
import { Toolbar } from "./toolbar.js";
import { TreeView } from "./treeview.js";
import { counted } from "./words.js";

/** Puts the parts together; each user action is one method. */
export class Viewer {
  /**
   * @param {Element} section
   * @param {import("./data.js").Index} index
   */
  constructor(section, index) {
    Object.assign(this, { section, index, step: null, trees: [], listed: [], tree: null, turn: 0 });
    this.filter = openFilter();
    this.list = new VirtualList(treeItem, (tree) => this.read(tree));
    this.view = new TreeView({
      query: () => this.filter.search.trim().toLowerCase(), unit: index.unit, rule: index.credit, problem: index.problem,
      copy: (node) => this.copy(node), moved: (node) => showHash(this.hash(node)),
    });
    this.bar = new Toolbar(index, this.filter, {
      stepped: (step) => this.go({ step, tree: null, node: null }), changed: () => this.refilter(),
      help: () => this.help(),
    });
    this.status = el("p", { class: "tv-status", role: "status" });
    this.window = helpWindow();
    this.legend = el("div", { class: "tv-legend" });
    const left = el("div", { class: "tv-left" }, this.list.element, this.status);
    section.querySelector(".tv-app").append(
      this.bar.element,
      this.legend,
      el("div", { class: "tv-panes" }, left, this.view.element),
      this.window,
    );
  }

  /**
   * Goes to a place; says so where there is no such step, tree or node, and goes as near as it can.
   * @param {import("./link.js").Place} place
   */
  async go({ step, tree, node }) {
    const missing = [];
    const known = this.index.steps.some((one) => one.step === step);
    if (!known) missing.push(`step ${step}`);
    const wanted = known ? step : this.index.steps[this.index.steps.length - 1].step;
    const turn = (this.turn += 1);
    if (wanted !== this.step) {
      const trees = await readStep(this.section, wanted);
      if (turn !== this.turn) return; // someone went elsewhere meanwhile
      Object.assign(this, { step: wanted, trees, most: reach(trees) });
      this.bar.show(wanted, tally(trees));
      this.drawLegend();
    }
    const linked = known && tree !== null ? this.trees[tree] : undefined;
    if (known && tree !== null && !linked) missing.push(`tree ${tree} in step ${step}`);
    const there = linked && node !== null && node < linked.size;
    if (linked && node !== null && !there) missing.push(`node ${node} in tree ${tree}`);
    if (linked && !passing([linked], this.filter).length) Object.assign(this.filter, openFilter());
    this.bar.press();
    this.listed = passing(this.trees, this.filter);
    this.read(linked ?? worthReading(this.listed), there ? node : null, { quiet: true });
    this.list.show(this.listed, this.listed.indexOf(this.tree));
    this.say(missing.length ? `This page has no ${missing.join(" and no ")}.` : this.count());
  }

  /** Shows a tree, and a node of it. */
  read(tree, node = null, { quiet = false } = {}) {
    this.tree = tree;
    this.view.show(tree, this.most, node);
    if (quiet) return;
    this.list.mark(this.listed.indexOf(tree));
    if (tree) showHash(this.hash(null));
  }

  /** Lists what passes the filter; the tree that is read stays, if it passes. */
  refilter() {
    this.listed = passing(this.trees, this.filter);
    if (this.listed.includes(this.tree)) this.view.paint();
    else this.read(this.listed[0] ?? null, null, { quiet: true });
    this.list.show(this.listed, this.listed.indexOf(this.tree));
    this.say(this.count());
  }

  copy(node) {
    return copyLink(this.hash(node), (words) => this.say(words));
  }

  help() {
    this.window.showModal();
  }

  hash(node) {
    return hashOf(this.step, this.tree?.place ?? null, node);
  }

  say(words) {
    this.status.textContent = words;
  }

  count() {
    const all = counted(this.trees.length, "tree");
    return this.listed.length === this.trees.length ? all : `${this.listed.length.toLocaleString("en")} of ${all}`;
  }

  /** Says what the colours and lines of the map and of the turns mean. */
  drawLegend() {
    const { problem, credit } = this.index;
    const swatch = (value) => {
      const box = el("i", {});
      box.style.background = creditColour(value, 1);
      return box;
    };
    const scale = this.most ? [swatch(-1), swatch(-0.3), swatch(0), swatch(0.3), swatch(1)] : [swatch(null)];
    const most = this.most.toFixed(2);
    const scored = this.most ? `credit by ${credit}, \u2212${most} to +${most}` : `no credit in this step, by ${credit}`;
    const predicted = this.trees.some((tree) => [...tree.parent.keys()].some((node) => node && tree.predicted(node) !== null));
    this.legend.replaceChildren(
      el("span", {}, el("span", { class: "tv-scale", "aria-hidden": "true" }, ...scale), problem || scored),
      el("span", {}, el("u", { class: "later", "aria-hidden": "true" }), "continuation"),
      el("span", {}, el("u", { "aria-hidden": "true" }), "bare rollout"),
      predicted ? el("span", {}, "at the right: success predicted after the turn") : "",
    );
  }
}

/** @returns {import("./tree.js").Tree | null} the tree that a step opens with: one that shows what branching did */
function worthReading(trees) {
  const mixed = trees.filter((tree) => tree.outcome() === "mixed");
  return mixed.find((tree) => tree.continuations > 0) ?? mixed[0] ?? trees[0] ?? null;
}
