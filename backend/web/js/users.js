// The list of users, page by page, and adding to it.

import { Problem, call } from "./api.js";
import { byId, element, localTime, notify } from "./dom.js";
import { handle } from "./forms.js";
import { session } from "./session.js";

/** Users of a page. */
const LIMIT = 20;

/** How many ids before a new user the list begins, to show it among others. */
const CONTEXT = 5;

/** More than anybody reads; beyond it the list begins anew instead of growing. */
const MAX_SHOWN = 500;

let shown = []; // users, by ascending id
let next = null; // where the next page begins
let newest = null; // id of the user who was added here last
let latest = 0; // number of the latest load: an earlier one that ends later is void

export function startUsers() {
  byId("users-more").addEventListener("click", () => load(next));
  byId("users-reload").addEventListener("click", () => load(null));

  const form = byId("add-user");
  handle(form, async ({ name, email, password }) => {
    const user = await call("POST", "/api/v1/users", { body: { name, email, password } });
    form.reset();
    newest = user.id;
    notify(`${user.name} is added.`);
    await load(null);
    // Ids ascend, so it is on the last page; the list goes on from shortly before it.
    if (!shown.some(({ id }) => id === user.id)) {
      await load(Math.max(user.id - CONTEXT, 0));
    }
    byId("users").querySelector("[data-new]")?.scrollIntoView({ block: "nearest" });
  });

  // Names may have changed, users may be gone, and admins see more.
  session.addEventListener("change", () => load(null));
  load(null);
}

/** Shows the page after the id `after`: below what is shown if it follows it, or alone. */
async function load(after) {
  const number = ++latest;
  const message = byId("users-message");
  message.textContent = "";
  const follows = after !== null && after === next && shown.length < MAX_SHOWN;
  const position = after === null ? "" : `&after=${encodeURIComponent(after)}`;
  try {
    const page = await call("GET", `/api/v1/users?limit=${LIMIT}${position}`);
    if (number !== latest) {
      return;
    }
    shown = follows ? [...shown, ...page.items] : page.items;
    next = page.next;
    render();
  } catch (problem) {
    if (!(problem instanceof Problem)) {
      throw problem;
    }
    message.textContent = problem.message;
  }
}

function render() {
  byId("users").replaceChildren(...shown.map(row));
  byId("users-more").hidden = next === null;
}

function row(user) {
  const made = element(
    "li",
    { "data-id": user.id, "data-new": user.id === newest ? "" : undefined },
    element("span", { class: "name" }, user.name),
    element("span", { class: "id" }, `#${user.id}`),
    element("span", { class: "email" }, user.email),
    element("time", { datetime: user.created_at }, localTime(user.created_at)),
  );
  if (session.isAdmin) {
    made.append(roleOf(user));
  }
  return made;
}

function roleOf(user) {
  const select = element("select", { "aria-label": `Role of ${user.name}` });
  for (const role of ["user", "admin"]) {
    select.append(element("option", { value: role }, role));
  }
  select.value = user.role;
  select.addEventListener("change", async () => {
    select.disabled = true;
    try {
      const body = { role: select.value };
      const changed = await session.call("PATCH", `/api/v1/users/${user.id}`, { body });
      user.role = changed.role;
      notify(`${user.name} has the role ${user.role} now.`);
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      byId("users-message").textContent = problem.message;
    } finally {
      select.value = user.role;
      select.disabled = false;
    }
  });
  return select;
}
