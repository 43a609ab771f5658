// Browsers and pages for the tests, and what is watched on every page.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** Longer than anything here takes, also on a busy machine. */
export const PATIENCE_MS = 30_000;

/** Where npm has put playwright-core: outside of the tree of sources. */
function playwright() {
  const directory = process.env.BROWSER_TESTS_MODULES;
  if (!directory) {
    throw new Error("BROWSER_TESTS_MODULES names no directory; run scripts/test-browser.sh");
  }
  return createRequire(pathToFileURL(`${directory}/package.json`))("playwright-core");
}

/** A Chromium with a profile of its own, which is gone when it is closed. */
export function launch() {
  const args = [
    "--disable-gpu",
    // HTTP/3 is not what is tested.
    "--disable-quic",
    // The browser talks to what is tested and to nobody else.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ];
  // Chromium refuses its sandbox to root.
  const chromiumSandbox = process.getuid() !== 0;
  return playwright().chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    handleSIGTERM: false,
    chromiumSandbox,
    args,
    timeout: PATIENCE_MS,
  });
}

/**
 * A page in a context of its own (cookies, storage, cache), with a watch over
 * what it says on the console.
 */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({
    baseURL: url,
    // The development authority is nobody's.
    ignoreHTTPSErrors: true,
    locale: "en-GB",
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  return { context, page, watch: new Watch(page) };
}

/**
 * Notes whatever a page complains of. A browser reports every answer of 400 and
 * more as an error on the console: those that a test provokes are announced with
 * `expect`, and have to come.
 */
class Watch {
  #expected = [];
  #complaints = [];

  constructor(page) {
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        this.#note(message.text());
      }
    });
    page.on("pageerror", (error) => this.#complaints.push(`uncaught: ${error.stack}`));
    page.on("crash", () => this.#complaints.push("the page crashed"));
    // Nothing here asks with one of these: whoever does is a script that got in.
    page.on("dialog", async (dialog) => {
      this.#complaints.push(`a dialog: ${dialog.message()}`);
      await dialog.dismiss();
    });
  }

  /** The next answer with one of these statuses is meant. */
  expect(...statuses) {
    this.#expected.push(...statuses);
  }

  #note(text) {
    const status = /^Failed to load resource: .* status of (\d{3})/.exec(text)?.[1];
    const index = this.#expected.indexOf(Number(status));
    if (index < 0) {
      this.#complaints.push(text);
    } else {
      this.#expected.splice(index, 1);
    }
  }

  /** Fails if there was a complaint, or if an announced one has not come. */
  verify() {
    assert.deepEqual(this.#complaints, [], "complaints on the console");
    assert.deepEqual(this.#expected, [], "answers that were expected and have not come");
  }
}

/** Waits until `check` does not throw any more, and fails as it does if that takes too long. */
export async function eventually(check) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
