// What only admins see: the health of what the service depends on.

import { Problem } from "./api.js";
import { byId, element } from "./dom.js";
import { session } from "./session.js";

const REPORTS = [
  ["Dependencies", "/api/v1/scaling/health/deep"],
  ["Replication", "/api/v1/scaling/replication/status"],
];

/** Deeper than any report; whatever is nested deeper is shown as JSON. */
const MAX_DEPTH = 6;

/** Id of the admin whose reports are shown. */
let shownTo = null;

export function startAdmin() {
  byId("health-check").addEventListener("click", check);
  session.addEventListener("change", () => {
    byId("health").hidden = !session.isAdmin;
    const admin = session.isAdmin ? session.user.id : null;
    if (admin === shownTo) {
      return;
    }
    shownTo = admin;
    byId("health-report").replaceChildren();
    if (admin !== null) {
      check();
    }
  });
}

async function check() {
  const button = byId("health-check");
  const reader = shownTo;
  button.disabled = true;
  try {
    const reports = await Promise.all(REPORTS.map(report));
    // Whoever asked may have signed out meanwhile.
    if (reader === shownTo) {
      byId("health-report").replaceChildren(...reports);
    }
  } finally {
    button.disabled = false;
  }
}

async function report([title, path]) {
  let content;
  try {
    content = render(await session.call("GET", path), 0);
  } catch (problem) {
    if (!(problem instanceof Problem)) {
      throw problem;
    }
    content = element("p", { class: "message" }, problem.message);
  }
  return element("section", {}, element("h3", {}, title), content);
}

/** Any JSON, as a list of its keys and values. */
function render(value, depth) {
  if (value === null || typeof value !== "object" || depth === MAX_DEPTH) {
    return element("span", {}, typeof value === "object" ? JSON.stringify(value) : value);
  }
  if (Object.keys(value).length === 0) {
    return element("span", {}, "none");
  }
  const list = element("dl", { class: "report" });
  for (const [key, inner] of Object.entries(value)) {
    list.append(element("dt", {}, key), element("dd", {}, render(inner, depth + 1)));
  }
  return list;
}
