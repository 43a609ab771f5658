// What visitors do on the page, for the tests.

import { randomBytes } from "node:crypto";

import { eventually } from "./browser.mjs";

export const PASSWORD = "correct horse battery staple";

/** An address that nobody has. */
export function newEmail() {
  return `${randomBytes(8).toString("hex")}@browser.example`;
}

export async function fill(page, form, values) {
  for (const [name, value] of Object.entries(values)) {
    await page.locator(`#${form} [name=${name}]`).fill(value);
  }
}

/** Fills a form and sends it with the keyboard. */
export async function submit(page, form, values) {
  await fill(page, form, values);
  await page.locator(`#${form} input`).last().press("Enter");
}

export async function signUp(page, values) {
  await page.getByRole("radio", { name: "Create account" }).check();
  await submit(page, "sign-up", values);
}

/**
 * Signs in; the stack may limit attempts, and says on the page how long to wait.
 * That wait is the only one by the clock: an earlier attempt would be refused.
 */
export async function signIn(page, { email, password }) {
  await fill(page, "sign-in", { email });
  const message = page.locator("#sign-in .message");
  await eventually(async () => {
    const answer = page.waitForResponse(/\/api\/v1\/auth\/login$/);
    await submit(page, "sign-in", { password });
    if ((await answer).status() === 429) {
      page.watch.expect(429);
      await message.filter({ hasText: "too often" }).waitFor();
      const seconds = Number(/in (\d+) seconds/.exec(await message.textContent())?.[1] ?? 1);
      await page.waitForTimeout(seconds * 1000);
      throw new Error("logins are limited");
    }
  });
}

/** A user made with a request of its own, past the page. */
export async function createUser(page, values) {
  const response = await page.request.post("/api/v1/users", {
    data: { name: "Grace", email: newEmail(), password: PASSWORD, ...values },
  });
  if (response.status() !== 201) {
    throw new Error(`no user was made: ${response.status()} ${await response.text()}`);
  }
  return response.json();
}

/** The status of a request that the page's own origin makes. */
export function statusOf(page, method, path, token) {
  return page.evaluate(
    async ([method, path, token]) => {
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      return (await fetch(path, { method, headers })).status;
    },
    [method, path, token],
  );
}

export function tokenOf(page) {
  return page.evaluate(() => sessionStorage.getItem("access_token"));
}

export async function say(page, text) {
  await page.locator("#chat-state[data-state=open]").waitFor();
  await submit(page, "chat-send", { text });
}

export function heard(page, text) {
  return page.locator("#chat-log li").filter({ hasText: text });
}
