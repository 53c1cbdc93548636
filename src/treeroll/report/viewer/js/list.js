/** A long list of which only the rows in view are in the document. */

import { el } from "./dom.js";

/** Height of a row in pixels; the style sheet says the same (`--tv-row`). */
const ROW = 62;
/** Rows kept above and below what is in view. */
const SPARE = 5;

/** A listbox of trees; focus stays on the box, and the chosen row is its active descendant. */
export class VirtualList {
  /**
   * @param {(item: any) => Node[]} draw what a row holds
   * @param {(item: any) => void} choose called when a row is chosen by mouse or key
   */
  constructor(draw, choose) {
    this.draw = draw;
    this.choose = choose;
    this.items = [];
    this.chosen = -1;
    this.space = el("div", { class: "tv-space", role: "presentation" });
    this.element = el("div", { class: "tv-list", role: "listbox", tabindex: 0, "aria-label": "Trees" }, this.space);
    this.element.addEventListener("scroll", () => this.paintSoon(), { passive: true });
    new ResizeObserver(() => this.paintSoon()).observe(this.element);
    this.space.addEventListener("click", (event) => {
      const row = event.target.closest("[data-row]");
      if (row) this.choose(this.items[Number(row.dataset.row)]);
    });
  }

  /** Shows other items. */
  show(items, chosen) {
    this.items = items;
    this.chosen = chosen;
    this.space.style.height = `${items.length * ROW}px`;
    this.reveal();
    this.paint();
  }

  /** Marks a row as chosen and brings it into view. */
  mark(chosen) {
    this.chosen = chosen;
    this.reveal();
    this.paint();
  }

  /** Chooses the row that lies some rows further; stays at the ends. */
  move(by) {
    if (!this.items.length) return;
    const at = this.chosen < 0 ? 0 : this.chosen + by;
    this.choose(this.items[Math.max(0, Math.min(this.items.length - 1, at))]);
  }

  reveal() {
    if (this.chosen < 0) return;
    const box = this.element;
    const top = this.chosen * ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
  }

  paintSoon() {
    this.frame ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - SPARE);
    const shown = Math.ceil((this.element.clientHeight || 600) / ROW) + 2 * SPARE;
    const rows = this.items.slice(first, first + shown).map((item, place) => this.row(item, first + place));
    this.space.replaceChildren(...rows);
    const active = this.items[this.chosen] && document.getElementById(`tv-row-${this.chosen}`);
    if (active) this.element.setAttribute("aria-activedescendant", active.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  row(item, place) {
    const row = el(
      "div",
      {
        class: "tv-item", role: "option", id: `tv-row-${place}`, "data-row": place,
        "aria-selected": String(place === this.chosen), "aria-posinset": place + 1, "aria-setsize": this.items.length,
      },
      ...this.draw(item),
    );
    row.style.top = `${place * ROW}px`;
    return row;
  }
}
