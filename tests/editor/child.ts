/**
 * Starts `examples/editor` by its command and writes in it in Chromium, for `editor_example_test.ts`. Arguments: words
 * in the names of the wanted scenarios.
 */
import assert from "node:assert/strict";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { until } from "../../shared/testing/until.ts";
import { startChromium } from "../console/world.ts";
import { announce, type ChildScenario, runAll, wanted } from "../harness/child_scenarios.ts";
import { startExample } from "../examples/example_task.ts";

const WAIT_MS = 60_000;

interface World {
  readonly browser: Browser;
  /** The page's address. */
  readonly url: string;
}

interface Window extends AsyncDisposable {
  readonly context: BrowserContext;
  readonly page: Page;
  text(): Promise<string>;
  type(text: string): Promise<void>;
}

/** A window with the document open, ready for typing. */
async function open({ browser, url }: World, room: string, name: string): Promise<Window> {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await page.goto(`${url}?room=${room}&name=${name}`);
  const area = page.locator("#text:enabled");
  await area.waitFor();
  return {
    context,
    page,
    text: () => area.inputValue(),
    async type(text) {
      await area.focus();
      await page.keyboard.press("Control+End");
      await page.keyboard.type(text);
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

const state = ({ page }: Window) => page.locator("#state").textContent();

async function agree(...windows: Window[]): Promise<string> {
  await until("all windows show the same", async () => {
    const texts = await Promise.all(windows.map(({ text }) => text()));
    return new Set(texts).size === 1;
  });
  return await windows[0]!.text();
}

async function together(world: World): Promise<void> {
  await using ann = await open(world, "doc-together", "Ann");
  await using ben = await open(world, "doc-together", "Ben");
  await Promise.all([ann.type("ann was here. "), ben.type("ben was here. ")]);
  await until("both are saved", async () => {
    return await state(ann) === "saved" && await state(ben) === "saved";
  });
  const text = await agree(ann, ben);
  assert.equal(text.length, 28);
  assert.equal([...text].sort().join(""), [..."ann was here. ben was here. "].sort().join(""));
  const people = ann.page.locator("#people li");
  await people.filter({ hasText: "Ben, line 1" }).waitFor();
  await ben.type("\n\nthree");
  await people.filter({ hasText: "Ben, line 3" }).waitFor();
  await ben.context.close();
  await people.filter({ hasText: "Ben" }).waitFor({ state: "detached" });
}

async function cursorStays(world: World): Promise<void> {
  await using ann = await open(world, "doc-cursor", "Ann");
  await using ben = await open(world, "doc-cursor", "Ben");
  await ann.type("one three");
  await agree(ann, ben);
  await ann.page.evaluate(`document.querySelector("#text").setSelectionRange(4, 4)`);
  await ben.page.locator("#text").focus();
  await ben.page.keyboard.press("Control+Home");
  await ben.page.keyboard.type("zero ");
  await agree(ann, ben);
  await until("ann has what ben wrote", async () => (await ann.text()).startsWith("zero "));
  await ann.page.locator("#text").focus();
  await ann.page.keyboard.type("two ");
  assert.equal(await agree(ann, ben), "zero one two three");
}

async function offlineAndReload(world: World): Promise<void> {
  await using ann = await open(world, "doc-offline", "Ann");
  await using ben = await open(world, "doc-offline", "Ben");
  await ann.type("before. ");
  await agree(ann, ben);
  await ann.context.setOffline(true);
  await ann.type("ann offline. ");
  await ben.type("ben online. ");
  await until("ben is saved", async () => await state(ben) === "saved");
  await ann.context.setOffline(false);
  await until("ann is saved", async () => await state(ann) === "saved");
  const text = await agree(ann, ben);
  for (const typed of ["before. ", "ann offline. ", "ben online. "]) {
    assert.ok(text.includes(typed), text);
  }
  await ben.page.reload();
  await ben.page.locator("#text:enabled").waitFor();
  assert.equal(await agree(ann, ben), text);
}

const SCENARIOS: readonly ChildScenario<World>[] = [
  { name: "two write at once, and see who is where", run: together },
  { name: "the cursor stays where it is while another writes before it", run: cursorStays },
  { name: "what is written offline is merged, and a reload shows it", run: offlineAndReload },
];

const scenarios = wanted(SCENARIOS, Deno.args);
announce(scenarios);
await using example = await startExample("editor");
await using browser = await startChromium();
await runAll(scenarios, { browser, url: example.url });
