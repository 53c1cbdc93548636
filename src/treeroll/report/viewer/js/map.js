/** The shape of a tree: turns from left to right, one line a rollout, coloured by credit. For the mouse and the eye;
 *  the outline below says the same in words. */

import { creditColour } from "./colour.js";
import { svg } from "./dom.js";
import { MARKS } from "./tree.js";
import { signed } from "./words.js";

/** Larger trees have no map: it would be a smear. */
const MOST = 300;
const DOWN = 20;
const RADIUS = 6;

/**
 * Returns the drawing; null where the tree is too large or has no rollout.
 * @param {import("./tree.js").Tree} tree
 * @param {number} most the step's largest credit
 * @returns {SVGElement | null}
 */
export function map(tree, most) {
  if (tree.size > MOST || tree.size < 2) return null;
  const rows = places(tree);
  const deepest = Math.max(...tree.depth);
  const across = Math.max(18, Math.min(52, 560 / deepest));
  const at = (node) => [12 + across * tree.depth[node], 12 + DOWN * rows[node]];
  const width = 12 + across * deepest + 30;
  const height = 24 + DOWN * Math.max(...rows);
  const nodes = [...tree.parent.keys()];
  const drawing = svg(
    "svg",
    { class: "tv-map", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    ...nodes.slice(1).map((node) => edge(tree, node, at)),
    ...nodes.map((node) => dot(tree, node, at(node), most)),
  );
  return drawing;
}

/** Marks one node of a drawing as the one that is read. */
export function markOnMap(drawing, node) {
  drawing?.querySelector(".here")?.classList.remove("here");
  drawing?.querySelector(`[data-node="${node}"]`)?.classList.add("here");
}

/** @returns {number[]} the line of each node: a first child stays on its parent's, every other one opens a new one */
function places(tree) {
  const rows = tree.parent.map(() => 0);
  const stack = [0];
  let next = 0;
  while (stack.length) {
    const node = stack.pop();
    const first = node > 0 && tree.children[tree.parent[node]][0] === node;
    if (node > 0) rows[node] = first ? rows[tree.parent[node]] : (next += 1);
    stack.push(...[...tree.children[node]].reverse());
  }
  return rows;
}

function edge(tree, node, at) {
  const [x1, y1] = at(tree.parent[node]);
  const [x2, y2] = at(node);
  const bend = Math.min(x2 - 8, x1 + 14);
  const kind = tree.why(node).kind === "continuation" ? "later" : "bare";
  const d = y1 === y2 ? `M${x1} ${y1}H${x2}` : `M${x1} ${y1}C${bend} ${y1} ${x1} ${y2} ${bend} ${y2}H${x2}`;
  return svg("path", { class: `edge ${kind}`, d });
}

function dot(tree, node, [x, y], most) {
  const score = tree.credit ? tree.credit[node] : null;
  const shape = svg("circle", { cx: x, cy: y, r: node ? RADIUS : 4, class: node ? "dot" : "root" });
  if (node) shape.style.fill = creditColour(score, most);
  const words = node ? `turn ${tree.depth[node]}${tree.credit ? `, credit ${signed(score)}` : ""}` : "the prompt";
  const end = tree.end[node] === null ? null : tree.outcome(node);
  return svg(
    "g",
    { "data-node": node, class: "node" },
    svg("title", {}, words),
    svg("circle", { cx: x, cy: y, r: 10, class: "reach" }),
    shape,
    end && svg("text", { x: x + 11, y: y + 4.5, class: end }, MARKS[end]),
  );
}
