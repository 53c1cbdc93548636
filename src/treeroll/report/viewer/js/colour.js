/** Credit as colour: blue up, red down, paler towards 0; the number always stands beside it. */

/**
 * Returns the largest absolute advantage of a step, against which its colours are measured.
 * @param {import("./tree.js").Tree[]} trees
 */
export function reach(trees) {
  let most = 0;
  for (const tree of trees) {
    for (const value of tree.credit ?? []) most = Math.max(most, Math.abs(value ?? 0));
  }
  return most;
}

/**
 * Returns a CSS colour.
 * @param {number | null} value an advantage; null: not scored
 * @param {number} most the step's `reach`
 */
export function creditColour(value, most) {
  if (value === null || most === 0) return "var(--tv-blank)";
  if (value === 0) return "var(--tv-zero)";
  const strength = Math.round(25 + 75 * Math.sqrt(Math.min(1, Math.abs(value) / most)));
  return `color-mix(in oklab, var(${value > 0 ? "--tv-plus" : "--tv-minus"}) ${strength}%, var(--tv-zero))`;
}
