/**
 * One tree, as `records.py` packed it, with what follows from it.
 *
 * @typedef {object} Origin why a rollout was sampled; null where a rule does not say
 * @property {"root" | "bare" | "continuation"} kind
 * @property {number} anchor node that it was sampled from
 * @property {number | null} round
 * @property {number | null} count rollouts that this allocation gave to the anchor
 * @property {number | null} gain expected contrast, in [0, 1]
 * @property {number | null} rank 0 = best
 * @property {number | null} prediction success probability at the anchor, in [0, 1]
 * @property {number | null} strength weight of the prediction in observations
 * @property {number | null} cost of one rollout, in the unit of the budget
 * @property {0 | 1 | null} outcome of the rollout that made the anchor, known when it was chosen
 * @property {number | null} propensity probability of a random choice
 * @property {boolean | null} blind whether the rule chose without a look at the outcome
 * @property {number | null} score what it was ranked by: contrast for the cost of one rollout
 * @property {number | null} promised the same of its first rollout alone
 * @property {number | null} price least that the first rollout had to promise
 *
 * @typedef {object} Packed columns over the tree's nodes; node 0 is the prompt
 * @property {string} task
 * @property {string} question
 * @property {string} prompt what the policy saw first, where that is more than the question
 * @property {number[]} parent index of the parent; -1 at the root
 * @property {string[]} text what the policy said
 * @property {string[]} seen what the environment answered
 * @property {(string | null)[]} end why the episode ended; null where it went on
 * @property {(number | null)[]} reward
 * @property {(0 | 1 | null)[]} won whether the reward is a success
 * @property {number[]} tokens sampled tokens
 * @property {(number | null)[]} logprob their mean log-probability
 * @property {number[]} origin place in `origins`
 * @property {Origin[]} origins
 * @property {(number | null)[] | null} value success predicted at the root and after each turn, in [0, 1]; null at
 *   leaves; null where nobody predicted, or where an older file holds predictions of its origins alone
 * @property {(number | null)[] | null} credit advantage; null where not scored
 * @property {string} problem why there is no credit
 */

/** @typedef {"success" | "failure" | "mixed" | "unfinished"} Outcome */

/** An outcome is never told by colour alone. */
export const MARKS = { success: "\u2713", failure: "\u2717", mixed: "\u00b1", unfinished: "?" };

/** A tree with its children, depths and counts of leaves. */
export class Tree {
  /**
   * @param {Packed} packed
   * @param {number} place in the step's file, from 0: what a link calls `tree`
   */
  constructor(packed, place) {
    Object.assign(this, packed);
    this.place = place;
    this.size = packed.parent.length;
    /** @type {number[][]} children of each node, oldest first */
    this.children = packed.parent.map(() => []);
    this.depth = packed.parent.map(() => 0);
    /** Finished rollouts at or below each node, and how many of them succeeded. */
    this.leaves = packed.won.map((won) => (won === null ? 0 : 1));
    this.wins = packed.won.map((won) => won ?? 0);
    for (let node = 1; node < this.size; node += 1) {
      this.children[packed.parent[node]].push(node);
      this.depth[node] = this.depth[packed.parent[node]] + 1;
    }
    for (let node = this.size - 1; node > 0; node -= 1) {
      this.leaves[packed.parent[node]] += this.leaves[node];
      this.wins[packed.parent[node]] += this.wins[node];
    }
    this.continuations = this.endings().filter((node) => this.why(node).kind === "continuation").length;
    this.searchable = "";
  }

  /** @returns {number[]} nodes where an episode ended with a reward */
  endings() {
    return [...this.won.keys()].filter((node) => this.won[node] !== null);
  }

  /** @returns {Origin} why a node's rollout was sampled */
  why(node) {
    return this.origins[this.origin[node]];
  }

  /** @returns {Outcome} of the leaves at or below a node */
  outcome(node = 0) {
    if (this.leaves[node] === 0) return "unfinished";
    if (this.wins[node] === this.leaves[node]) return "success";
    return this.wins[node] === 0 ? "failure" : "mixed";
  }

  /** @returns {Origin[]} the allocations that chose a node as their anchor, oldest first */
  allocations(node) {
    const found = this.children[node].map((child) => this.why(child));
    return [...new Set(found)].filter((origin) => origin.anchor === node && origin.kind !== "root");
  }

  /** @returns {number | null} success predicted at a node, in older files when budget last went there; null where none
   *  is saved */
  predicted(node) {
    if (this.value) return this.value[node];
    const known = this.allocations(node).filter((origin) => origin.prediction !== null);
    return known.length ? known[known.length - 1].prediction : null;
  }

  /** @returns {boolean} whether a node is the first turn of a rollout or a branch */
  starts(node) {
    return node > 0 && (this.parent[node] === 0 || this.children[this.parent[node]].length > 1);
  }

  /** @returns {string} what to call the branch that starts at a node, as in a terminal's drawing */
  label(node) {
    const siblings = this.children[this.parent[node]];
    const place = siblings.indexOf(node);
    if (this.parent[node] === 0) return `Rollout ${place + 1}`;
    return place === 0 ? "As first sampled" : `Continuation ${place} of ${siblings.length - 1}`;
  }

  /** @returns {string} all words of the tree in lower case, made when first asked for */
  words() {
    this.searchable ||= [this.task, this.question, this.prompt, ...this.text, ...this.seen, ...this.end]
      .join("\n")
      .toLowerCase();
    return this.searchable;
  }
}
