/** Scenarios that change the bus: log levels, revoking, draining. The last one ends the bus. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { ask, client, openConsole, type Scenario } from "./world.ts";

const logLevel: Scenario = {
  name: "a log level is set for a component and is in force",
  async run(world) {
    await using console = await openConsole(world, { at: "#/log" });
    const { page } = console;
    const rows = page.locator("main tbody tr");
    await rows.first().waitFor();
    const row = rows.filter({ hasText: "overseer" });
    await page.getByRole("textbox", { name: "Component" }).fill("overseer");
    await page.getByRole("combobox", { name: "Level" }).selectOption("debug");
    await page.getByRole("button", { name: "Set level" }).click();
    await page.getByRole("status").filter({ hasText: "The level was set" }).waitFor();
    await row.filter({ hasText: "debug" }).first().waitFor();
    assert.match(JSON.stringify(await ask(world, "/v1/log")), /"overseer":"debug"/);
    await page.getByRole("combobox", { name: "Level" }).selectOption("as configured");
    await page.getByRole("button", { name: "Set level" }).click();
    await until("the level is removed", async () => {
      return !/"overseer":"debug"/.test(JSON.stringify(await ask(world, "/v1/log")));
    });
  },
};

const audits: Scenario = {
  name: "the audit log shows what was done, and what is looked for in it",
  async run(world) {
    await ask(world, "/v1/rooms/acme/lobby/kick", { user_id: "nobody", reason: "out <b>bold</b>" });
    await using console = await openConsole(world, { at: "#/audit" });
    const { page } = console;
    const row = page.locator("main tbody tr").filter({ hasText: "room.kick" });
    await row.first().filter({ hasText: "reason=out <b>bold</b>" }).waitFor();
    await row.first().filter({ hasText: "acme" }).waitFor();
    await page.getByRole("searchbox", { name: "Action" }).fill("revocation");
    await page.getByRole("searchbox", { name: "Action" }).press("Enter");
    await row.first().waitFor({ state: "detached" });
  },
};

/** Decisions before the ones that are searched for. */
const EARLIER = 1_200;

const journal: Scenario = {
  name: "the journal shows decisions, and one opens with what it was made from",
  async run(world) {
    {
      using ann = await client(world, { tenant: "diary", user: "ann<b>" });
      // More than the page shows: the latest are there all the same.
      using bot = await client(world, { tenant: "diary", user: "bot", role: "service" });
      for (let id = 1; id <= EARLIER; id++) {
        bot.send({ op: "pub", room: "noise", type: "chat", data: { text: "x" }, id });
        if (id % 100 === 0) { for (let answers = 0; answers < 100; answers++) await bot.json(); }
      }
      ann.send({ op: "pub", room: "noted", type: "chat", data: { text: "<i>hi</i>" }, id: 1 });
      ann.send({ op: "pub", room: "no.room", type: "chat", data: {}, id: 2 });
      for (let answers = 0; answers < 2; answers++) await ann.json();
    }
    await until("the decisions are stored", async () => {
      const { blocks } = await ask(world, "/v1/journal/status?tenant=diary");
      return blocks > 0;
    });
    await using console = await openConsole(world, { at: "#/journal?tenant=diary" });
    const { page } = console;
    await page.getByText("the newest 1,000 are shown").waitFor();
    const row = page.locator("main tbody tr");
    const noted = row.filter({ hasText: "noted" });
    await noted.filter({ hasText: "ann<b>" }).filter({ hasText: "allowed" }).waitFor();
    await noted.getByRole("button", { name: /^Open/ }).click();
    const opened = page.getByRole("region", { name: /^Decision/ });
    await opened.getByText('"remote_ip": "127.0.0.1"').waitFor();
    await opened.getByRole("link", { name: "Life of this message" }).waitFor();
    await page.getByRole("combobox", { name: "Outcome" }).selectOption("refused");
    await noted.waitFor({ state: "detached" });
    await row.filter({ hasText: "400 invalid-room" }).waitFor();
  },
};

