/** The packages in a real Chromium: a page, a worker, lost connections, the example. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { until } from "../../shared/testing/until.ts";
import { startExample } from "../examples/example_task.ts";
import { startTcpProxy } from "../harness/tcp_proxy.ts";
import { openProgram, openUnbundled, openUrl, type PageGlobals } from "./page.ts";
import { assertTour } from "./scenarios_runtimes.ts";
import type { Scenario, World } from "./world.ts";

/** Arguments of one tour, for the page. */
const visit = ({ bus: { url, token } }: World, name: string) => ({ url, token, name });

const statesOf = (page: Page) => page.evaluate(() => [...(globalThis as PageGlobals).arqon.states]);
const receivedBy = (page: Page) =>
  page.evaluate(() => [...(globalThis as PageGlobals).arqon.received]);
const publish = (page: Page, text: string) =>
  page.evaluate((text) => (globalThis as PageGlobals).arqon.publish(text), text);

/** A page whose connection goes through a proxy; the argument limits its first reconnect delay. */
async function openThrough(
  page: Page,
  { bus }: World,
  port: number,
  backoff_ms: number,
): Promise<void> {
  const url = new URL(bus.url);
  url.port = String(port);
  await page.evaluate(
    ({ url, token, backoff }) => (globalThis as PageGlobals).arqon.open(url, token, { backoff }),
    {
      url: url.href,
      token: bus.token,
      backoff: { base_ms: backoff_ms, max_ms: backoff_ms },
    },
  );
}

async function tourInPage(world: World): Promise<void> {
  await using opened = await openProgram(world);
  const { page } = opened;
  const seen = await page.evaluate(
    ({ url, token, name }) => (globalThis as PageGlobals).arqon.tour(url, token, name),
    visit(world, "chromium"),
  );
  assertTour(seen, "chromium");
  const inWorker = await page.evaluate(
    ({ url, token, name }) => (globalThis as PageGlobals).arqon.inWorker(url, token, name),
    visit(world, "chromium-worker"),
  );
  assertTour(inWorker, "chromium-worker");
  const inService = await page.evaluate<unknown>(`(async () => {
    const { serviceWorker } = navigator;
    await serviceWorker.register("/service.js", { type: "module" });
    const { active } = await serviceWorker.ready;
    const answer = new Promise((resolve) => serviceWorker.onmessage = resolve);
    active.postMessage(${JSON.stringify(visit(world, "chromium-service"))});
    const { data } = await answer;
    return data.seen ?? data.error;
  })()`);
  assertTour(inService, "chromium-service");
}

async function unbundled(world: World): Promise<void> {
  await using opened = await openUnbundled(world);
  const { page } = opened;
  await page.waitForFunction("globalThis.connect !== undefined");
  const { url, token } = world.bus;
  const received = await page.evaluate<unknown>(`(async () => {
    const bus = await connect(${JSON.stringify({ url, token })});
    const loop = bus.room("unbundled").subscribe();
    await loop.ready;
    await bus.room("unbundled").publish("text", "hello");
    const { value } = await loop.next();
    await bus.close();
    return value.text();
  })()`);
  assert.equal(received, "hello");
}

/** The page's own `fetch`, streams and same-origin rules, without WebSocket. */
async function withoutWebSocket(world: World): Promise<void> {
  await using opened = await openProgram(world);
  const { page } = opened;
  const { url, token } = world.bus;
  await page.evaluate("delete globalThis.WebSocket");
  await page.evaluate(
    ({ url, token }) => (globalThis as PageGlobals).arqon.open(url, token, { transport: "auto" }),
    { url, token },
  );
  await publish(page, "by HTTP");
  await until("its own message", async () => (await receivedBy(page)).includes("by HTTP"));
  assert.equal(await page.evaluate("typeof WebSocket"), "undefined");
}

/** The code for HTTP is a separate request: it may fail, or hang, although the page was loaded. */
async function codeForHttpIsAway(world: World): Promise<void> {
  await using opened = await openUnbundled(world);
  const { page } = opened;
  await page.waitForFunction("globalThis.connect !== undefined");
  const { url, token } = world.bus;
  const connect = (more: string) =>
    page.evaluate<unknown>(`(async () => {
      const options = { ...${JSON.stringify({ url, token, transport: "http" })}, ${more} };
      try {
        await (await connect(options)).close();
      } catch (error) {
        return error.reason + " " + error;
      }
      return "connected";
    })()`);
  const code = "**/http/fallback_socket.js";
  await page.route(code, (route) => route.abort());
  assert.match(`${await connect("")}`, /^unreachable ArqonError: .*\/http\/fallback_socket\.js/);
  await page.unroute(code);
  const asked = Promise.withResolvers<void>();
  const going_on = Promise.withResolvers<void>();
  await page.route(code, async (route) => {
    asked.resolve();
    await going_on.promise;
    await route.continue();
  });
  const left = connect("signal: (globalThis.leaving = new AbortController()).signal");
  await asked.promise;
  await page.evaluate("leaving.abort('left')");
  assert.equal(await left, "undefined left");
  going_on.resolve();
  assert.equal(await connect(""), "connected");
}

