/** Starts the viewer of this page. */

import { readIndex } from "./data.js";
import { listen } from "./keys.js";
import { readHash } from "./link.js";
import { Viewer } from "./viewer.js";

const section = document.querySelector("section.tv");
const index = readIndex(section);
const viewer = new Viewer(section, index);

/** Follows a link of this page; anchors of other parts of the page are left to the browser. */
async function follow() {
  const place = readHash(location.hash);
  if (!place) return;
  await viewer.go(place);
  section.scrollIntoView();
  if (place.tree !== null) viewer.view.focus();
}

const move = (by) => (inTree) => (inTree ? viewer.view.move(by) : moveList(by));

/** Moves in the list, and keeps the focus there. */
function moveList(by) {
  viewer.list.element.focus({ preventScroll: true });
  viewer.list.move(by);
}

const enter = (inTree) => (inTree ? viewer.view.toggle() : viewer.view.focus());

listen(section, {
  j: move(1), ArrowDown: move(1), k: move(-1), ArrowUp: move(-1),
  Home: move(-1e9), End: move(1e9), Enter: enter, " ": enter,
  ArrowRight: (inTree) => (inTree ? viewer.view.toggle(true) : viewer.view.focus()),
  ArrowLeft: (inTree) => inTree && viewer.view.toggle(false),
  Escape: () => viewer.list.element.focus(),
  o: () => viewer.tree && viewer.view.toggleAll(),
  c: () => viewer.tree && viewer.copy(viewer.view.here.node),
  "[": () => viewer.bar.move(-1), "]": () => viewer.bar.move(1),
  "/": () => viewer.bar.search.focus(), "?": () => viewer.help(),
});

// A print shows the tree that is read, with every turn open, and then the reader's view again.
let before = null;
addEventListener("beforeprint", () => {
  if (!viewer.tree) return;
  before = { open: viewer.view.open, folded: viewer.view.folded };
  viewer.view.toggleAll(true);
});
addEventListener("afterprint", () => {
  if (!before) return;
  Object.assign(viewer.view, before);
  before = null;
  viewer.view.paint();
});

addEventListener("hashchange", follow);
addEventListener("unhandledrejection", (event) => viewer.say(`The viewer failed here: ${event.reason}`));
const last = index.steps[index.steps.length - 1].step;
await (readHash(location.hash) ? follow() : viewer.go({ step: last, tree: null, node: null }));
section.dataset.ready = "true";
