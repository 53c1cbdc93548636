/** Reading what the page carries: one packed block a step, unpacked when it is shown. */

import { Tree } from "./tree.js";

/**
 * @typedef {object} Index
 * @property {{step: number, trees: number}[]} steps in order
 * @property {string} credit name of the run's credit rule
 * @property {string} problem why no tree has credit; empty where it is known
 * @property {string} unit what costs are counted in: rollouts, turns or tokens
 */

/**
 * Returns what the page holds.
 * @param {Element} section
 * @returns {Index}
 */
export function readIndex(section) {
  return JSON.parse(section.querySelector(".tv-index").textContent);
}

/**
 * Returns the trees of a step.
 * @param {Element} section
 * @param {number} step one of the index
 * @returns {Promise<Tree[]>}
 */
export async function readStep(section, step) {
  const block = section.querySelector(`.tv-data[data-step="${step}"]`);
  const bytes = Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const packed = await new Response(stream).json();
  return packed.map((one, place) => new Tree(one, place));
}
