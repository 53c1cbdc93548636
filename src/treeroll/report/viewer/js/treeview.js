/** The tree that is read: its map, its outline, and what is open in it. */

import { el } from "./dom.js";
import { lineElement } from "./lines.js";
import { map, markOnMap } from "./map.js";
import { foldedAtFirst, lines, unfoldTo } from "./outline.js";
import { brief, counted } from "./words.js";

/** Lines drawn at once; a button asks for more. */
const CHUNK = 400;

/** One tree's outline; `show` replaces it. */
export class TreeView {
  /**
   * @param {{query: () => string, unit: string, rule: string, problem: string, copy: (node: number) => void,
   *   moved: (node: number) => void}} about `moved` is told which node is read; `problem` holds for all trees
   */
  constructor(about) {
    this.about = about;
    this.tree = null;
    this.element = el("div", { class: "tv-tree" });
    this.element.addEventListener("click", (event) => this.clicked(event));
  }

  /**
   * Shows a tree.
   * @param {import("./tree.js").Tree | null} tree
   * @param {number} most the step's largest credit
   * @param {number | null} node the one to open, if any
   */
  show(tree, most, node = null) {
    this.tree = tree;
    this.most = most;
    this.drawn = CHUNK;
    this.open = new Set();
    if (!tree) {
      this.element.replaceChildren(el("p", { class: "tv-empty" }, "No tree is selected."));
      return;
    }
    this.folded = foldedAtFirst(tree);
    this.here = { node: node ?? 0, kind: node ? "turn" : "prompt" };
    if (node !== null) {
      unfoldTo(tree, this.folded, node);
      this.open.add(node);
      this.drawn = Math.max(CHUNK, 1 + lines(tree, this.folded).findIndex((line) => this.at(line)));
    }
    this.drawing = map(tree, most);
    this.outline = el("div", { class: "tv-outline", role: "tree", "aria-label": "Turns of the tree" });
    this.element.replaceChildren(
      this.heading(),
      this.drawing ? el("div", { class: "tv-map-box" }, this.drawing) : "",
      ...(tree.problem && tree.problem !== this.about.problem ? [el("p", { class: "tv-problem" }, tree.problem)] : []),
      this.outline,
    );
    this.paint();
  }

  /** Draws the lines again, after what is folded, open or searched for has changed. */
  paint() {
    if (!this.tree) return;
    const all = lines(this.tree, this.folded);
    const look = { ...this.about, query: this.about.query(), most: this.most, folded: this.folded, open: this.open };
    this.outline.replaceChildren(...all.slice(0, this.drawn).map((line) => lineElement(this.tree, line, look)));
    if (all.length > this.drawn) {
      this.outline.append(el("button", { type: "button", class: "tv-button", "data-more": true },
        `Show ${counted(Math.min(CHUNK, all.length - this.drawn), "more line")}`));
    }
    const here = this.lineHere() ?? this.outline.firstElementChild;
    here.tabIndex = 0;
    markOnMap(this.drawing, this.here.node);
  }

  /** Puts the focus on the line that is read. */
  focus() {
    if (!this.tree) return;
    (this.lineHere() ?? this.outline.firstElementChild).focus();
  }

  /** Moves some lines further down. */
  move(by) {
    const rows = [...this.outline.querySelectorAll(".tv-line")];
    const at = rows.indexOf(this.lineHere());
    this.read(rows[Math.max(0, Math.min(rows.length - 1, at + by))]);
  }

  /** Opens or closes the line that is read; `wanted` says which, if it matters. Moves out where there is no more. */
  toggle(wanted = null) {
    const { node, kind } = this.here;
    const isOpen = kind === "head" ? !this.folded.has(node) : this.open.has(node);
    if (wanted === isOpen) {
      if (!wanted) this.outwards();
      return;
    }
    this.flip(kind === "head" ? this.folded : this.open, node);
    this.paint();
    this.focus();
  }

  /** Opens all turns, or closes them where all are open; used for printing too. */
  toggleAll(wanted = null) {
    const every = this.open.size === this.tree.size;
    this.open = wanted ?? !every ? new Set(this.tree.parent.keys()) : new Set();
    if (this.open.size) this.folded = new Set();
    this.paint();
  }

  heading() {
    const { task, place } = this.tree;
    const all = el("button", { type: "button", class: "tv-button", "data-all": true }, "Open all turns");
    return el("div", { class: "tv-title" }, el("h3", { dir: "auto" }, brief(task, 80)), el("span", {}, `tree ${place}`), all);
  }

  clicked(event) {
    const button = event.target.closest("button");
    if (button?.dataset.more !== undefined) {
      this.drawn += CHUNK;
      this.paint();
    } else if (button?.dataset.all !== undefined) {
      this.toggleAll();
      button.textContent = this.open.size ? "Close all turns" : "Open all turns";
    } else if (!button) {
      this.pressed(event);
    }
  }

  pressed(event) {
    const dot = event.target.closest("[data-node].node");
    if (dot) {
      const node = Number(dot.dataset.node);
      unfoldTo(this.tree, this.folded, node);
      this.here = { node, kind: node ? "turn" : "prompt" };
      this.open.add(node);
      this.paint();
      this.read(this.lineHere());
      return;
    }
    const row = event.target.closest(".tv-line");
    if (!row) return;
    this.read(row);
    if (event.target.closest(".tv-short") && getSelection().isCollapsed) this.toggle();
  }

  read(row) {
    if (!row) return;
    const before = this.lineHere();
    if (before) before.tabIndex = -1;
    this.here = { node: Number(row.dataset.node), kind: row.dataset.kind };
    row.tabIndex = 0;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    markOnMap(this.drawing, this.here.node);
    this.about.moved(this.here.node);
  }

  /** Moves to the heading of the branch, or from a heading to the turn that it hangs on. */
  outwards() {
    let { node } = this.here;
    if (this.here.kind === "head") node = this.tree.parent[node];
    else while (node > 0 && !this.tree.starts(node)) node = this.tree.parent[node];
    const kind = node === 0 ? "prompt" : this.here.kind === "head" ? "turn" : "head";
    this.read(this.outline.querySelector(`[data-node="${node}"][data-kind="${kind}"]`));
  }

  flip(set, node) {
    if (!set.delete(node)) set.add(node);
  }

  at(line) {
    return line.node === this.here.node && line.kind === this.here.kind;
  }

  lineHere() {
    return this.outline.querySelector(`[data-node="${this.here.node}"][data-kind="${this.here.kind}"]`);
  }
}
