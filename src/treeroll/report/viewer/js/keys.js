/** The keyboard, and the window that explains it. */

import { el } from "./dom.js";

const HELP = [
  ["j  k  or  \u2193  \u2191", "next and previous tree; inside a tree, line"],
  ["Enter", "from the list into the tree; on a line, open or close it"],
  ["\u2192  \u2190", "open or close a line; left again goes to what it hangs on"],
  ["Esc", "back to the list of trees"],
  ["o", "open or close all turns of the tree"],
  ["[  ]", "previous and next step"],
  ["c", "copy the link to the line that is read"],
  ["/", "search"],
  ["?", "this help"],
];

/**
 * Listens to the keys of the viewer. Arrows and Enter count only inside the list or the tree, so that they scroll the
 * page elsewhere; letters count where the viewer is in sight and nothing is being typed.
 * @param {Element} section
 * @param {Record<string, (inTree: boolean) => void>} actions by key; those of `ONLY_INSIDE` need the focus
 */
export function listen(section, actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("dialog")) return;
    const inTree = Boolean(event.target.closest?.(".tv-outline"));
    const inside = inTree || Boolean(event.target.closest?.(".tv-list"));
    if (event.target.matches?.("input, textarea, select, button") && event.key !== "Escape") return;
    const elsewhere = event.target === document.body && section.getBoundingClientRect().top > innerHeight;
    if (elsewhere ? !ANYWHERE.has(event.key) : event.target !== document.body && !section.contains(event.target)) return;
    const action = actions[event.key];
    if (!action || (ONLY_INSIDE.has(event.key) && !inside)) return;
    event.preventDefault();
    action(inTree);
  });
}

/** Keys that count while the reader is in another part of the page. */
const ANYWHERE = new Set(["/", "?"]);
const ONLY_INSIDE = new Set(["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Enter", " ", "Home", "End"]);

/** @returns {HTMLDialogElement} the window that lists the keys, closed */
export function helpWindow() {
  const close = el("button", { class: "tv-button" }, "Close");
  return el(
    "dialog",
    { class: "tv-help", "aria-label": "Keyboard" },
    el("h3", {}, "Keyboard"),
    el("dl", { class: "tv-pairs" }, ...HELP.flatMap(([keys, words]) => [el("dt", {}, keys), el("dd", {}, words)])),
    el("form", { method: "dialog" }, close),
  );
}
