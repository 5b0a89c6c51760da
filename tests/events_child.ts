/** Chromium's own `EventSource` with tickets, for `sse_readers_test.ts`: its own bus, one page. */
import assert from "node:assert/strict";
import { startBusWith, type TestBus } from "./harness/bus.ts";
import { announce, type ChildScenario, runAll } from "./harness/child_scenarios.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { startChromium } from "./console/world.ts";
import { killableEmbedded } from "./kills/killable_embedded.ts";

const DOCUMENT = new URL("../docs/sse.md", import.meta.url);
const PLACE = "https://bus.example.com";

/** The page's program of the documentation, for the bus at `url`. */
async function documentedPage(url: string): Promise<string> {
  const text = await Deno.readTextFile(DOCUMENT);
  const [, program = ""] = /```js\n([\s\S]*?function follow[\s\S]*?)```/.exec(text) ?? [];
  assert.ok(program.includes(PLACE), "docs/sse.md has the page, with the place of the bus");
  return program.replaceAll(PLACE, url);
}

type Page = Awaited<ReturnType<Awaited<ReturnType<typeof startChromium>>["newPage"]>>;

interface World {
  readonly bus: TestBus;
  readonly page: Page;
}

/** The page's actions: a ticket, a source, and the results. */
const FOLLOW = `async ({ token, last }) => {
  const asked = await fetch("/v1/tickets", {
    method: "POST",
    headers: { authorization: "Bearer " + token, "content-type": "application/json" },
    body: JSON.stringify({ rooms: ["kept"] }),
  });
  const { ticket } = await asked.json();
  const query = new URLSearchParams({ room: "kept", ticket });
  if (last !== "") query.set("last_event_id", last);
  globalThis.got = [];
  globalThis.last = "";
  globalThis.gone = false;
  const source = globalThis.source = new EventSource("/v1/events?" + query);
  source.onmessage = ({ data, lastEventId }) => {
    globalThis.got.push(JSON.parse(data).data);
    globalThis.last = lastEventId;
  };
  source.onerror = () => globalThis.gone = true;
  await new Promise((resolve) => source.addEventListener("subscribed", resolve, { once: true }));
}`;

async function follow({ page }: World, token: string, last: string): Promise<void> {
  await page.evaluate(`(${FOLLOW})(${JSON.stringify({ token, last })})`);
}

const SCENARIOS: readonly ChildScenario<World>[] = [{
  name: "EventSource reads with a ticket, and goes on with another where it was",
  async run(world) {
    const { bus, page } = world;
    const peer = new HttpPeer(bus.http_url, bus.token);
    const publish = (data: number) => peer.done("POST", "rooms/kept/messages", { type: "t", data });
    await page.goto(`${bus.http_url}/v1/openapi.json`);
    await follow(world, bus.token, "");
    await publish(1);
    await publish(2);
    await page.waitForFunction("globalThis.got.length === 2");
    const last = await page.evaluate("globalThis.source.close(), globalThis.last") as string;
    await publish(3);
    await publish(4);
    await follow(world, bus.token, last);
    await page.waitForFunction("globalThis.got.length === 2");
    assert.deepEqual(await page.evaluate("globalThis.got"), [3, 4]);
    await page.evaluate("globalThis.source.close()");
  },
}, {
  name: "a ticket that was used ends it for good",
  async run(world) {
    const { bus, page } = world;
    await follow(world, bus.token, "");
    await page.evaluate("globalThis.again = new EventSource(globalThis.source.url)");
    await page.waitForFunction("globalThis.again.readyState === 2");
    await page.evaluate("globalThis.source.close()");
  },
}, {
  name: "the page of docs/sse.md reads each message once over kills of the bus",
  async run({ page }) {
    await using bus = await killableEmbedded();
    const { urls: [url = ""], token } = bus;
    const peer = new HttpPeer(url, token);
    const publish = (data: number) =>
      peer.done("POST", "rooms/orders/messages", { type: "t", data });
    await page.goto(`${url}/v1/openapi.json`);
    await page.evaluate(`{
      globalThis.got = [];
      globalThis.entered = 0;
      const Native = EventSource;
      globalThis.EventSource = class extends Native {
        constructor(place) {
          super(place);
          this.addEventListener("subscribed", () => globalThis.entered++);
        }
      };
      const token = () => ${JSON.stringify(token)};
      const show = ({ data }) => globalThis.got.push(data);
      const refused = (reason) => globalThis.got.push(reason);
      ${await documentedPage(url)}
      follow(["orders"]);
    }`);
    await page.waitForFunction("globalThis.entered === 1");
    let last = 0;
    for (let kill = 0; kill < 2; kill++) {
      await bus.killOne(0);
      await publish(++last);
      await publish(++last);
      await page.waitForFunction(`globalThis.got.at(-1) === ${last}`);
    }
    assert.deepEqual(await page.evaluate("globalThis.got"), [1, 2, 3, 4]);
  },
}];

announce(SCENARIOS);
await using browser = await startChromium();
await using bus = await startBusWith(
  '[server]\nallowed_origins = ["http://127.0.0.1*"]\n' +
    '[[rooms]]\nroom = "kept"\ndurable = true\nhistory_size = 100\n',
);
await runAll(SCENARIOS, { bus, page: await browser.newPage() });
