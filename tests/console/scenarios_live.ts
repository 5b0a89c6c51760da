/** Scenarios of live data: the overview, lists, disconnecting, tails, and text written by users. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { until } from "../../shared/testing/until.ts";
import { client, columnTexts, openConsole, type Scenario, type World } from "./world.ts";

/** Runs a script if it is interpreted as markup. */
const HOSTILE = `<img src=x onerror="globalThis.hacked=1"><script>hacked=2</script>`;

async function dial(world: World, tenant: string, user: string) {
  return await connect({ url: world.bus.url, token: await world.bus.tokenFor({ tenant, user }) });
}

const overview: Scenario = {
  name: "the overview shows the node and numbers that follow the traffic",
  async run(world) {
    await using console = await openConsole(world);
    const { page } = console;
    const figure = (title: string) =>
      page.getByRole("region", { name: title }).locator(".figure").innerText();
    await page.locator("main tbody tr").first().waitFor();
    await page.locator("main tbody .badge.ok").first().waitFor();
    const before = await figure("Connections");
    await using alice = await dial(world, "moving", "alice");
    const more = String(Number(before) + 1);
    await until("one more connection", async () => await figure("Connections") === more);

    const room = alice.room("pulse");
    await roomState(room).set("topic", "rooms that live");
    const note = page.getByRole("region", { name: "Connections" }).locator(".figure-note");
    await until("its room lives", async () => /, [1-9]\d* rooms?$/.test(await note.innerText()));
    let is_over = false;
    const talk = (async () => {
      while (!is_over) await room.publish("tick", { at: 1 });
    })();
    const moving = /^[1-9][\d.,]*( k)?\/s$/;
    await until("messages flow", async () => moving.test(await figure("Messages per second")));
    is_over = true;
    await talk;
    await until("messages ebb", async () => await figure("Messages per second") === "0/s");
    const label = await page.locator(".plot").nth(1).getAttribute("aria-label") ?? "";
    assert.match(label, /^Messages per second, last 5 minutes\. Now: out .*, in /);

    await page.getByRole("button", { name: "Pause" }).click();
    let reads = 0;
    page.on("request", (request) => reads += Number(request.url().endsWith("/v1/cluster")));
    await page.getByRole("button", { name: "Resume" }).click();
    await until("it reads again", () => Promise.resolve(reads > 1));
  },
};

const oneProcess: Scenario = {
  name: "Shield and Brain of one process: its memory stands there once, and so does the sum",
  async run(world) {
    await using console = await openConsole(world);
    const { page } = console;
    const card = page.getByRole("region", { name: "Resident memory, by process" });
    const figure = () => card.locator(".figure").innerText();
    await until("a sum", async () => /\d/.test(await figure()));
    assert.equal(await card.locator(".figure-note").innerText(), "1 process");
    const rows = page.locator("main tbody tr");
    await until("both nodes", async () => await rows.count() === 2);
    const brain = rows.filter({ hasText: "Brain" });
    assert.equal(await brain.getByText("shared", { exact: true }).count(), 3);
    const shield = rows.filter({ hasNotText: "Brain" });
    await until("the row has the sum", async () => {
      return (await shield.innerText()).includes(await figure());
    });
    await brain.getByRole("link").click();
    await page.getByText("Shared with").waitFor();
  },
};

