/** Which trees of a step are listed. */

/**
 * @typedef {object} Filter
 * @property {"all" | "mixed" | "failure" | "success" | "unfinished"} outcome
 * @property {boolean} continued only trees with continuations
 * @property {string} task part of a task's id or question
 * @property {string} search part of any text of the tree
 */

/** @returns {Filter} one that every tree passes */
export function openFilter() {
  return { outcome: "all", continued: false, task: "", search: "" };
}

/**
 * Returns the trees that pass, in order.
 * @param {import("./tree.js").Tree[]} trees
 * @param {Filter} filter
 */
export function passing(trees, filter) {
  const task = filter.task.trim().toLowerCase();
  const search = filter.search.trim().toLowerCase();
  return trees.filter(
    (tree) =>
      (filter.outcome === "all" || tree.outcome() === filter.outcome) &&
      (!filter.continued || tree.continuations > 0) &&
      (!task || `${tree.task}\n${tree.question}`.toLowerCase().includes(task)) &&
      (!search || tree.words().includes(search)),
  );
}

/**
 * Returns how many trees there are of each outcome.
 * @param {import("./tree.js").Tree[]} trees
 * @returns {Record<string, number>}
 */
export function tally(trees) {
  const counts = { all: trees.length, mixed: 0, failure: 0, success: 0, unfinished: 0, continued: 0 };
  for (const tree of trees) {
    counts[tree.outcome()] += 1;
    if (tree.continuations > 0) counts.continued += 1;
  }
  return counts;
}
