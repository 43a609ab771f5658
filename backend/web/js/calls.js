// Who answered: the latest calls, and how many each instance has answered.

import { calls } from "./api.js";
import { byId, element } from "./dom.js";

/** Calls that are kept. */
const MAX_SHOWN = 20;

/** Colours in the style sheet; more instances than that share them. */
const COLOURS = 8;

/** Instances by name; in the order in which they were seen first, which gives the colour. */
const instances = new Map();

export function startCalls() {
  calls.addEventListener("call", ({ detail }) => {
    // Without a name it was the balancer itself, or nobody at all.
    const name = detail.instance ?? (detail.status === 0 ? "nobody" : "balancer");
    const known = instances.get(name) ?? { colour: instances.size % COLOURS, count: 0 };
    known.count += 1;
    instances.set(name, known);

    const list = byId("calls");
    list.prepend(row(detail, name, known.colour));
    while (list.childElementCount > MAX_SHOWN) {
      list.lastElementChild.remove();
    }
    byId("instances").replaceChildren(...[...instances].map(([name, { colour, count }]) =>
      element("li", { class: "instance", "data-colour": colour, "data-instance": name }, `${name}: ${count}`)));
  });
}

function row({ method, path, status, duration }, name, colour) {
  const hasFailed = status === 0 || status >= 400;
  return element(
    "li",
    { "data-instance": name },
    element("span", {}, method),
    element("span", {}, path),
    element("span", { class: hasFailed ? "failed" : undefined }, status === 0 ? "—" : status),
    element("span", { class: "duration" }, `${duration.toFixed(0)} ms`),
    element("span", { class: "instance", "data-colour": colour }, name),
  );
}
