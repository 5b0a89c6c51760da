/**
 * Starts `examples/auction` and `examples/game` by their commands, and two people play in Chromium. For
 * `games_example_test.ts`. Arguments: words in the names of the wanted scenarios.
 */
import assert from "node:assert/strict";
import { stop } from "esbuild";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { found, until } from "../../shared/testing/until.ts";
import { startChromium } from "../console/world.ts";
import { startExample } from "../examples/example_task.ts";
import { announce, type ChildScenario, runAll, wanted } from "../harness/child_scenarios.ts";

const WAIT_MS = 60_000;
/** Attempts until a bid came in time: a machine may be slower than an auction. */
const OFFERS = 10;

type World = Browser;

interface Player extends AsyncDisposable {
  readonly context: BrowserContext;
  readonly page: Page;
}

/** A person's own browser with the page open. */
async function open(browser: Browser, url: string, name: string): Promise<Player> {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.stack ?? error.message}`));
  await page.goto(`${url}?name=${name}`);
  return {
    context,
    page,
    async [Symbol.asyncDispose]() {
      await context.close();
      assert.deepEqual(problems, []);
    },
  };
}

const textOf = async (page: Page, selector: string) =>
  await page.locator(selector).textContent() ?? "";

const says = (page: Page, selector: string, text: string) =>
  until(`${selector} says "${text}"`, async () => (await textOf(page, selector)).includes(text));

async function offer(page: Page, title: string, seconds: number): Promise<void> {
  await page.getByLabel("What is it").fill(title);
  await page.getByLabel("Seconds").fill(String(seconds));
  await page.getByRole("button", { name: "Offer" }).click();
}

async function bid(page: Page, amount: number): Promise<void> {
  await page.getByLabel("Your bid").fill(String(amount));
  await page.getByRole("button", { name: "Bid" }).click();
}

async function auction(browser: World): Promise<void> {
  await using example = await startExample("auction");
  await using seller = await open(browser, example.url, "sam");
  await using bidder = await open(browser, example.url, "ann");
  const sam = seller.page;
  const ann = bidder.page;
  for (const page of [sam, ann]) await says(page, "#title", "Nothing is offered yet.");
  let title = "";
  for (let at = 1;; at++) {
    assert.ok(at <= OFFERS, "no bid came in time");
    title = `<b>cup</b> ${at}`;
    await offer(sam, title, 5);
    await says(ann, "#title", `${title}, offered by sam`);
    const closes = Number(await ann.locator("#left").getAttribute("data-closes"));
    await bid(ann, 25);
    const done = async () => (await textOf(sam, "#leader")).includes("ann");
    const over = async () => await textOf(sam, "#leader") === "Nobody wanted it.";
    await until("a bid or the end", async () => await done() || await over());
    if (await over()) continue;
    // It had less than five seconds left: the bid has extended it.
    assert.ok(Number(await sam.locator("#left").getAttribute("data-closes")) > closes);
    break;
  }
  await says(ann, "#leader", "you");
  await bid(sam, 30);
  await says(sam, "#note", "the seller does not bid");
  // The room itself ends it, for both.
  await says(sam, "#leader", "Sold to ann.");
  await says(ann, "#leader", "Sold to you.");
  for (const page of [sam, ann]) await says(page, "#past", `${title}: 25 by ann`);
  await bid(ann, 40);
  await says(ann, "#note", "nothing is offered");
  // A later visitor sees the present state.
  await ann.reload();
  await says(ann, "#leader", "Sold to you.");
  await bidOffline(seller, bidder);
}

/** The bidder sees a bid before the room has it, and all others afterwards. */
async function bidOffline({ page: sam }: Player, { page: ann, context }: Player): Promise<void> {
  await offer(sam, "A vase", 3_600);
  await says(ann, "#title", "A vase, offered by sam");
  await context.setOffline(true);
  await bid(ann, 70);
  await says(ann, "#leader", "The highest bid is by you.");
  assert.equal(await textOf(sam, "#leader"), "The highest bid is by nobody.");
  await context.setOffline(false);
  await until("the room has it", async () => {
    if (await textOf(sam, "#leader") === "The highest bid is by ann.") return true;
    // Without an answer it is withdrawn after a while, with a message.
    if (await textOf(ann, "#note") !== "") await bid(ann, 70);
    return false;
  });
  await says(ann, "#leader", "The highest bid is by you.");
}

/** What is read about an item in the page. */
interface Item {
  readonly textContent: string | null;
  readonly dataset: Readonly<Record<string, string>>;
}

interface Seen {
  readonly text: string;
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

/** The players on a page, by name. */
const playersOn = (page: Page): Promise<Seen[]> =>
  page.locator("#players li").evaluateAll((items) =>
    items.map((item) => {
      const { textContent: text, dataset: { name, x, y } } = item as unknown as Item;
      return { text: text!, name: name!, x: Number(x), y: Number(y) };
    }).sort((one, other) => one.name < other.name ? -1 : 1)
  );

const isAnn = ({ name }: Seen) => name === "ann";

async function game(browser: World): Promise<void> {
  await using example = await startExample("game");
  await using first = await open(browser, example.url, "ann");
  await using second = await open(browser, example.url, "ben");
  const ann = first.page;
  const ben = second.page;
  const see = (page: Page, count: number) =>
    until(`${count} players`, async () => (await playersOn(page)).length === count);
  await see(ann, 2);
  await see(ben, 2);
  // Ann moves until she has a gem, and Ben sees it. If the machine stalls for long, the room drops both: then they
  // return automatically.
  const annAt = () => found("ann", async () => (await playersOn(ben)).find(isAnn));
  const hasGem = async () => /^ann [1-9]/.test((await annAt()).text);
  for (let at = 0; !await hasGem(); at++) {
    const key = ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"][at % 4]!;
    const { x, y } = await annAt();
    await ann.keyboard.down(key);
    // The edge of the field stops her.
    await until("she runs or stands at the edge", async () => {
      const now = await annAt();
      const is_far = Math.abs(now.x - x) + Math.abs(now.y - y) >= 12 * (at + 1);
      return is_far || await hasGem() || [0, 191].includes(now.x) || [0, 127].includes(now.y);
    });
    await ann.keyboard.up(key);
  }
  // Neither moves, and both pages show the same.
  await until("both see the same", async () => {
    const shown = await Promise.all([ann, ben].map(playersOn));
    return JSON.stringify(shown[0]) === JSON.stringify(shown[1]);
  });
  await second.page.close();
  await see(ann, 1);
  // A later visitor sees all positions.
  await using third = await open(browser, example.url, "ben");
  await see(third.page, 2);
}

const SCENARIOS: readonly ChildScenario<World>[] = [
  { name: "an auction: a late bid makes it longer, and the room says who has it", run: auction },
  { name: "a game at twenty ticks a second: one runs, the other sees it", run: game },
];

const scenarios = wanted(SCENARIOS, Deno.args);
announce(scenarios);
const browser = await startChromium();
try {
  await runAll(scenarios, browser);
} finally {
  await browser.close();
  await stop();
}
