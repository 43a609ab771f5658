// Runs the browser tests against a stack that is running: a demo, a fleet.
//
//   node run.mjs --url URL --admin-email EMAIL --admin-password-file FILE
//                [--artifacts DIR] [--screenshot FILE]
//
//   --artifacts   where pictures of pages go whose test has failed
//   --screenshot  a picture of the page, for the documentation
//
// The stack keeps some users with random addresses below browser.example.

import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";

import { launch, openPage } from "./browser.mjs";
import { cases } from "./cases.mjs";
import { takeScreenshot } from "./screenshot.mjs";

function settings() {
  const { values } = parseArgs({
    options: {
      url: { type: "string" },
      "admin-email": { type: "string" },
      "admin-password-file": { type: "string" },
      artifacts: { type: "string" },
      screenshot: { type: "string" },
    },
  });
  for (const name of ["url", "admin-email", "admin-password-file"]) {
    if (!values[name]) {
      throw new Error(`--${name} is missing`);
    }
  }
  return {
    ...values,
    admin: {
      email: values["admin-email"],
      password: readFileSync(values["admin-password-file"], "utf8").replace(/[\r\n]+$/, ""),
    },
  };
}

/** What a test works with. */
class Stage {
  #opened = [];

  constructor(browser, { url, admin }) {
    this.browser = browser;
    this.url = url;
    this.admin = admin;
  }

  /** A page of a new visitor, at the start page. */
  async visit(options) {
    const page = await this.blank(options);
    await page.goto("/");
    return page;
  }

  /** The same, which has not gone anywhere yet. */
  async blank(options) {
    const opened = await openPage(this.browser, this.url, options);
    this.#opened.push(opened);
    opened.page.watch = opened.watch;
    return opened.page;
  }

  async photograph(directory, name) {
    await mkdir(directory, { recursive: true });
    for (const [index, { page }] of this.#opened.entries()) {
      const path = `${directory}/${name.replaceAll(/\W+/g, "-")}-${index}.png`;
      await page.screenshot({ path, fullPage: true });
      console.log(`      ${path}`);
    }
  }

  verify() {
    for (const { watch } of this.#opened) {
      watch.verify();
    }
  }

  async close() {
    for (const { context } of this.#opened) {
      // Answers may still be on their way through a test's own routes.
      await context.unrouteAll({ behavior: "ignoreErrors" });
      await context.close();
    }
  }
}

async function run(stage, name, test, artifacts) {
  try {
    await test(stage);
    stage.verify();
    console.log(`ok    ${name}`);
    return true;
  } catch (error) {
    console.log(`FAIL  ${name}\n${String(error?.stack ?? error).replaceAll(/^/gm, "      ")}`);
    if (artifacts) {
      await stage.photograph(artifacts, name);
    }
    return false;
  } finally {
    await stage.close();
  }
}

async function main() {
  const { artifacts, screenshot, ...given } = settings();
  const browser = await launch();
  // As it does by itself on Ctrl-C.
  process.once("SIGTERM", () => browser.close().finally(() => process.exit(143)));
  try {
    let failed = 0;
    for (const [name, test] of Object.entries(cases)) {
      const passed = await run(new Stage(browser, given), name, test, artifacts);
      failed += passed ? 0 : 1;
    }
    if (failed > 0) {
      console.log(`browser: ${failed} of ${Object.keys(cases).length} failed`);
      return 1;
    }
    if (screenshot) {
      const stage = new Stage(browser, given);
      await takeScreenshot(stage, screenshot);
      await stage.close();
      console.log(`browser: ${screenshot} is new`);
    }
    return 0;
  } finally {
    await browser.close();
  }
}

process.exitCode = await main();
