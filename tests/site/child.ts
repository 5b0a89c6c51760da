/**
 * Opens the built site of the documents in Chromium, for `site_test.ts`: axe, and the width of every page on small
 * phones. Arguments: words of the selected scenarios' names.
 */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { announce, type ChildScenario, runAll, wanted } from "../harness/child_scenarios.ts";
import { axeFindings } from "../console/axe.ts";
import { startChromium } from "../console/world.ts";

interface World {
  readonly browser: Browser;
  readonly url: string;
  /** Of all pages, for example `protocol.html`. */
  readonly pages: readonly string[];
}

/** Where `deno task docs:site --check` builds it. */
const SITE = new URL("../../.arqon/site/out/", import.meta.url).pathname;
/** The time limit of any step. */
const DEADLINE_MS = 120_000;
const NARROW = [320, 390];
/** Pages with different content: the start page, code and tables, nothing special. */
const SAMPLE = ["index.html", "protocol.html", "tutorial_schemas.html", "404.html"];
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  png: "image/png",
  svg: "image/svg+xml",
};

/** Serves the files as any web server does. */
function serve(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async ({ url }) => {
    const path = decodeURIComponent(new URL(url).pathname).replace(/\/$/, "/index.html");
    const body = await Deno.readFile(SITE + path.slice(1)).catch(() => undefined);
    if (body === undefined) return new Response("", { status: 404 });
    const type = TYPES[path.split(".").at(-1) ?? ""] ?? "application/octet-stream";
    return new Response(body, { headers: { "content-type": type } });
  });
}

async function pagesOf(folder: string): Promise<string[]> {
  const pages: string[] = [];
  for await (const { name } of Deno.readDir(folder)) if (name.endsWith(".html")) pages.push(name);
  return pages.sort();
}

async function open(
  { browser }: World,
  width: number,
  color_scheme: "light" | "dark",
): Promise<Page> {
  const viewport = { width, height: 800 };
  const context = await browser.newContext({ viewport, colorScheme: color_scheme });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  return page;
}

/** Opens each page, waits until VitePress has hydrated it, and checks it. */
async function visit(
  { url }: World,
  page: Page,
  pages: readonly string[],
  look: (name: string) => Promise<readonly string[]>,
): Promise<string[]> {
  const found: string[] = [];
  for (const name of pages) {
    await page.goto(`${url}/${name}`);
    await page.waitForFunction("document.querySelector('#app')?.__vue_app__ !== undefined");
    found.push(...(await look(name)).map((finding) => `${name}: ${finding}`));
  }
  await page.context().close();
  return found;
}

const everyPage: ChildScenario<World> = {
  name: "axe finds nothing on any page",
  async run(world) {
    assert.ok(world.pages.length > 30, `${world.pages.length} pages`);
    const page = await open(world, 1_280, "light");
    assert.deepEqual(await visit(world, page, world.pages, () => axeFindings(page)), []);
  },
};

const darkAndNarrow: ChildScenario<World> = {
  name: "nor in the dark, nor on a telephone with its menu open, of pages with all that there is",
  async run(world) {
    const dark = await open(world, 1_280, "dark");
    assert.deepEqual(await visit(world, dark, SAMPLE, () => axeFindings(dark)), []);
    const narrow = await open(world, 320, "light");
    const found = await visit(world, narrow, SAMPLE, async () => {
      const closed = await axeFindings(narrow);
      await narrow.getByRole("button", { name: "mobile navigation" }).click();
      await narrow.locator(".VPNavScreen").waitFor();
      // It fades in, and low contrast during the transition does not count.
      await narrow.waitForFunction(
        "document.getAnimations().every(({ playState }) => playState !== 'running')",
      );
      return [...closed, ...await axeFindings(narrow)];
    });
    assert.deepEqual(found, []);
  },
};

const fits: ChildScenario<World> = {
  name: "no page is wider than a telephone of 320 or 390 px",
  async run(world) {
    for (const width of NARROW) {
      const page = await open(world, width, "light");
      const found = await visit(world, page, world.pages, async () => {
        const wide = await page.evaluate<number>("document.scrollingElement.scrollWidth");
        return wide > width ? [`${wide} px wide on ${width}`] : [];
      });
      assert.deepEqual(found, []);
    }
  },
};

const scenarios = wanted([everyPage, darkAndNarrow, fits], Deno.args);
announce(scenarios);
await using server = serve();
await using browser = await startChromium();
const url = `http://127.0.0.1:${server.addr.port}`;
await runAll(scenarios, { browser, url, pages: await pagesOf(SITE) });
