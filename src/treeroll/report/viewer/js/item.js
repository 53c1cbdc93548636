/** A tree as a row of the list: its outcome, its question, and its leaves at a glance. */

import { el } from "./dom.js";
import { MARKS } from "./tree.js";
import { counted, share } from "./words.js";

/** Leaves drawn as squares; more are counted. */
const SQUARES = 24;

/**
 * Returns the contents of a row.
 * @param {import("./tree.js").Tree} tree
 * @returns {Node[]}
 */
export function treeItem(tree) {
  const outcome = tree.outcome();
  const predicted = tree.predicted(0);
  const facts = [`${tree.wins[0]} of ${tree.leaves[0]}`];
  if (predicted !== null) facts.push(`predicted ${share(predicted)}`);
  if (tree.continuations) facts.push(counted(tree.continuations, "continuation"));
  return [
    el("span", { class: `tv-mark ${outcome}`, role: "img", "aria-label": outcome }, MARKS[outcome]),
    el("span", { class: "tv-asked", dir: "auto" }, tree.question || tree.task),
    squares(tree),
    el("span", { class: "tv-facts" }, facts.join(" \u00b7 ")),
  ];
}

/** @returns {HTMLElement} a square for each leaf: filled where it succeeded, hollow on a continuation */
function squares(tree) {
  const leaves = tree.endings();
  const row = el("span", { class: "tv-squares", "aria-hidden": "true" });
  for (const leaf of leaves.slice(0, SQUARES)) {
    const kind = tree.why(leaf).kind === "continuation" ? " later" : "";
    row.append(el("i", { class: `${tree.won[leaf] ? "success" : "failure"}${kind}` }));
  }
  return row;
}
