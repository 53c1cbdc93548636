/** Numbers and turns in words. */

/** @returns {string} a probability or a share: 0.68 */
export function share(value) {
  return value === null ? "\u2013" : value.toFixed(2);
}

/** @returns {string} an advantage with its sign: +0.50, \u22120.25, 0 */
export function signed(value) {
  if (value === null) return "not scored";
  if (value === 0) return "0";
  return `${value > 0 ? "+" : "\u2212"}${Math.abs(value).toFixed(2)}`;
}

/** @returns {string} 1 rollout, 2 rollouts */
export function counted(count, thing) {
  return `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
}

/** @returns {string} a number with at most three digits that matter */
export function short(value) {
  return String(Number(value.toPrecision(3)));
}

/** @returns {string} a unit of the budget for one: token */
export function single(unit) {
  return unit.replace(/s$/, "");
}

/** @returns {string} 1 token, 1.5 tokens */
export function measured(value, unit) {
  return short(value) === "1" ? `1 ${single(unit)}` : `${short(value)} ${unit}`;
}

const FORMS = [
  /^\s*(<think>[^]*?<\/think>\s*)([^]+)$/i, // a reasoning model's block
  /^\s*(Thought:[^]*?\n\s*)(Action:[^]*)$/i, // ReAct
  /^(\S+ )((?:search|lookup|answer) \S[^\n]*)$/, // the compact rendering of atlas: its first word is the thought
];

/**
 * Returns thought and action of a turn, apart only where the text's form makes it plain which is which.
 * @param {string} text
 * @returns {{thought: string, action: string}}
 */
export function parted(text) {
  for (const form of FORMS) {
    const found = form.exec(text);
    if (found) return { thought: found[1].trim(), action: found[2].trim() };
  }
  return { thought: "", action: text.trim() };
}

/** @returns {string} text on one line, cut after a number of characters */
export function brief(text, most) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}\u2026` : line;
}
