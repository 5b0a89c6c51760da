/** Scenarios of one room and of bans: stored messages, state and lock, kicks, bans, a message of the admin. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { words } from "../../examples/capability/words.ts";
import { until } from "../../shared/testing/until.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { asking, startWith, TOKENS } from "../../shield/testing/lone_shield.ts";
import { ask, columnTexts, openConsole, type Scenario, type World } from "./world.ts";

/** Runs a script if it is interpreted as markup. */
const HOSTILE = `<img src=x onerror="globalThis.hacked=1"><script>hacked=2</script>`;

async function dial(world: World, tenant: string, user: string) {
  return await connect({ url: world.bus.url, token: await world.bus.tokenFor({ tenant, user }) });
}

const keeps: Scenario = {
  name: "a durable room shows what is stored, its history page by page, and everything as text",
  async run(world) {
    await using eve = await dial(world, "kept", "eve");
    const room = eve.room("kept-a");
    for (let n = 1; n <= 60; n++) await room.publish("count", { n, text: HOSTILE });
    await using console = await openConsole(world, { at: "#/rooms/kept/kept-a" });
    const { page } = console;
    const log = page.getByRole("region", { name: "Log", exact: true });
    await log.getByText("60 messages").waitFor();
    const { stored } = await ask(world, "/v1/rooms/kept/kept-a");
    const shown = await log.locator("dd").allInnerTexts();
    const offsets = [stored.first_offset, stored.last_offset].map(String);
    assert.deepEqual(shown, ["60 messages", ...offsets, stored.epoch]);
    const history = page.getByRole("region", { name: "History", exact: true });
    assert.equal(await history.locator("li").count(), 0, "nothing is read that nobody asked for");
    await history.getByRole("button", { name: "Read history" }).click();
    await history.getByText("The newest 50 messages.").waitFor();
    const numbers = async () =>
      (await history.locator("summary .mono").allInnerTexts()).map((text) => JSON.parse(text).n);
    const down = (from: number, to: number) =>
      Array.from({ length: from - to + 1 }, (_, at) => from - at);
    assert.deepEqual(await numbers(), down(60, 11));
    await history.getByRole("button", { name: "Older" }).click();
    await history.getByText("60 messages: all that the log has.").waitFor();
    assert.deepEqual(await numbers(), down(60, 1));
    assert.equal(await history.getByRole("button", { name: "Older" }).isVisible(), false);
    await history.locator("summary").first().click();
    await history.locator("pre").first().filter({ hasText: "onerror" }).waitFor();
    await room.publish("count", { n: 61, text: HOSTILE });
    await history.getByRole("button", { name: "Newest" }).click();
    await until("the newest is shown", async () => (await numbers())[0] === 61);
    assert.equal(await page.evaluate("typeof globalThis.hacked"), "undefined", "a script ran");
    assert.equal(await page.locator("main img, main script").count(), 0, "it became markup");
    await page.goto(`${world.bus.admin_url}/console/#/rooms/kept/plain`);
    await page.getByRole("region", { name: "Class" }).waitFor();
    assert.equal(await page.getByRole("region", { name: "Log", exact: true }).count(), 0);
    assert.equal(await page.getByRole("button", { name: "Read history" }).count(), 0);
  },
};

