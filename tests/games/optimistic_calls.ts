/** Two pages in Chromium call one room and see what they do before it has answered; in the end both show what it has. */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { bundlePage } from "../../examples/example_page.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import type { OptimisticPage } from "./optimistic_page.ts";

const WASM = new URL("../../policies/build/reducers/counter.wasm", import.meta.url);
const CALLS = 20;
const CONFIG = `
[server]
host = "127.0.0.1"
port = 0
drain_ms = 0
allowed_origins = ["http://127.0.0.1:*"]
[ops]
host = "127.0.0.1"
[limits]
#constant limits.command_timeout_ms = 60_000
[[reducers]]
name = "counter"
file = "${WASM.pathname}"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
reducer_visible = ["total"]
`;

type Globals = typeof globalThis & { readonly optimistic: OptimisticPage };

const totalsOf = (page: Page) => page.evaluate(() => (globalThis as Globals).optimistic.totals());
const callsOf = (page: Page) =>
  page.evaluate((count) => (globalThis as Globals).optimistic.calls(count), CALLS);

/** Both call at the same time. */
export async function optimisticCalls(browser: Browser): Promise<void> {
  await using bus = await startBusWith(CONFIG);
  const script = await bundlePage(new URL(".", import.meta.url).href, "optimistic_page.ts");
  const files: Readonly<
    Record<string, readonly [type: string, body: string | Uint8Array<ArrayBuffer>]>
  > = {
    "/": [
      "text/html",
      '<!doctype html><title>calls</title><script type="module" src="/main.js"></script>',
    ],
    "/main.js": ["text/javascript", script],
    "/bus.json": ["application/json", JSON.stringify({ url: bus.url, token: bus.token })],
    "/counter.wasm": ["application/wasm", await Deno.readFile(WASM)],
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    const [type = "text/plain", body] = files[new URL(url).pathname] ?? [];
    return new Response(body, {
      status: body === undefined ? 404 : 200,
      headers: { "content-type": type },
    });
  });
  const context = await browser.newContext();
  try {
    const pages = await Promise.all([0, 1].map(async () => {
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${server.addr.port}/`);
      await page.waitForFunction("globalThis.optimistic !== undefined", undefined, {
        timeout: 60_000,
      });
      return page;
    }));
    for (const seen of await Promise.all(pages.map(callsOf))) {
      // The other one may have been faster, so that it begins above 0; from there it is each own call, at once.
      assert.deepEqual(seen, seen.map((_, at) => seen[0]! + at));
    }
    const wanted = { confirmed: 2 * CALLS, shown: 2 * CALLS, pending: 0 };
    for (const page of pages) {
      await until("what the room has", async () => {
        return JSON.stringify(await totalsOf(page)) === JSON.stringify(wanted);
      });
    }
  } finally {
    await context.close();
    await server.shutdown();
  }
}
