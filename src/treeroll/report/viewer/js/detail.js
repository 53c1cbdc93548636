/** All that is known of one turn; drawn when a reader opens it. */

import { el, marked } from "./dom.js";
import { allocation, pairs } from "./why.js";
import { parted, share, signed } from "./words.js";

/**
 * Returns the opened part of a turn's row.
 * @param {import("./tree.js").Tree} tree
 * @param {number} node
 * @param {{query: string, unit: string, rule: string, copy: (node: number) => void}} about
 * @returns {HTMLElement}
 */
export function detail(tree, node, about) {
  const copy = el("button", { type: "button", class: "tv-button tv-copy" }, "Copy link");
  copy.addEventListener("click", () => about.copy(node));
  return el(
    "div",
    { class: "tv-detail" },
    ...(node === 0 ? prompt(tree, about.query) : turn(tree, node, about.query)),
    pairs(facts(tree, node, about.rule)),
    ...tree.allocations(node).map((origin) => part("Why budget went here", allocation(origin, about.unit))),
    copy,
  );
}

function prompt(tree, query) {
  return [part("Question", text(tree.question, query)), tree.prompt ? part("Prompt", text(tree.prompt, query)) : null]
    .filter((one) => one !== null);
}

function turn(tree, node, query) {
  const { thought, action } = parted(tree.text[node]);
  return [
    thought ? part("Thought", text(thought, query)) : null,
    part(thought ? "Action" : "Turn", text(action || "(nothing)", query)),
    tree.seen[node] ? part("Observation", text(tree.seen[node], query, " tv-observed")) : null,
  ].filter((one) => one !== null);
}

function facts(tree, node, rule) {
  const predicted = tree.predicted(node);
  const elsewhere = tree.origins.some((origin) => origin.prediction !== null);
  const unsaved = elsewhere ? "not saved: no budget was spent here" : "none saved";
  const end = tree.end[node];
  return [
    node === 0 ? ["task", tree.task] : null,
    node > 0 ? ["sampled as", `${tree.why(node).kind === "bare" ? "bare rollout" : "continuation"}, node ${node}`] : null,
    end === null ? ["predicted success", predicted === null ? unsaved : share(predicted)] : null,
    tree.leaves[node] && end === null ? ["seen below", `${tree.wins[node]} of ${tree.leaves[node]} succeed`] : null,
    end === null ? null : ["ended by", end],
    tree.reward[node] === null ? null : ["reward", String(tree.reward[node])],
    node > 0 ? ["credit", tree.credit ? `${signed(tree.credit[node])} by ${rule}` : tree.problem] : null,
    tree.tokens[node] ? ["sampled tokens", tokens(tree, node)] : null,
  ].filter((row) => row !== null);
}

function tokens(tree, node) {
  const mean = tree.logprob[node];
  const count = tree.tokens[node].toLocaleString("en");
  return mean === null ? count : `${count}, mean log-probability ${mean.toFixed(2).replace("-", "\u2212")}`;
}

function part(title, body) {
  return el("div", { class: "tv-part" }, el("h4", {}, title), body);
}

function text(words, query, kind = "") {
  return el("div", { class: `tv-text${kind}`, dir: "auto" }, marked(words, query));
}
