/** Links to a place: #step=12&tree=3&node=7. Other anchors of the page are left alone. */

/**
 * @typedef {object} Place
 * @property {number} step
 * @property {number | null} tree
 * @property {number | null} node
 */

/**
 * Returns where a link points; null where it is none of ours.
 * @param {string} hash
 * @returns {Place | null}
 */
export function readHash(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const [step, tree, node] = ["step", "tree", "node"].map((name) =>
    /^\d{1,9}$/.test(words.get(name) ?? "") ? Number(words.get(name)) : null,
  );
  return step === null ? null : { step, tree, node: tree === null ? null : node };
}

/** @returns {string} the hash of a place */
export function hashOf(step, tree, node) {
  const parts = [`step=${step}`];
  if (tree !== null) parts.push(`tree=${tree}`);
  if (tree !== null && node !== null) parts.push(`node=${node}`);
  return `#${parts.join("&")}`;
}

/** Puts a place into the address bar without adding to the history and without scrolling. */
export function showHash(hash) {
  history.replaceState(history.state, "", hash);
}

/**
 * Copies the link to a place. Where the browser keeps the clipboard, the link is shown to be copied by hand.
 * @param {string} hash
 * @param {(words: string) => void} say
 */
export async function copyLink(hash, say) {
  const link = new URL(hash, location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    say("Link copied");
  } catch {
    say(`Copy this link: ${link}`);
  }
}