const states: Scenario = {
  name: "a room's keys, a value when it is asked for, and who holds the lock",
  async run(world) {
    await using ann = await dial(world, "stateful", "ann");
    const room = ann.room("desk");
    await room.subscribe().ready;
    const topic = await roomState(room).set("topic", { text: HOSTILE });
    const open = await roomState(room).set("open", true);
    const locked = await room.lock({ ttl_ms: 600_000 });
    await using console = await openConsole(world, { at: "#/rooms/stateful/desk" });
    const { page } = console;
    const state = page.getByRole("region", { name: "State", exact: true });
    await state.getByText(`Version ${locked.version}: 2 keys`).waitFor();
    assert.deepEqual(await state.locator("tbody td:nth-child(1)").allInnerTexts(), [
      "open",
      "topic",
    ]);
    assert.deepEqual(
      await state.locator("tbody td:nth-child(2)").allInnerTexts(),
      [open.version, topic.version].map(String),
    );
    assert.ok(!(await page.content()).includes("onerror"), "a value that nobody asked for");
    await state.getByRole("button", { name: "Show the value of topic" }).click();
    await state.locator("pre").filter({ hasText: "onerror" }).waitFor();
    assert.equal(await page.evaluate("typeof globalThis.hacked"), "undefined", "a script ran");
    const lock = page.getByRole("region", { name: "Lock" });
    await lock.getByText("ann", { exact: true }).waitFor();
    await lock.getByText(String(locked.fence), { exact: true }).waitFor();
    await room.unlock(locked.fence);
    await page.getByRole("button", { name: "Refresh" }).click();
    await lock.getByText("Nobody holds it.").waitFor();
  },
};

const moderates: Scenario = {
  name: "a member is kicked, then banned with a reason and a duration, listed, and let in again",
  async run(world) {
    await using bob = await dial(world, "mod", "bob");
    const kicked = bob.room("hall").subscribe({ presence: true });
    await kicked.ready;
    await using console = await openConsole(world, { at: "#/rooms/mod/hall" });
    const { page } = console;
    const dialog = page.getByRole("dialog");
    const members = page.getByRole("region", { name: "Members", exact: true });
    await members.getByRole("button", { name: /^Kick bob/ }).click();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal((await ask(world, "/v1/rooms/mod/hall")).member_count, 1, "Cancel has kicked");
    await members.getByRole("button", { name: /^Kick bob/ }).click();
    await dialog.getByLabel("Reason").fill("too loud");
    await dialog.getByRole("button", { name: "Kick" }).click();
    await page.getByRole("status").filter({ hasText: "bob was kicked" }).waitFor();
    await members.getByText("No member.").or(members.getByRole("button", { name: /^Ban bob/ }))
      .first().waitFor();

    await members.getByRole("button", { name: "Ban a user…" }).click();
    await dialog.getByLabel("User id").fill("bob");
    await dialog.getByRole("combobox", { name: "For" }).selectOption("1 hour");
    await dialog.getByLabel("Reason").fill(HOSTILE);
    await dialog.getByRole("button", { name: "Ban" }).click();
    await page.getByRole("status").filter({ hasText: "bob was banned" }).waitFor();
    await assert.rejects(bob.room("hall").publish("say", { text: "still here" }), {
      reason: "room-banned",
    });
    await page.getByRole("link", { name: "Its bans" }).click();
    await page.getByRole("heading", { name: "Bans", level: 1 }).waitFor();
    await until("the ban is listed", async () => {
      await page.getByRole("button", { name: "Refresh" }).click();
      return (await columnTexts(page, 1)).join() === "bob";
    });
    const { bans: [ban] } = await ask(world, "/v1/bans?tenant=mod");
    assert.equal(ban.until_ms - ban.created_ms, 3_600_000);
    assert.deepEqual([await columnTexts(page, 2), await columnTexts(page, 3)], [["mod"], ["hall"]]);
    assert.deepEqual(await columnTexts(page, 4), [HOSTILE]);
    assert.deepEqual(await columnTexts(page, 6), ["root"]);
    assert.equal(await page.evaluate("typeof globalThis.hacked"), "undefined", "a script ran");
    await page.getByRole("button", { name: "Lift the ban of bob from room hall" }).click();
    await dialog.getByRole("button", { name: "Lift" }).click();
    await page.getByText("No bans match.").waitFor();
    await until(
      "bob may speak",
      async () =>
        await bob.room("hall").publish("say", { text: "back" }).then(() => true, () => false),
    );
  },
};

