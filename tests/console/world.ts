/**
 * Shared by the scenarios of the console: a real bus, a real Chromium, pages that record every error, and waiting for
 * expected content. Not the scenarios.
 */
import assert from "node:assert/strict";
import { type Browser, chromium, type Page } from "playwright-core";
import type { TestBus, TokenOptions } from "../harness/bus.ts";
import { RawClient } from "../peers/raw_client.ts";

/** Timeout of anything, in ms: on a busy machine one click has needed 30 s. */
export const DEADLINE_MS = 120_000;
/** A foreign name that leads the browser to this machine. */
export const REBOUND = "rebound.example";
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const MISSING = `no Chromium at ${PLACES.join(", ")}: install it, for example with
  apt-get install chromium`;

/** A bus, a browser and an admin's token. */
export interface World {
  readonly bus: TestBus;
  readonly browser: Browser;
  readonly admin: string;
}

/** An admin's action, and the expected result. */
export interface Scenario {
  readonly name: string;
  run(world: World): Promise<void>;
}

/** The initial state of a page. */
export interface PageOptions {
  /** The part after `/console/`, for example `#/rooms`. */
  readonly at?: string;
  /** In the tab's storage before the page is loaded; "" for none. Default: the admin's. */
  readonly token?: string;
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly color_scheme?: "light" | "dark";
  /** Browser messages that belong to the scenario: a refusal appears in its console. */
  readonly expected?: RegExp;
}

/** A page in its own browser context. */
export interface ConsolePage extends AsyncDisposable {
  readonly page: Page;
}

/** Starts the installed Chromium. Rejects with what to install when there is none. */
export async function startChromium(): Promise<Browser> {
  for (const executablePath of PLACES) {
    const found = await Deno.stat(executablePath).then(({ isFile }) => isFile, () => false);
    if (!found) continue;
    // As root, and in most containers, Chromium cannot set up its sandbox.
    const args = ["--no-sandbox", "--lang=en-US", `--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`];
    return await chromium.launch({ executablePath, args });
  }
  throw new Error(MISSING);
}

/**
 * Opens the console. When the scope ends, an error in the page's console, an uncaught error or a violation of the
 * Content-Security-Policy fails the scenario.
 */
export async function openConsole(world: World, options: PageOptions = {}): Promise<ConsolePage> {
  const { at = "", token = world.admin, viewport = { width: 1_280, height: 800 } } = options;
  const context = await world.browser.newContext({
    viewport,
    colorScheme: options.color_scheme ?? "light",
    locale: "en-US",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.stack ?? error.message}`));
  page.on("dialog", (dialog) => {
    problems.push(`a script opened a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    const text = `${message.type()}: ${message.text()} ${message.location().url}`;
    if (message.type() !== "error" && message.type() !== "warning") return;
    if (options.expected?.test(text) !== true) problems.push(text);
  });
  await page.addInitScript(`addEventListener("securitypolicyviolation", (event) => {
    console.error("policy violated: " + event.violatedDirective + " " + event.blockedURI);
  })`);
  if (token !== "") {
    const key = JSON.stringify("arqon-admin-token");
    // Once for the tab: a page that has signed out stays signed out.
    await page.addInitScript(`if (!sessionStorage.getItem("seeded")) {
      sessionStorage.setItem("seeded", "1");
      sessionStorage.setItem(${key}, ${JSON.stringify(token)});
    }`);
  }
  await page.goto(`${world.bus.admin_url}/console/${at}`);
  return {
    page,
    async [Symbol.asyncDispose]() {
      await context.close();
      assert.deepEqual(problems, [], "the page had problems");
    },
  };
}

/** A connected client that has received its WELCOME. */
export async function client(world: World, options: TokenOptions): Promise<RawClient> {
  const token = await world.bus.tokenFor(options);
  const one = new RawClient(world.bus.url, { token, subprotocols: ["arqon.v1.json"] });
  await one.json();
  return one;
}

/** Texts of one column of a table's rows, by the column's index. */
export async function columnTexts(page: Page, column: number): Promise<string[]> {
  return await page.locator(`main tbody tr td:nth-child(${column})`).allInnerTexts();
}

/** The admin API's answer to the admin, through the path for programs; with a body it is a POST. */
// deno-lint-ignore no-explicit-any -- whatever JSON there is; scenarios say what they expect
export async function ask(world: World, path: string, body?: object): Promise<any> {
  const headers = { authorization: `Bearer ${world.admin}`, "content-type": "application/json" };
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${world.bus.admin_url}${path}`, { headers, ...init });
  return await response.json();
}
