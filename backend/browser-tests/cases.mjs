// The tests, by name. Each gets a stage (run.mjs) and throws if it fails; what a
// page complains of on its console fails it too.

import assert from "node:assert/strict";

import {
  PASSWORD, createUser, heard, newEmail, say, signIn, signUp, statusOf, submit, tokenOf,
} from "./actions.mjs";
import { eventually } from "./browser.mjs";

/** A name that is a script, if anything on the page takes text for markup. */
const HOSTILE = "<img src=x onerror=alert(1)>";

/** A small one. */
const PHONE = { width: 360, height: 740 };

export const cases = {
  "a user signs up, signs in, is listed, changes the name, signs out and is deleted": async (stage) => {
    const page = await stage.visit();
    const who = page.locator("#who");
    const email = newEmail();

    await signUp(page, { name: HOSTILE, email, password: PASSWORD });
    await page.locator("#sign-in").waitFor();
    assert.equal(await page.locator("#sign-in-email").inputValue(), email);

    page.watch.expect(401);
    await signIn(page, { email, password: "wrong horse" });
    await page.locator("#sign-in .message").filter({ hasText: "is wrong" }).waitFor();
    await signIn(page, { email, password: PASSWORD });
    await who.filter({ hasText: HOSTILE }).waitFor();
    assert.ok(await page.locator("#sign-in").isHidden());

    // The list goes where a new user is: the one who signed up stands just before.
    await page.getByText("Add a user").click();
    await submit(page, "add-user", { name: "Ada", email: newEmail(), password: PASSWORD });
    await page.locator("#users [data-new]").filter({ hasText: "Ada" }).waitFor();
    const listed = page.locator("#users li").filter({ hasText: email });
    assert.equal(await listed.locator(".name").textContent(), HOSTILE);
    assert.equal(await page.locator("#users img, #who img").count(), 0);

    await submit(page, "profile", { name: "Grace Hopper" });
    await who.filter({ hasText: "Grace Hopper" }).waitFor();
    await page.reload();
    await who.filter({ hasText: "Grace Hopper" }).waitFor();

    const token = await tokenOf(page);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.locator("#sign-in").waitFor();
    assert.equal(await who.textContent(), "Not signed in");
    assert.equal(await tokenOf(page), null);
    page.watch.expect(401);
    assert.equal(await statusOf(page, "GET", "/api/v1/auth/session", token), 401);
    // A token that is not good any more is no reason to stop.
    await page.evaluate((token) => sessionStorage.setItem("access_token", token), token);
    page.watch.expect(401);
    await page.reload();
    await page.locator("#notice").filter({ hasText: "session has ended" }).waitFor();
    assert.equal(await tokenOf(page), null);

    await signIn(page, { email, password: PASSWORD });
    await who.filter({ hasText: "Grace Hopper" }).waitFor();
    const dialog = page.getByRole("dialog");
    await page.getByRole("button", { name: "Delete account" }).click();
    await dialog.getByRole("button", { name: "Keep it" }).click();
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await who.textContent(), "Grace Hopper");
    await page.getByRole("button", { name: "Delete account" }).click();
    const { user } = await sessionOf(page);
    await dialog.getByRole("button", { name: "Delete it" }).click();
    await page.locator("#sign-in").waitFor();
    assert.equal(await tokenOf(page), null);
    page.watch.expect(404);
    assert.equal(await statusOf(page, "GET", `/api/v1/users/${user.id}`), 404);
  },

  "an address that is taken is said at its field": async (stage) => {
    const page = await stage.visit();
    const { email } = await createUser(page);
    page.watch.expect(409);
    await signUp(page, { name: "Ada", email, password: PASSWORD });
    await page.locator("#sign-up-email-error").filter({ hasText: "is taken" }).waitFor();
    const field = page.getByRole("form", { name: "Create account" }).getByLabel("E-mail");
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    assert.ok(await field.evaluate((input) => input === document.activeElement));
    assert.equal(await page.locator("#sign-up-name").inputValue(), "Ada", "nothing is lost");
  },

  "every wrong field is said at its place, and taken back": async (stage) => {
    const page = await stage.visit();
    const errors = page.locator("#add-user .error:not(:empty)");
    await page.getByText("Add a user").click();
    page.watch.expect(422);
    await submit(page, "add-user", { name: " ", email: "nowhere", password: "short" });
    await eventually(async () => assert.equal(await errors.count(), 3));
    await submit(page, "add-user", { name: "Ada", email: newEmail(), password: PASSWORD });
    await page.locator("#users [data-new]").waitFor();
    assert.equal(await errors.count(), 0);
    assert.equal(await page.locator("#add-user [aria-invalid]").count(), 0);
  },

  "the list grows page by page": async (stage) => {
    const page = await stage.visit();
    const rows = page.locator("#users li");
    await rows.or(page.locator("#users-message:not(:empty)")).first().waitFor();
    for (let count = await rows.count(); count <= 20; count += 1) {
      await createUser(page);
    }
    await page.getByRole("button", { name: "From the start" }).click();
    await eventually(async () => assert.equal(await rows.count(), 20));
    await page.getByRole("button", { name: "More" }).click();
    await eventually(async () => assert.ok((await rows.count()) > 20));
    const ids = await rows.evaluateAll((found) => found.map((row) => Number(row.dataset.id)));
    assert.ok(ids.every((id, index) => index === 0 || id > ids[index - 1]), `${ids}`);
  },

  "the strip shows that different instances answer": async (stage) => {
    const page = await stage.visit();
    const rows = page.locator("#calls li");
    for (let calls = 0; calls < 22; calls += 1) {
      const answer = page.waitForResponse(/\/api\/v1\/users\?/);
      await page.getByRole("button", { name: "From the start" }).click();
      await answer;
    }
    await eventually(async () => assert.equal(await rows.count(), 20));
    const seen = await rows.evaluateAll((found) => found.map((row) => row.dataset.instance));
    const names = new Set(seen);
    assert.ok(names.size >= 2, `answered: ${[...names]}`);
    const colours = await rows.locator(".instance").evaluateAll((badges) =>
      badges.map((badge) => getComputedStyle(badge).borderLeftColor));
    assert.equal(new Set(colours).size, names.size, "a colour for each");
    assert.match(await rows.first().textContent(), /GET\/api\/v1\/users\?limit=20200\d+ ms/);
    const counts = await page.locator("#instances li").allTextContents();
    const sum = counts.reduce((total, text) => total + Number(/: (\d+)$/.exec(text)[1]), 0);
    assert.equal(sum, 23, `${counts}`);
  },

  "what is said in a room is heard in it, and as text": async (stage) => {
    const [one, other, elsewhere] = [await stage.visit(), await stage.visit(), await stage.visit()];
    const room = `room-${newEmail().slice(0, 16)}`;
    for (const [page, name] of [[one, room], [other, room], [elsewhere, `${room}-2`]]) {
      await page.locator("#chat-state[data-state=open]").waitFor();
      await submit(page, "chat-room", { room: name });
      await heard(page, `Room ${name}`).waitFor();
      await page.locator("#chat-state[data-state=open]").waitFor();
    }
    await say(one, "hello there");
    await heard(other, "hello there").waitFor();
    await heard(one, "hello there").waitFor();
    await say(other, HOSTILE);
    await heard(one, HOSTILE).waitFor();
    assert.equal(await one.locator("#chat-log img").count(), 0);
    // What is heard elsewhere has its own message last: nothing came before it.
    await say(elsewhere, "alone");
    await heard(elsewhere, "alone").waitFor();
    assert.equal(await elsewhere.locator("#chat-log li").count(), 2);
    await submit(one, "chat-room", { room: "no such name" });
    await one.locator("#room-name-error").filter({ hasText: "letters" }).waitFor();
  },

  "a chat that is cut off says so, comes back, and says what was missed": async (stage) => {
    const page = await stage.blank();
    let connections = 0;
    let server = null;
    await page.routeWebSocket(/\/ws\?room=lobby$/, (socket) => {
      connections += 1;
      if (connections === 1) {
        socket.send('{"type":"lagged","missed":3}');
        server = socket;
      } else {
        socket.connectToServer();
      }
    });
    await page.goto("/");
    await heard(page, "you have missed 3 messages").waitFor();
    const states = page.locator("#chat-state");
    await states.evaluate((place) => {
      window.seen = [];
      new MutationObserver(() => window.seen.push(place.dataset.state)).observe(place, { attributes: true });
    });
    await server.close({ code: 1001 });
    await page.waitForFunction(() => window.seen.includes("waiting") && window.seen.at(-1) === "open");
    assert.equal(connections, 2);
    await say(page, "here again");
    await heard(page, "here again").waitFor();
  },

  "being limited, and a busy service, are said kindly": async (stage) => {
    const page = await stage.visit();
    const answer = async (status, headers) => {
      await page.route(/\/api\/v1\/auth\/login$/, (route) => route.fulfill({ status, headers }), { times: 1 });
      page.watch.expect(status);
      await submit(page, "sign-in", { email: "ada@browser.example", password: PASSWORD });
    };
    const says = (text) => page.locator("#sign-in .message").filter({ hasText: text }).waitFor();
    await answer(429, { "Retry-After": "12" });
    await says("a little too often. Please try again in 12 seconds.");
    await answer(503, { "Retry-After": "1" });
    await says("busy or restarting. Please try again in a second.");
    await answer(503, {});
    await says("Please try again in a moment.");
    await page.locator("#calls li").filter({ hasText: "503" }).first().waitFor();
  },

  "waits are said for people, and grow to a bound": async (stage) => {
    const page = await stage.visit();
    const said = await page.evaluate(async () => {
      const { again } = await import("/js/api.js");
      const now = Date.parse("2026-01-01T00:00:00Z");
      const values = [null, "", "0", "1", "119", "120", "soon", "Thu, 01 Jan 2026 00:00:30 GMT", "Wed, 31 Dec 2025 23:59:59 GMT"];
      return values.map((value) => again(value, now));
    });
    assert.deepEqual(said, [
      "in a moment", "in a moment", "in a moment", "in a second", "in 119 seconds", "in 2 minutes",
      "in a moment", "in 30 seconds", "in a moment",
    ]);
    const waits = await page.evaluate(async () => {
      const { wait } = await import("/js/room.js");
      return [wait(0, 0), wait(0, 1), wait(3, 1), wait(50, 0), wait(5000, 1)];
    });
    assert.deepEqual(waits, [250, 500, 4000, 15_000, 30_000]);
  },

  "every control has a name, and the keyboard reaches the first": async (stage) => {
    const page = await stage.visit();
    const nameless = await page.locator("input, select, button").evaluateAll((controls) =>
      controls
        .filter((control) => !control.labels?.length && !control.ariaLabel && !control.textContent.trim())
        .map((control) => control.outerHTML));
    assert.deepEqual(nameless, []);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  },

  "it fits a phone, in light and in dark": async (stage) => {
    for (const colorScheme of ["light", "dark"]) {
      const page = await stage.visit({ viewport: PHONE, colorScheme });
      const long = "W".repeat(100);
      await page.getByText("Add a user").click();
      await submit(page, "add-user", { name: long, email: newEmail(), password: PASSWORD });
      await page.locator("#users [data-new]").waitFor();
      await say(page, long);
      await heard(page, long).waitFor();
      await fitsPhone(page);
    }
  },

  "an admin gives roles and sees the health of dependencies": async (stage) => {
    const page = await stage.visit();
    assert.ok(await page.locator("#health").isHidden());
    await signIn(page, stage.admin);
    await page.locator("#who").filter({ hasText: "(admin)" }).waitFor();
    await page.locator("#health-report section").nth(1).waitFor();
    assert.ok((await page.locator("#health-report dt").count()) > 0);
    await page.setViewportSize(PHONE);
    await fitsPhone(page);

    const email = newEmail();
    await page.getByText("Add a user").click();
    await submit(page, "add-user", { name: "Ada", email, password: PASSWORD });
    const role = page.locator("#users [data-new]").getByRole("combobox");
    assert.equal(await role.inputValue(), "user");
    await role.selectOption("admin");
    await page.locator("#notice").filter({ hasText: "has the role admin" }).waitFor();
    assert.equal(await role.inputValue(), "admin");
    await role.selectOption("user");
    await page.locator("#notice").filter({ hasText: "has the role user" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.locator("#health").waitFor({ state: "hidden" });
    assert.equal(await page.locator("#users select").count(), 0);
  },
};

async function fitsPhone(page) {
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= PHONE.width, `${width} pixels wide`);
}

function sessionOf(page) {
  return page.evaluate(async () => {
    const headers = { Authorization: `Bearer ${sessionStorage.getItem("access_token")}` };
    return (await fetch("/api/v1/auth/session", { headers })).json();
  });
}
