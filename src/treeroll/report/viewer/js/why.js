/** Why budget went to an anchor: what was predicted, what was seen, and what more rollouts promised. */

import { el, svg } from "./dom.js";
import { counted, measured, share, short, single } from "./words.js";

/**
 * Returns the Beta distribution of success that a rule relied on, before and after it saw the rollout's outcome.
 * @param {import("./tree.js").Origin} origin
 * @returns {{before: [number, number], after: [number, number] | null} | null} null where no strength is saved; no
 *   after where the rule did not look at the outcome, or an older file does not say whether it did
 */
export function posterior(origin) {
  const { prediction, strength, outcome } = origin;
  if (prediction === null || strength === null || strength <= 0) return null;
  const before = [prediction * strength, (1 - prediction) * strength];
  const seen = outcome !== null && origin.blind === false;
  return { before, after: seen ? [before[0] + outcome, before[1] + 1 - outcome] : null };
}

/** @returns {string} an allocation in one line, as in a terminal's drawing */
export function reason(origin) {
  const parts = [what(origin)];
  if (origin.prediction !== null) parts.push(`predicted success ${share(origin.prediction)}`);
  if (origin.gain !== null) parts.push(`expected contrast ${share(origin.gain)}`);
  if (origin.blind) parts.push("chosen without a look at the outcome");
  return parts.join(", ");
}

/**
 * Returns all that is saved about an allocation, as a table with a drawing of what was believed.
 * @param {import("./tree.js").Origin} origin
 * @param {string} unit of its cost
 * @returns {HTMLElement}
 */
export function allocation(origin, unit) {
  const beliefs = posterior(origin);
  const rows = [
    ["expected contrast", origin.gain === null ? null : share(origin.gain)],
    ["score", origin.score === null ? null : `${rate(origin.score, unit)}, by which anchors were ranked`],
    ["price", origin.price === null ? null : asked(origin, unit)],
    ["rank", origin.rank === null ? null : `${origin.rank + 1}, where 1 is the best anchor`],
    ["predicted", origin.prediction === null ? null : `success ${share(origin.prediction)}`],
    [beliefs?.after ? "believed before" : "believed", beliefs && beta(beliefs.before)],
    ["outcome", origin.outcome === null ? null : seen(origin)],
    ["posterior", beliefs?.after ? beta(beliefs.after) : null],
    ["cost", origin.cost === null || unit === "rollouts" ? null : `${measured(origin.cost, unit)} a rollout, expected`],
    ["propensity", origin.propensity === null ? null : `chosen at random with probability ${short(origin.propensity)}`],
    ["round", origin.round === null ? null : origin.round ? `after ${origin.round} of this tree` : "first of this tree"],
  ].filter(([, words]) => words);
  return el(
    "div",
    { class: "tv-why" },
    el("p", {}, what(origin)),
    el("div", { class: "tv-beside" }, pairs(rows), beliefs ? sketch(beliefs) : null),
  );
}

/** @returns {HTMLElement} names and values side by side */
export function pairs(rows) {
  return el(
    "dl",
    { class: "tv-pairs" },
    ...rows.flatMap(([name, words]) => [el("dt", {}, name), el("dd", {}, words)]),
  );
}

function what(origin) {
  const thing = counted(origin.count ?? 0, origin.kind === "bare" ? "bare rollout" : "continuation");
  if (origin.outcome === null) return thing;
  return `${thing} of a ${origin.outcome ? "successful" : "failed"} rollout`;
}

function seen({ outcome, blind }) {
  const looked = blind === null ? "not saved whether the rule looked at it" : "the rule looked at it";
  return `${outcome ? "success" : "failure"}; ${blind ? "the rule did not look at it" : looked}`;
}

/** @returns {string} contrast for the cost of one rollout */
function rate(value, unit) {
  return `${short(value)} expected contrast a ${single(unit)}`;
}

function asked({ price, promised }, unit) {
  const least = `${short(price)} a ${single(unit)} at least`;
  return promised === null ? least : `${least}; the first rollout promised ${short(promised)}`;
}

function beta([a, b]) {
  return `Beta(${short(a)}, ${short(b)}), mean ${share(a / (a + b))}`;
}

/** @returns {SVGElement} densities over [0, 1]: dashed before, filled after the outcome was seen */
function sketch({ before, after }) {
  const words = `success probability: ${beta(before)}${after ? `; after the outcome ${beta(after)}` : ""}`;
  return svg(
    "svg",
    { class: "tv-beta", viewBox: "-4 -4 128 66", role: "img", "aria-label": words },
    after && svg("path", { class: "after", d: `M0 48 ${curve(after)} L120 48 Z` }),
    svg("path", { class: "before", d: curve(before).replace("L", "M") }),
    svg("path", { class: "axis", d: "M0 48 H120" }),
    ...[0, 0.5, 1].map((at) => svg("text", { x: 120 * at, y: 59, "text-anchor": "middle" }, String(at))),
  );
}

/** @returns {string} a Beta density as line-to commands; as high as its highest point away from 0 and 1, where weak
 *  beliefs grow without bound and are cut */
function curve([a, b]) {
  const places = Array.from({ length: 61 }, (_, at) => (at + 0.5) / 61);
  const logs = places.map((x) => (a - 1) * Math.log(x) + (b - 1) * Math.log(1 - x));
  const top = Math.max(...logs.slice(2, -2));
  const height = (at) => 46 * Math.min(1, Math.exp(logs[at] - top));
  return places.map((x, at) => `L${(120 * x).toFixed(1)} ${(48 - height(at)).toFixed(1)}`).join(" ");
}