const publishes: Scenario = {
  name: "a test message goes to the room in the admin's name, as JSON, text and bytes",
  async run(world) {
    await using ann = await dial(world, "said", "ann");
    const subscription = ann.room("kept-b").subscribe();
    await subscription.ready;
    const messages = subscription[Symbol.asyncIterator]();
    await using console = await openConsole(world, {
      at: "#/rooms/said/kept-b",
      // Refusals also appear in the browser's console.
      expected: /status of 400/,
    });
    const { page } = console;
    const form = page.getByRole("region", { name: "Publish a test message" });
    await form.getByText("from root").waitFor();
    const publish = async (type: string, content_type: string, data: string) => {
      await form.getByLabel("Type", { exact: true }).fill(type);
      await form.getByLabel("Content type").fill(content_type);
      await form.getByLabel("Data").fill(data);
      await form.getByRole("button", { name: "Publish" }).click();
    };
    await publish("greeting", "application/json", '{"big":12345678901234567890}');
    const first = (await messages.next()).value!;
    assert.deepEqual([first.type, first.sender], ["greeting", "root"]);
    const text = new TextDecoder().decode(first.data);
    assert.equal(text, '{"big":12345678901234567890}', "what was typed is what is sent");
    assert.equal(first.headers["x-arqon-admin"], "default");
    await page.getByRole("status").filter({ hasText: /published with offset/ }).waitFor();
    await publish("note", "text/plain", HOSTILE);
    assert.equal(new TextDecoder().decode((await messages.next()).value!.data), HOSTILE);
    await publish("blob", "application/octet-stream", "AAEC");
    assert.deepEqual([...(await messages.next()).value!.data], [0, 1, 2]);
    await publish("bad", "application/json", "{");
    await form.getByRole("alert").filter({ hasText: "The data is not JSON" }).waitFor();
    await publish("ROOM_UPDATE", "application/octet-stream", "no base64!");
    await form.getByRole("alert").filter({ hasText: /base64/i }).waitFor();
    const log = page.getByRole("region", { name: "Log", exact: true });
    await log.getByText("3 messages").waitFor();
  },
};

const stored: Scenario = {
  name: "rooms with stored messages are listed though nobody is subscribed to them",
  async run(world) {
    {
      await using eve = await dial(world, "shelf", "eve");
      for (const room of ["kept-b", "kept-a", "plain"]) await eve.room(room).publish("count", 1);
    }
    await using ann = await dial(world, "shelf", "ann");
    await ann.room("kept-b").subscribe().ready;
    await using console = await openConsole(world, { at: "#/rooms?tenant=shelf" });
    const { page } = console;
    await page.getByRole("link", { name: "kept-b" }).waitFor();
    assert.deepEqual(await columnTexts(page, 1), ["kept-b"]);
    await page.getByRole("combobox", { name: "Rooms" }).selectOption("stored");
    await page.getByRole("link", { name: "kept-a" }).waitFor();
    assert.deepEqual(await columnTexts(page, 1), ["kept-b", "kept-a"]);
    assert.deepEqual(await columnTexts(page, 4), ["1", "0"], "subscribers");
  },
};

/** In the order in which they run. */
const outside: Scenario = {
  name: "a room has the card of a capability that stands outside the Shield",
  async run(world) {
    const { shield, spine, ...started } = await startWith([...SHIELD_CAPABILITIES, words(2)]);
    const ask = asking({ shield, spine, ...started });
    const body = JSON.stringify({ type: "chat", data: "three words here" });
    const sent = await ask("client", "/v1/rooms/c/messages", { method: "POST", body });
    assert.equal(sent.status, 200, await sent.text());
    const served = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, shield.admin);
    const bus = { ...world.bus, admin_url: `http://127.0.0.1:${served.addr.port}` };
    {
      const [, token = ""] = TOKENS;
      await using console = await openConsole({ ...world, bus }, { at: "#/rooms/acme/c", token });
      const card = console.page.getByRole("region", { name: "Words" });
      await card.locator("dd").getByText("3", { exact: true }).waitFor();
      assert.deepEqual(await card.locator("dt").allInnerTexts(), ["words"]);
    }
    await served.shutdown();
    await shield.drain();
    await spine.drain();
  },
};

/** In order. */
export const ROOM_SCENARIOS: readonly Scenario[] = [
  ...[keeps, stored, states, moderates, publishes],
  outside,
];