async function killedConnection(world: World): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(world.bus.url).port));
  await using opened = await openProgram(world);
  const { page } = opened;
  await openThrough(page, world, proxy.port, 100);
  await publish(page, "before");
  await until("the first message", async () => (await receivedBy(page)).includes("before"));
  await proxy.cut();
  await until("it has noticed", async () => (await statesOf(page)).includes("waiting"));
  // Published without a connection: it is sent through the next one.
  const published = publish(page, "after");
  proxy.restore();
  await published;
  await until("the second message", async () => (await receivedBy(page)).includes("after"));
  assert.deepEqual(await receivedBy(page), ["before", "GAP", "after"]);
}

/** Without the browser's `online` event the page would wait for most of a day. */
async function networkBack(world: World): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(world.bus.url).port));
  await using opened = await openProgram(world);
  const { page } = opened;
  await openThrough(page, world, proxy.port, 86_400_000);
  await proxy.cut();
  await until("it has noticed", async () => (await statesOf(page)).at(-1) === "waiting");
  await page.context().setOffline(true);
  proxy.restore();
  await page.context().setOffline(false);
  await until("it is open again", async () => (await statesOf(page)).at(-1) === "open");
}

/**
 * The server is silent, as after a computer's sleep; the heartbeat would notice only after more than a minute. Headless
 * Chromium never hides a page, so the test sets the property.
 */
async function lookedAtAgain(world: World): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(world.bus.url).port));
  await using opened = await openProgram(world);
  const { page } = opened;
  await openThrough(page, world, proxy.port, 100);
  proxy.holdAnswers();
  for (const state of ["hidden", "visible"]) {
    await page.evaluate(`
      Object.defineProperty(document, "visibilityState", { configurable: true, value: "${state}" });
      document.dispatchEvent(new Event("visibilitychange"));
    `);
  }
  await until("it has given up", async () => (await statesOf(page)).includes("waiting"));
  await proxy.cut();
  proxy.restore();
  await until("it is open again", async () => (await statesOf(page)).at(-1) === "open");
}

async function chatPage(world: World): Promise<void> {
  await using server = await startExample("browser");
  await using ann = await openUrl(world, server.url);
  await using bob = await openUrl(world, server.url);
  for (const [{ page }, nick] of [[ann, "ann"], [bob, "bob"]] as const) {
    await page.fill("[name=url]", world.bus.url);
    await page.fill("[name=token]", await world.bus.tokenFor({ user: nick }));
    await page.fill("[name=nick]", nick);
    await page.click("#join button");
  }
  const { page } = bob;
  await page.getByText("here: ann, bob").waitFor();
  await page.getByText("open", { exact: true }).waitFor();
  await page.fill("[name=text]", "<b>hello</b>");
  await page.click("#say button");
  await ann.page.getByText("bob (bob): <b>hello</b>").waitFor();
  // A later reader finds what was published.
  await ann.page.reload();
  await ann.page.fill("[name=url]", world.bus.url);
  await ann.page.fill("[name=token]", world.bus.token);
  await ann.page.fill("[name=nick]", "eve");
  await ann.page.click("#join button");
  await ann.page.getByText("bob (bob): <b>hello</b>").waitFor();
  await page.getByText("here: bob, eve").waitFor();
}

/** All browser scenarios; the example is the last one. */
export const BROWSER_SCENARIOS: readonly Scenario[] = [
  {
    name: "the tour in a page of Chromium, in its web worker and its service worker",
    run: tourInPage,
  },
  { name: "a page loads the modules one by one, with an import map", run: unbundled },
  {
    name: "a page publishes and hears again after its connection was killed",
    run: killedConnection,
  },
  { name: "a page without WebSocket goes by HTTP", run: withoutWebSocket },
  {
    name: "a page whose code for HTTP does not load is told so, and may ask again",
    run: codeForHttpIsAway,
  },
  { name: "a page connects at once when its network is back", run: networkBack },
  { name: "a page that is looked at again finds out that its server is gone", run: lookedAtAgain },
  { name: "the example page: two people, and one who comes later", run: chatPage },
];
