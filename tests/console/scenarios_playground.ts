/** Scenarios of the playground: a delivered message and one that a policy refuses, side by side. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { until } from "../../shared/testing/until.ts";
import { enforce } from "../peers/policy_admin.ts";
import { openConsole, type Scenario } from "./world.ts";

const TENANT = "playing";
const HOSTILE = `<img src=x onerror="globalThis.hacked=1">`;

const plays: Scenario = {
  name: "the playground shows sent and received messages, the members and a policy's refusals",
  async run(world) {
    await enforce(world.bus, "bad_words", { tenant: TENANT, name: "words" });
    const of = (user: string, role: "user" | "admin") =>
      world.bus.tokenFor({ tenant: TENANT, user, role });
    await using ann = await connect({ url: world.bus.url, token: await of("ann", "user") });
    const received: string[] = [];
    const listening = ann.room("hall").listen((message) => void received.push(message.text()), {
      presence: true,
      member_meta: { mood: HOSTILE },
    });
    await listening.ready;
    // An admin of the one tenant: no operator is needed.
    const token = await of("root", "admin");
    await using console = await openConsole(world, { at: "#/playground", token, expected: /403/ });
    const { page } = console;
    await page.getByText("Name a room.").waitFor();
    await page.getByRole("searchbox", { name: "Tenant" }).fill(TENANT);
    await page.getByRole("searchbox", { name: "Room" }).fill("hall");
    await page.getByRole("searchbox", { name: "Room" }).press("Enter");
    const people = page.getByRole("region", { name: "Members" });
    await people.getByText("1 subscriber, 1 member.").waitFor();
    await people.getByText("onerror").waitFor();
    const tail = page.getByRole("region", { name: "Live tail" });
    await tail.getByRole("button", { name: "Start tail" }).click();
    await tail.getByText("Live.").waitFor();
    const publish = page.getByRole("region", { name: "Publish a test message" });
    const say = async (text: string) => {
      await publish.getByLabel("Data").fill(JSON.stringify({ text }));
      await publish.getByRole("button", { name: "Publish" }).click();
    };
    const verdicts = page.getByRole("region", { name: "Verdicts" }).locator("tbody tr");
    await say("hello");
    await tail.getByText("hello").first().waitFor();
    await until("ann receives it", () => received.length === 1);
    await verdicts.filter({ hasText: "words allows" }).waitFor();
    await say("malware");
    await publish.getByRole("alert").getByText("Message blocked by policy").waitFor();
    const refused = verdicts.filter({ hasText: "words refuses" });
    await refused.filter({ hasText: "403" }).filter({ hasText: "root" }).waitFor();
    await refused.getByRole("button", { name: /^Open/ }).click();
    await page.getByRole("region", { name: /^Decision / }).getByText("policy-rejected").first()
      .waitFor();
    assert.equal(received.length, 1, "a refused message was delivered");
    listening.close();
    await people.getByText("0 members.").waitFor();
    assert.equal(await page.evaluate("typeof globalThis.hacked"), "undefined", "a script ran");
    // The address can be opened again.
    await page.reload();
    await verdicts.filter({ hasText: "words refuses" }).waitFor();
    await page.getByRole("searchbox", { name: "Room" }).fill("elsewhere");
    await page.getByRole("searchbox", { name: "Room" }).press("Enter");
    await page.getByText("Nothing was recorded.").waitFor();
  },
};

/** In the order in which they run. */
export const PLAYGROUND_SCENARIOS: readonly Scenario[] = [plays];
