/**
 * Follows `docs/tutorial_react.md` with the packed packages, and uses the resulting chat in Chromium, as two users. For
 * `tutorial_sdks_test.ts`.
 */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { pack } from "../../tasks/pack/pack.ts";
import { DEADLINE_MS, startChromium } from "../console/world.ts";
import { announce, type ChildScenario, runAll } from "../harness/child_scenarios.ts";
import { freePort } from "../harness/free_ports.ts";
import { follow } from "./tutorial_shell.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

const PAGE = new URL("../../docs/tutorial_react.md", import.meta.url);

/** A separate browser context that is logged in. */
async function enter(browser: Browser, url: string, name: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.goto(url);
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Log in" }).click();
  return page;
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

async function twoUsers(browser: Browser, url: string): Promise<void> {
  const ann = await enter(browser, url, "ann");
  await ann.getByText("open; here: ann", { exact: true }).waitFor();
  // What the reader published from a terminal is in the history.
  await ann.getByText("carl: hello from a terminal", { exact: true }).waitFor();
  const bob = await enter(browser, url, "bob");
  for (const page of [ann, bob]) {
    await page.getByText("open; here: ann, bob", { exact: true }).waitFor();
  }
  await say(ann, "hello <b>Bob</b>");
  await say(bob, "hello Ann");
  for (const page of [ann, bob]) {
    await page.getByText("bob: hello Ann", { exact: true }).waitFor();
    await page.getByText("ann: hello <b>Bob</b>", { exact: true }).waitFor();
    assert.equal(await page.locator("li").count(), 3);
  }
  await bob.context().close();
  await ann.getByText("open; here: ann", { exact: true }).waitFor();
}

const followed: ChildScenario<Browser> = {
  name: "docs/tutorial_react.md: every command does what the page says, and two users chat",
  async run(browser) {
    const packed = await Deno.makeTempDir({ prefix: "arqon_tutorial_packed_" });
    await using _end = atEnd(() => Deno.remove(packed, { recursive: true }));
    // Not published yet: npm installs this checkout's packages.
    const ours = (await pack(packed)).map(({ path }) => path)
      .filter((path) => !path.includes("yjs"));
    const port = freePort();
    const page = (await Deno.readTextFile(PAGE))
      .replace("--silent @arqon/react", `--silent ${ours.join(" ")}`)
      .replaceAll("8080", String(port));
    await follow(page, undefined, () => twoUsers(browser, `http://127.0.0.1:${port}/`));
  },
};

announce([followed]);
const browser = await startChromium();
try {
  await runAll([followed], browser);
} finally {
  await browser.close();
}