const life: Scenario = {
  name: "the life of a message is shown: its admission, its receivers, and its outcome for a user",
  async run(world) {
    using ann = await client(world, { tenant: "life", user: "ann" });
    using bob = await client(world, { tenant: "life", user: "bob<b>" });
    bob.send({ op: "sub", room: "hall", id: 1 });
    await bob.json();
    const event = { room: "hall", type: "chat", data: { text: "hi" } };
    ann.send({ op: "pub", ...event, message_id: "m<i>1", id: 1 });
    await ann.json();
    const query = new URLSearchParams({ tenant: "life", message_id: "m<i>1" });
    await until(
      "the decision is stored",
      async () => (await ask(world, `/v1/why?${query}`)).way_in.decisions.length > 0,
    );
    await using console = await openConsole(world, { at: "#/journal?tenant=life" });
    const { page } = console;
    const row = page.locator("main tbody tr").filter({ hasText: "chat" });
    await row.getByRole("button", { name: /^Open/ }).click();
    await page.getByRole("link", { name: "Life of this message" }).click();
    const way_in = page.getByRole("region", { name: "Admission", exact: true });
    await way_in.getByRole("row", { name: /^token passed issuer/ }).waitFor();
    await way_in.getByRole("row", { name: /^room class passed the default class/ }).waitFor();
    await page.getByRole("region", { name: "Received", exact: true }).getByText("m<i>1").waitFor();
    await page.getByRole("searchbox", { name: "User" }).fill("bob<b>");
    await page.keyboard.press("Enter");
    await page.getByText(/^sent .*\(MSG\)$/).waitFor();
    await page.getByRole("searchbox", { name: "User" }).fill("ann");
    await page.keyboard.press("Enter");
    await page.getByText("not subscribed: never").waitFor();
    await page.getByRole("searchbox", { name: "User" }).fill("bob<b>");
    await page.getByRole("searchbox", { name: "Message id" }).fill("");
    await page.keyboard.press("Enter");
    await page.getByText("All due messages were sent to it.").waitFor();
    await page.getByRole("searchbox", { name: "Trace" }).fill("0".repeat(32));
    await page.getByRole("searchbox", { name: "Message id" }).fill("x");
    await page.keyboard.press("Enter");
    await page.getByText("Name the message by one of its ids.").waitFor();
    // From bob's connection: its refusals, and the messages of a room that it should have received.
    await page.goto(`${world.bus.admin_url}/console/#/connections?tenant=life`);
    await page.locator("main tbody tr").filter({ hasText: "bob<b>" }).locator("a").first().click();
    await page.getByRole("link", { name: "refused operations" }).waitFor();
    await page.getByRole("link", { name: "delivered messages" }).click();
    await page.getByText("All due messages were sent to it.").waitFor();
  },
};

const revokes: Scenario = {
  name: "a user is revoked, which closes the connection, and the revocation is lifted",
  async run(world) {
    using mallory = await client(world, { tenant: "out", user: "mallory" });
    await using console = await openConsole(world, { at: "#/revocations" });
    const { page } = console;
    const form = page.getByRole("region", { name: "Revoke tokens" });
    await form.getByRole("textbox", { name: "Tenant" }).fill("out");
    await form.getByRole("textbox", { name: "User id" }).fill("mallory");
    await form.getByRole("textbox", { name: "Reason" }).fill("left the company");
    await form.getByRole("button", { name: "Revoke…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Every token of user mallory in tenant out").waitFor();
    await dialog.getByRole("button", { name: "Revoke" }).click();
    await mallory.closed();
    const row = page.locator("main tbody tr").filter({ hasText: "left the company" });
    await row.waitFor();
    await row.getByRole("button", { name: /^Lift/ }).click();
    await dialog.getByRole("button", { name: "Lift" }).click();
    await row.waitFor({ state: "detached" });
    using _back = await client(world, { tenant: "out", user: "mallory" });
  },
};

const drains: Scenario = {
  name: "draining a node asks for its name and then ends it",
  async run(world) {
    await using console = await openConsole(world, {
      at: "#/nodes",
      expected: /Failed to load resource/,
    });
    const { page } = console;
    const shield = page.locator("main tbody tr").filter({ hasText: "Shield" }).first();
    const node_id = await shield.locator("a").innerText();
    await shield.getByRole("button", { name: "Drain" }).click();
    const dialog = page.getByRole("dialog");
    const yes = dialog.getByRole("button", { name: "Drain node" });
    assert.equal(await yes.isDisabled(), true);
    await dialog.getByRole("textbox").fill(node_id.slice(0, -1));
    assert.equal(await yes.isDisabled(), true, "another name is enough");
    await dialog.getByRole("textbox").fill(node_id);
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "detached" });
    await page.getByText(/draining|no answer/).first().waitFor();
    await until("the Shield has ended", async () => {
      const answer = await fetch(`${world.bus.admin_url}/v1/openapi.json`).catch(() => undefined);
      await answer?.body?.cancel();
      return answer === undefined;
    });
  },
};

/** In the order in which they run. */
export const OPERATE_SCENARIOS: readonly Scenario[] = [
  logLevel,
  audits,
  journal,
  life,
  revokes,
  drains,
];