const sortsAndFilters: Scenario = {
  name: "connections are filtered by the server and found and sorted here",
  async run(world) {
    using _ann = await client(world, { tenant: "list-a", user: "ann" });
    using _bob = await client(world, { tenant: "list-a", user: "bob" });
    using _cid = await client(world, { tenant: "list-b", user: "cid" });
    await using console = await openConsole(world, { at: "#/connections" });
    const { page } = console;
    await page.getByLabel("Tenant").fill("list-a");
    await page.keyboard.press("Enter");
    await until("two rows", async () => (await columnTexts(page, 3)).length === 2);
    assert.match(page.url(), /#\/connections\?tenant=list-a$/);
    const head = page.getByRole("columnheader", { name: "User" });
    await head.getByRole("button").click();
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
    assert.deepEqual(await columnTexts(page, 3), ["ann", "bob"]);
    await head.getByRole("button").click();
    assert.equal(await head.getAttribute("aria-sort"), "descending");
    assert.deepEqual(await columnTexts(page, 3), ["bob", "ann"]);
    await page.getByLabel("Find in these rows").fill("ANN");
    await page.keyboard.press("Enter");
    await until("one row", async () => (await columnTexts(page, 3)).join() === "ann");
    await page.reload();
    await until("the filter stays", async () => (await columnTexts(page, 3)).join() === "ann");
    await page.getByLabel("Find in these rows").fill("nobody");
    await page.keyboard.press("Enter");
    await page.getByText("No connections match. Empty the filters").waitFor();
  },
};

const disconnects: Scenario = {
  name: "disconnecting asks first and then really closes the client's socket",
  async run(world) {
    using mallory = await client(world, { tenant: "cut", user: "mallory" });
    await using console = await openConsole(world, { at: "#/connections?tenant=cut" });
    const { page } = console;
    await page.locator("main tbody a").click();
    await page.getByText("mallory").waitFor();
    await page.getByRole("button", { name: "Disconnect…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(mallory.socket.readyState, WebSocket.OPEN, "Cancel has closed it");
    await page.getByRole("button", { name: "Disconnect…" }).click();
    await dialog.getByRole("button", { name: "Disconnect" }).click();
    const { code } = await mallory.closed();
    assert.notEqual(code, 1006, "the connection broke instead of being closed");
    await page.getByRole("status").filter({ hasText: "was disconnected" }).waitFor();
    await page.getByText("No connections match").or(page.getByText("connections. Read")).first()
      .waitFor();
  },
};

const tails: Scenario = {
  name: "a tail shows what is published, pauses and goes on",
  async run(world) {
    await using alice = await dial(world, "tail", "alice");
    const room = alice.room("news");
    const messages = room.subscribe();
    await messages.ready;
    await using console = await openConsole(world, { at: "#/rooms/tail/news" });
    const { page } = console;
    await page.getByRole("button", { name: "Start tail" }).click();
    await page.getByText("Live.").waitFor();
    const rows = page.locator(".tail li");
    await room.publish("headline", { text: "first" });
    await rows.filter({ hasText: "first" }).filter({ hasText: "headline" }).waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await room.publish("headline", { text: "second" });
    const before = await rows.count();
    await room.publish("headline", { text: "third" });
    assert.equal(await rows.count(), before, "it went on while paused");
    await page.getByRole("button", { name: "Continue" }).click();
    await rows.filter({ hasText: "third" }).waitFor();
    assert.deepEqual(
      (await rows.locator("summary .mono").allInnerTexts()).map((text) => JSON.parse(text).text),
      ["third", "second", "first"],
    );
    await rows.first().locator("summary").click();
    await rows.first().locator("pre").filter({ hasText: "size_bytes" }).waitFor();
    const many = Array.from({ length: 600 }, (_, at) => room.publish("flood", { at }));
    await Promise.all(many);
    await rows.first().filter({ hasText: '{"at":599}' }).waitFor();
    assert.equal(await rows.count(), 500);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped.").waitFor();
  },
};

const markup: Scenario = {
  name: "HTML in a user id, in metadata and in a payload is shown as text and runs nothing",
  async run(world) {
    await using eve = await dial(world, "markup", HOSTILE);
    const room = eve.room("den");
    const there = room.subscribe({ presence: true, member_meta: { name: HOSTILE } });
    await there.ready;
    await using console = await openConsole(world, {
      at: "#/connections?tenant=markup",
      // The last address has an invalid room.
      expected: /status of 400/,
    });
    const { page } = console;
    await page.getByRole("cell", { name: HOSTILE }).waitFor();
    await page.locator("main tbody a").click();
    await page.getByText(HOSTILE).first().waitFor();
    await page.getByRole("link", { name: "den" }).click();
    await page.locator("main tbody").getByText("onerror").first().waitFor();
    await page.getByRole("button", { name: "Start tail" }).click();
    await page.getByText("Live.").waitFor();
    await room.publish("say", { text: HOSTILE });
    await room.publish("say", HOSTILE);
    const rows = page.locator(".tail li");
    await rows.nth(1).waitFor();
    await rows.first().locator("summary").click();
    await rows.first().locator("pre").filter({ hasText: "onerror" }).waitFor();
    await page.goto(`${world.bus.admin_url}/console/#/rooms/markup/${encodeURIComponent(HOSTILE)}`);
    await page.getByRole("heading", { name: HOSTILE }).waitFor();
    assert.equal(await page.evaluate("typeof globalThis.hacked"), "undefined", "a script ran");
    assert.equal(await page.locator("main img, main script").count(), 0, "it became markup");
  },
};

const pages: Scenario = {
  name: "a long list shows fifty rows at a time",
  async run(world) {
    const token = await world.bus.tokenFor({ tenant: "many", user: "crowd" });
    const made = Array.from({ length: 4 }, () => connect({ url: world.bus.url, token }));
    await using stack = new AsyncDisposableStack();
    for (const one of await Promise.all(made)) {
      stack.use(one);
      const rooms = Array.from({ length: 30 }, (_, at) => one.room(`r-${at}-${made.length}`));
      await Promise.all(rooms.map((room) => room.subscribe().ready));
    }
    const [first] = await Promise.all(made);
    const rooms = Array.from({ length: 90 }, (_, at) => first!.room(`s-${at}`).subscribe().ready);
    await Promise.all(rooms);
    await using console = await openConsole(world, { at: "#/rooms?tenant=many" });
    const { page } = console;
    const range = page.locator(".range");
    await range.filter({ hasText: "1–50 of 120" }).waitFor();
    assert.equal(await page.locator("main tbody tr").count(), 50);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByRole("button", { name: "Next" }).click();
    await range.filter({ hasText: "101–120 of 120" }).waitFor();
    assert.equal(await page.locator("main tbody tr").count(), 20);
  },
};

/** In the order in which they run. */
export const LIVE_SCENARIOS: readonly Scenario[] = [
  overview,
  oneProcess,
  sortsAndFilters,
  disconnects,
  tails,
  markup,
  pages,
];
