/** What is chosen above the list: the step, the outcome, and words to look for. */

import { el } from "./dom.js";

const OUTCOMES = [
  ["all", "All"],
  ["mixed", "Mixed"],
  ["failure", "Failed"],
  ["success", "Succeeded"],
];

/** The controls; `changed` is called after each change of the filter. */
export class Toolbar {
  /**
   * @param {import("./data.js").Index} index
   * @param {import("./filters.js").Filter} filter kept up to date here
   * @param {{stepped: (step: number) => void, changed: () => void, help: () => void}} told
   */
  constructor(index, filter, told) {
    this.filter = filter;
    this.told = told;
    this.steps = index.steps.map((one) => one.step);
    this.select = el("select", { "aria-label": "Step", class: "tv-step" },
      ...index.steps.map(({ step }) => el("option", { value: step }, `Step ${step}`)));
    this.select.addEventListener("change", () => told.stepped(Number(this.select.value)));
    this.chips = OUTCOMES.map(([value, name]) => this.chip(value, name));
    this.continued = el("button", { type: "button", class: "tv-chip", "aria-pressed": "false", "data-continued": true });
    this.continued.addEventListener("click", () => this.set("continued", !filter.continued));
    this.search = this.field("search", "Search text", "Search text  ( / )");
    this.task = this.field("task", "Task", "Task");
    const help = el("button", { type: "button", class: "tv-button", "aria-label": "Keyboard help" }, "?");
    help.addEventListener("click", () => told.help());
    this.element = el(
      "div",
      { class: "tv-bar" },
      el("div", { class: "tv-steps" }, this.arrow(-1, "Previous step"), this.select, this.arrow(1, "Next step")),
      el("div", { class: "tv-chips", role: "group", "aria-label": "Which trees" }, ...this.chips, this.continued),
      el("div", { class: "tv-fields" }, this.search, this.task, help),
    );
  }

  /** Shows a step and how many of its trees there are of each kind. */
  show(step, counts) {
    this.select.value = String(step);
    for (const chip of this.chips) this.label(chip, chip.dataset.name, counts[chip.dataset.outcome]);
    this.label(this.continued, "Continued", counts.continued);
    this.press();
  }

  /** Goes some steps further; stays at the ends. */
  move(by) {
    const at = this.steps.indexOf(Number(this.select.value)) + by;
    if (this.steps[at] !== undefined) this.told.stepped(this.steps[at]);
  }

  /** Shows the filter's values after they were changed elsewhere. */
  press() {
    for (const chip of this.chips) chip.setAttribute("aria-pressed", String(chip.dataset.outcome === this.filter.outcome));
    this.continued.setAttribute("aria-pressed", String(this.filter.continued));
    this.search.value = this.filter.search;
    this.task.value = this.filter.task;
  }

  set(name, value) {
    this.filter[name] = value;
    this.press();
    this.told.changed();
  }

  label(chip, name, count) {
    chip.replaceChildren(name, el("small", {}, ` ${count.toLocaleString("en")}`));
  }

  chip(outcome, name) {
    const chip = el("button", { type: "button", class: "tv-chip", "data-outcome": outcome, "data-name": name });
    chip.addEventListener("click", () => this.set("outcome", outcome));
    return chip;
  }

  arrow(by, name) {
    const button = el("button", { type: "button", class: "tv-button", "aria-label": name }, by < 0 ? "\u2039" : "\u203a");
    button.addEventListener("click", () => this.move(by));
    return button;
  }

  field(name, label, hint) {
    const input = el("input", { type: "search", "aria-label": label, placeholder: hint, "data-field": name, spellcheck: "false" });
    let pause;
    input.addEventListener("input", () => {
      clearTimeout(pause); // while someone types, only the last word is looked for
      pause = setTimeout(() => this.set(name, input.value), 120);
    });
    return input;
  }
}
