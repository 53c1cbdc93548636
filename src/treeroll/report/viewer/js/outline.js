/** A tree as lines to read: a heading for each rollout or branch, then its turns; folded headings hide what follows. */

/**
 * @typedef {object} Line
 * @property {"prompt" | "head" | "turn"} kind
 * @property {number} node of a heading: the first node of its branch
 * @property {number} level branches above it, from 1
 */

/** Trees with more lines than this start with their branches folded. */
const MANY = 160;

/**
 * Returns the headings that start folded.
 * @param {import("./tree.js").Tree} tree
 * @returns {Set<number>} first nodes of branches
 */
export function foldedAtFirst(tree) {
  if (tree.size <= MANY) return new Set();
  return new Set([...tree.parent.keys()].filter((node) => tree.starts(node)));
}

/**
 * Returns the lines in view, in order of reading.
 * @param {import("./tree.js").Tree} tree
 * @param {Set<number>} folded first nodes of folded branches
 * @returns {Line[]}
 */
export function lines(tree, folded) {
  /** @type {Line[]} */
  const found = [{ kind: "prompt", node: 0, level: 1 }];
  const stack = tree.children[0].map((node) => ({ node, level: 2 })).reverse();
  while (stack.length) {
    const { node, level } = stack.pop();
    const heads = tree.starts(node);
    if (heads) found.push({ kind: "head", node, level });
    if (heads && folded.has(node)) continue;
    const inner = heads ? level + 1 : level;
    found.push({ kind: "turn", node, level: inner });
    const below = tree.children[node];
    for (let place = below.length - 1; place >= 0; place -= 1) {
      stack.push({ node: below[place], level: inner });
    }
  }
  return found;
}

/** Unfolds every branch that hides a node. */
export function unfoldTo(tree, folded, node) {
  for (let above = node; above > 0; above = tree.parent[above]) folded.delete(above);
}
