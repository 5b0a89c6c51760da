/**
 * The chat of Centrifugo's guides in Chromium, a page with the library's browser file, for `centrifugo_page_test.ts`.
 * The page has another origin, and only the bus's URL and tokens.
 */
import assert from "node:assert/strict";
import { startChromium } from "./console/world.ts";
import { startBusWith, type TestBus } from "./harness/bus.ts";
import { announce, type ChildScenario, runAll } from "./harness/child_scenarios.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

type Browser = Awaited<ReturnType<typeof startChromium>>;
type Page = Awaited<ReturnType<Browser["newPage"]>>;

interface World {
  readonly bus: TestBus;
  readonly browser: Browser;
  readonly origin: string;
}

const PAGE = `<!doctype html>
<title>Chat</title>
<ul id="people"></ul>
<ol id="lines"></ol>
<form id="form"><input id="text" autocomplete="off"></form>
<script src="/centrifuge.js"></script>
<script>
  const { base, token } = Object.fromEntries(new URLSearchParams(location.search));
  const list = (id, all) => document.getElementById(id).replaceChildren(...all.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  const lines = [];
  const people = new Map();
  const show = () => list("lines", lines);
  const showPeople = () => list("people", [...people.values()].sort());
  const transports = [
    { transport: "websocket", endpoint: base.replace("http", "ws") + "/connection/websocket" },
    { transport: "http_stream", endpoint: base + "/connection/http_stream" },
    { transport: "sse", endpoint: base + "/connection/sse" },
  ];
  const centrifuge = new Centrifuge(transports, {
    token,
    emulationEndpoint: base + "/emulation",
    minReconnectDelay: 10,
    maxReconnectDelay: 200,
  });
  centrifuge.on("connected", ({ transport }) => document.title = "Chat by " + transport);
  centrifuge.on("connecting", () => document.title = "Chat, connecting");
  const sub = centrifuge.newSubscription("chat:lobby", { joinLeave: true });
  sub.on("publication", ({ data, info }) => (lines.push(info.user + ": " + data.text), show()));
  sub.on("join", ({ info }) => (people.set(info.client, info.user), showPeople()));
  sub.on("leave", ({ info }) => (people.delete(info.client), showPeople()));
  sub.on("subscribed", async ({ wasRecovering, recovered }) => {
    const { clients } = await sub.presence();
    people.clear();
    for (const { client, user } of Object.values(clients)) people.set(client, user);
    showPeople();
    if (wasRecovering && recovered) return;
    const { publications } = await sub.history({ limit: 100 });
    lines.splice(0, Infinity, ...publications.map(({ data, info }) => info.user + ": " + data.text));
    show();
    document.body.dataset.ready = "yes";
  });
  document.getElementById("form").onsubmit = (event) => {
    event.preventDefault();
    const text = document.getElementById("text");
    sub.publish({ text: text.value });
    text.value = "";
  };
  sub.subscribe();
  centrifuge.connect();
</script>`;

/** Serves the page and the library's file from npm. */
function servePage() {
  const library = new URL("../dist/centrifuge.js", import.meta.resolve("centrifuge"));
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    if (new URL(request.url).pathname !== "/centrifuge.js") {
      return new Response(PAGE, { headers: { "content-type": "text/html" } });
    }
    const headers = { "content-type": "text/javascript" };
    return new Response(await Deno.readTextFile(library), { headers });
  });
}

/** A tab of a user who has joined the chat. */
async function openTab(
  { bus, browser, origin }: World,
  user: string,
  { base = bus.http_url, script = "" } = {},
) {
  const page = await browser.newPage();
  if (script !== "") await page.addInitScript(script);
  const asked = new URLSearchParams({ base, token: await bus.tokenFor({ user }) });
  await page.goto(`${origin}/?${asked}`);
  await page.waitForSelector("body[data-ready=yes]");
  return { page, [Symbol.asyncDispose]: () => page.close() };
}

async function say(page: Page, text: string): Promise<void> {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Resolves once a list has these entries. */
const lists = (page: Page, id: string, all: readonly string[]) =>
  page.waitForFunction(
    `[...document.querySelectorAll("#${id} li")].map((one) => one.textContent).join() ===
      ${JSON.stringify(all.join())}`,
  );

const lines: string[] = [];

const SCENARIOS: readonly ChildScenario<World>[] = [{
  name: "two tabs read and write, and see each other come and go",
  async run(world) {
    await using ann = await openTab(world, "ann");
    {
      await using bob = await openTab(world, "bob");
      for (const { page } of [ann, bob]) await lists(page, "people", ["ann", "bob"]);
      await say(ann.page, "hello <b>");
      await say(bob.page, "hällo");
      for (const { page } of [ann, bob]) {
        await page.waitForFunction('document.querySelectorAll("#lines li").length === 2');
      }
    }
    await lists(ann.page, "people", ["ann"]);
    const shown = await ann.page.locator("#lines li").allTextContents();
    assert.deepEqual(shown.toSorted(), ["ann: hello <b>", "bob: hällo"]);
    lines.push(...shown);
    assert.equal(await ann.page.title(), "Chat by websocket");
  },
}, {
  name: "a tab has the history at once, also where the browser has no WebSocket",
  async run(world) {
    await using eve = await openTab(world, "eve", { script: "delete globalThis.WebSocket" });
    await lists(eve.page, "lines", lines);
    await say(eve.page, "by a stream");
    lines.push("eve: by a stream");
    await lists(eve.page, "lines", lines);
    assert.equal(await eve.page.title(), "Chat by http_stream");
    const script = "delete globalThis.WebSocket; delete globalThis.ReadableStream";
    await using dan = await openTab(world, "dan", { script });
    await say(dan.page, "by events");
    lines.push("dan: by events");
    for (const { page } of [eve, dan]) await lists(page, "lines", lines);
    assert.equal(await dan.page.title(), "Chat by sse");
  },
}, {
  name: "a tab whose network was lost has what it missed, once",
  async run(world) {
    await using proxy = startTcpProxy(Number(new URL(world.bus.url).port));
    const base = `http://127.0.0.1:${proxy.port}`;
    await using ann = await openTab(world, "ann", { base });
    await using bob = await openTab(world, "bob");
    await proxy.cut();
    await ann.page.waitForFunction('document.title === "Chat, connecting"');
    for (const text of ["one", "two"]) {
      await say(bob.page, text);
      lines.push(`bob: ${text}`);
      await lists(bob.page, "lines", lines);
    }
    proxy.restore();
    await lists(ann.page, "lines", lines);
    await lists(ann.page, "people", ["ann", "bob"]);
  },
}];

announce(SCENARIOS);
await using browser = await startChromium();
await using server = servePage();
await using bus = await startBusWith(`
[server]
allowed_origins = ["http://127.0.0.1*"]
[centrifugo]
enabled = true
${durableRooms("chat:*")}
`);
const origin = `http://127.0.0.1:${server.addr.port}`;
await runAll(SCENARIOS, { bus, browser, origin });
