// A picture of the page in use, for the documentation.

import { PASSWORD, createUser, heard, newEmail, say, signIn } from "./actions.mjs";

const NAMES = ["Ada Lovelace", "Grace Hopper", "Radia Perlman", "Barbara Liskov"];

export async function takeScreenshot(stage, path) {
  const page = await stage.visit({ viewport: { width: 1200, height: 900 }, deviceScaleFactor: 1 });
  const users = [];
  for (const name of NAMES) {
    users.push(await createUser(page, { name }));
  }
  await signIn(page, { email: users[0].email, password: PASSWORD });
  await page.locator("#who").filter({ hasText: NAMES[0] }).waitFor();

  const friend = await stage.visit();
  const room = `tea-${newEmail().slice(0, 6)}`;
  for (const visitor of [page, friend]) {
    await visitor.locator("#chat-state[data-state=open]").waitFor();
    await visitor.locator("#room-name").fill(room);
    await visitor.getByRole("button", { name: "Join" }).click();
    await heard(visitor, `Room ${room}`).waitFor();
  }
  await say(friend, "Who has answered you just now?");
  await heard(page, "just now").waitFor();
  await say(page, "All three of them, in turns.");
  await heard(page, "in turns").waitFor();
  for (let calls = 0; calls < 6; calls += 1) {
    const answer = page.waitForResponse(/\/api\/v1\/users\?/);
    await page.getByRole("button", { name: "From the start" }).click();
    await answer;
  }
  await page.evaluate(() => {
    document.activeElement.blur();
    scrollTo(0, 0);
  });
  await page.screenshot({ path, fullPage: true });
}
