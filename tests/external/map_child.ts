/**
 * The live map as users run it, on its own bus: each player plays the real feeds, and the page in Chromium, a later
 * page, and the terminal's viewer must all end with the same vehicles. A separate process with all permissions, because
 * Playwright reads `/proc`. `map_test.ts` starts it. Arguments: the folder of the feeds, the Python of the SDK's
 * environment.
 */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { until } from "../../shared/testing/until.ts";
import { startBus, type TestBus } from "../harness/bus.ts";
import { startChromium } from "../console/world.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const EXAMPLES = `${ROOT}/examples/map`;
const [feeds = "", python = ""] = Deno.args;

/** The totals of the feeds, computed by an independent reader: `summary.json`. */
async function truth(): Promise<{ updates: number; vehicles: number }> {
  const summary: { file: string; vehicle: number }[] = JSON.parse(
    await Deno.readTextFile(`${feeds}/summary.json`),
  );
  const subway = summary.filter(({ file }) => file.startsWith("nyct/"));
  const minutes = subway.filter(({ file }) => file.endsWith(".ace.pb"))
    .sort((a, b) => a.file.localeCompare(b.file));
  assert.equal(minutes.length, 12);
  const sum = (all: typeof subway) => all.reduce((total, { vehicle }) => total + vehicle, 0);
  // Of the consecutive minutes of three lines the last counts; of the other lines there is one.
  return { updates: sum(subway), vehicles: sum(subway) - sum(minutes.slice(0, -1)) };
}

/** A program of the examples, and its printed lines. */
class Program implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;

  constructor(command: string, ...args: string[]) {
    const options = { args, cwd: ROOT, stdin: "null", stdout: "piped", stderr: "inherit" } as const;
    this.#child = new Deno.Command(command, options).spawn();
    this.#read = this.#readLines();
  }

  async #readLines(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.lines.push(...lines);
    }
  }

  /** Resolves when it has ended successfully. */
  async done(): Promise<void> {
    const { success } = await this.#child.status;
    await this.#read;
    assert.ok(success, this.lines.join("\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has already ended.
    }
    await Promise.all([this.#child.status, this.#read]);
  }
}

async function openPage(browser: Browser, url: string, problems: string[]): Promise<Page> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(message.text());
  });
  await page.goto(url);
  await until("the page is connected", async () => (
    await page.locator("#state").textContent() === "open"
  ));
  return page;
}

async function shows(page: Page, { updates, vehicles }: Awaited<ReturnType<typeof truth>>) {
  const wanted = [updates, vehicles, vehicles, 0].join();
  const found = async () =>
    [
      await page.locator("#updates").textContent(),
      await page.locator("#vehicles").textContent(),
      await page.locator("circle").count(),
      await page.locator("#gaps").textContent(),
    ].join();
  await until("updates, vehicles, dots and gaps of the page", async () => await found() === wanted)
    .catch(async (error) => assert.equal(await found(), wanted, error.message));
}

/** The output of the terminal's viewer. */
async function played(
  bus: TestBus,
  browser: Browser,
  room: string,
  player: readonly string[],
): Promise<readonly string[]> {
  const expected = await truth();
  const on_room = [bus.url, bus.token, "--room", room];
  const server = [`${EXAMPLES}/typescript/view.ts`, ...on_room, "--port", "0"];
  await using page_server = new Program(Deno.execPath(), "run", "-A", ...server);
  await using terminal = new Program(python, `${EXAMPLES}/python/view.py`, ...on_room);
  await until("the page is served", () => Promise.resolve(page_server.lines.length > 0));
  const problems: string[] = [];
  const page = await openPage(browser, page_server.lines[0]!, problems);
  const [command = "", ...args] = player;
  await using playing = new Program(
    command,
    ...args,
    ...[bus.url, bus.token, `${feeds}/nyct`, "--speed", "1000", "--room", room],
  );
  await playing.done();
  assert.equal(playing.lines.length, 16);
  await shows(page, expected);
  await shows(await openPage(browser, page_server.lines[0]!, problems), expected);
  assert.deepEqual(problems, []);
  const count = (start: string) => terminal.lines.filter((line) => line.startsWith(start)).length;
  await until("the terminal has every update", () => (
    Promise.resolve(count("vehicle ") === expected.updates)
  ));
  assert.equal(count("gap "), 0);
  return terminal.lines;
}

const browser = await startChromium();
try {
  await using bus = await startBus(["--config", `${EXAMPLES}/bus.toml`]);
  const deno = [Deno.execPath(), "run", "--allow-net", "--allow-read"];
  const [one, other] = await Promise.all([
    played(bus, browser, "map-ts", [...deno, `${EXAMPLES}/typescript/play.ts`]),
    played(bus, browser, "map-py", [python, `${EXAMPLES}/python/play.py`]),
  ]);
  // Two independent readers of the feeds agree about every vehicle.
  assert.deepEqual(one, other);
} finally {
  await browser.close();
}
