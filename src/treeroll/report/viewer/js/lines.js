/** The lines of the outline as elements. */

import { creditColour } from "./colour.js";
import { detail } from "./detail.js";
import { el, marked } from "./dom.js";
import { MARKS } from "./tree.js";
import { reason } from "./why.js";
import { brief, parted, share, short, signed } from "./words.js";

/** Characters of a closed line; the rest is a key press away. */
const SAID = 220;
const SEEN = 180;
/** Characters of the action above an opened turn. */
const OPENED = 80;

/**
 * What drawing a line needs to know.
 * @typedef {object} Look
 * @property {number} most the step's largest credit
 * @property {string} query what is searched for, in lower case
 * @property {string} unit of costs
 * @property {string} rule name of the credit rule
 * @property {Set<number>} folded
 * @property {Set<number>} open nodes whose details are shown
 * @property {(node: number) => void} copy copies the link to a node
 */

/**
 * Returns the element of a line, a `treeitem`.
 * @param {import("./tree.js").Tree} tree
 * @param {import("./outline.js").Line} line
 * @param {Look} look
 */
export function lineElement(tree, line, look) {
  const { node, kind, level } = line;
  const expanded = kind === "head" ? !look.folded.has(node) : look.open.has(node);
  const body = kind === "head" ? head(tree, node) : kind === "prompt" ? prompt(tree, look) : turn(tree, node, look);
  const row = el(
    "div",
    {
      class: `tv-line tv-is-${kind}${tree.why(node).kind === "continuation" ? " later" : ""}`,
      role: "treeitem", tabindex: -1, "aria-level": level, "aria-expanded": String(expanded),
      "data-node": node, "data-kind": kind,
    },
    el("div", { class: "tv-short" }, ...body),
    expanded && kind !== "head" ? detail(tree, node, look) : null,
  );
  row.style.setProperty("--level", String(Math.min(level, 9) - 1));
  if (kind === "turn") row.style.setProperty("--credit", creditColour(tree.credit ? tree.credit[node] : null, look.most));
  return row;
}

function prompt(tree, look) {
  return [
    el("span", { class: "tv-number" }, "Q"),
    el(
      "span",
      { class: "tv-words" },
      el("span", { class: "tv-question", dir: "auto" }, marked(brief(tree.question || tree.task, SAID), look.query)),
      ...reasons(tree, 0),
    ),
    badge(tree, 0),
  ];
}

function head(tree, node) {
  return [
    el("span", { class: "tv-twist", "aria-hidden": "true" }),
    el("b", {}, tree.label(node)),
    badge(tree, node),
    el("span", { class: "tv-ending" }, ending(tree, node)),
  ];
}

function turn(tree, node, look) {
  const { thought, action } = parted(tree.text[node]);
  const seen = tree.seen[node];
  const words = el("span", { class: "tv-words" });
  const said = el("span", { class: "tv-said", dir: "auto" });
  words.append(said);
  if (look.open.has(node)) {
    said.append(brief(action, OPENED) || "(nothing)"); // all of it stands below
  } else {
    if (thought) said.append(el("i", {}, marked(brief(thought, SAID), look.query)), " ");
    said.append(marked(brief(action, SAID) || "(nothing)", look.query));
    if (seen) words.append(el("span", { class: "tv-seen", dir: "auto" }, marked(brief(seen, SEEN), look.query)));
    words.append(...reasons(tree, node));
  }
  return [el("span", { class: "tv-number" }, String(tree.depth[node])), credit(tree, node), words, ahead(tree, node)];
}

function credit(tree, node) {
  const value = tree.credit ? tree.credit[node] : null;
  const words = tree.credit && value !== null ? signed(value) : "\u00b7";
  return el("span", { class: "tv-credit", title: tree.credit ? `credit ${signed(value)}` : tree.problem }, words);
}

/** @returns {HTMLElement[]} why budget went to a node, a line an allocation */
function reasons(tree, node) {
  return tree.allocations(node).map((origin) => el("span", { class: "tv-reason" }, reason(origin)));
}

/** @returns {HTMLElement | string} what a turn led to: the outcome where the episode ended (its heading says it in
 *  words), or the success that was predicted from there */
function ahead(tree, node) {
  if (tree.end[node] === null) {
    const value = tree.predicted(node);
    if (value === null) return "";
    return el("span", { class: "tv-chance", title: `predicted success after this turn: ${share(value)}` }, share(value));
  }
  const outcome = tree.outcome(node);
  return el("span", { class: `tv-mark ${outcome}`, title: tree.end[node], "aria-hidden": "true" }, MARKS[outcome]);
}

function badge(tree, node) {
  const outcome = tree.outcome(node);
  const words = tree.leaves[node] > 1 ? `${tree.wins[node]} of ${tree.leaves[node]}` : outcome;
  return el("span", { class: `tv-badge ${outcome}` }, el("b", { "aria-hidden": "true" }, MARKS[outcome]), ` ${words}`);
}

/** @returns {string} how the only rollout of a branch ended, where that is more than an answer */
function ending(tree, node) {
  let leaf = node;
  while (tree.children[leaf].length === 1) [leaf] = tree.children[leaf];
  const end = tree.end[leaf];
  const [reward, won] = [tree.reward[leaf], tree.won[leaf]];
  const parts = [end === "answer" ? null : end, reward === null || reward === won ? null : `reward ${short(reward)}`];
  return brief(parts.filter(Boolean).join(", "), 60);
}
