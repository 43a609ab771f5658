// The account: signing up, in and out, one's own name, and leaving for good.

import { Problem, call } from "./api.js";
import { byId, notify } from "./dom.js";
import { clear, handle } from "./forms.js";
import { session } from "./session.js";

export function startAccount() {
  const signIn = byId("sign-in");
  const signUp = byId("sign-up");

  for (const mode of document.querySelectorAll("input[name=mode]")) {
    mode.addEventListener("change", () => show(mode.value));
  }
  function show(mode) {
    document.querySelector(`input[name=mode][value=${mode}]`).checked = true;
    signIn.hidden = mode !== "sign-in";
    signUp.hidden = mode !== "sign-up";
  }

  handle(signUp, async ({ name, email, password }) => {
    await call("POST", "/api/v1/users", { body: { name, email, password } });
    signUp.reset();
    show("sign-in");
    clear(signIn);
    byId("sign-in-email").value = email;
    byId("sign-in-password").focus();
    notify("Your account is made. You can sign in now.");
  });

  handle(signIn, async ({ email, password }) => {
    await session.signIn(email, password);
    signIn.reset();
    notify(`Welcome, ${session.user.name}.`);
  });

  handle(byId("profile"), async ({ name }) => {
    await session.change({ name });
    notify("Your name is saved.");
  });

  byId("sign-out").addEventListener("click", async () => {
    try {
      await session.signOut();
      notify("You are signed out.");
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      notify(`You are signed out here. ${problem.message}`);
    }
  });

  startDeletion();
  session.addEventListener("change", render);
  session.addEventListener("expired", () => {
    notify("Your session has ended. Please sign in again.");
  });
}

function startDeletion() {
  const dialog = byId("delete-dialog");
  const message = dialog.querySelector(".message");
  const confirm = byId("delete-confirm");

  byId("delete-account").addEventListener("click", () => {
    message.textContent = "";
    dialog.showModal();
  });
  byId("delete-cancel").addEventListener("click", () => dialog.close());
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    try {
      await session.deleteAccount();
      dialog.close();
      notify("Your account is deleted.");
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      message.textContent = problem.message;
    } finally {
      confirm.disabled = false;
    }
  });
}

function render() {
  const { user } = session;
  byId("signed-out").hidden = user !== null;
  byId("signed-in").hidden = user === null;
  byId("sign-out").hidden = user === null;
  byId("who").textContent = user === null
    ? "Not signed in"
    : `${user.name}${session.isAdmin ? " (admin)" : ""}`;
  byId("profile-name").value = user?.name ?? "";
  clear(byId("profile"));
}
