/** Scenarios of one policy's page: its decisions over time, one of them in full, and flips of another module. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { until } from "../../shared/testing/until.ts";
import { runArq } from "../../arq/testing/run_arq.ts";
import { enforce } from "../peers/policy_admin.ts";
import { ask, client, openConsole, type Scenario, type World } from "./world.ts";

/** Folder of the built example policies. */
export const BUILT: string = new URL("../../policies/build/", import.meta.url).pathname;
const TENANT = "judged";
const TEXTS = ["hello", "malware", "good evening"];

/** A tenant whose policy has decided about three messages, which are in the journal. */
export async function decided(world: World, tenant: string): Promise<void> {
  await enforce(world.bus, "bad_words", { tenant, name: "words" });
  using ann = await client(world, { tenant, user: "ann" });
  for (const [at, text] of TEXTS.entries()) {
    ann.send({ op: "pub", room: "lobby", type: "chat", data: { text }, id: at + 1 });
    await ann.json();
  }
  await until("the decisions are stored", async () => {
    const path = `/v1/journal?tenant=${tenant}&policy=words`;
    const token = { authorization: `Bearer ${world.admin}` };
    const answer = await fetch(`${world.bus.admin_url}${path}`, { headers: token });
    return (await answer.text()).trimEnd().split("\n").length > TEXTS.length;
  });
}

/** The result of a replay with a module that allows these words. */
async function resultFile(world: World): Promise<string> {
  const { bus, admin } = world;
  const asked = ["--tenant", TENANT, "--policy", "words", "--since", "60m", "--json"];
  const at = ["--url", bus.url, "--admin-url", bus.admin_url, "--token", admin];
  const module = `${BUILT}content_size.wasm`;
  const { stdout, stderr } = await runArq(["policy", "replay", module, ...asked, ...at]);
  assert.notEqual(stdout, "", stderr);
  const file = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(file, stdout);
  return file;
}

const decisions: Scenario = {
  name: "a policy's page counts its decisions, opens one, and shows the flips of another module",
  async run(world) {
    await decided(world, TENANT);
    await using console = await openConsole(world, { at: `#/policies/${TENANT}` });
    const { page } = console;
    await page.getByRole("link", { name: "words", exact: true }).click();
    await page.getByText("2 allowed, 1 refused, 0 faults.").waitFor();
    const chart = page.getByRole("region", { name: "Decisions over time" });
    assert.equal(await chart.locator(".figure").textContent(), "3");
    assert.match(await chart.locator(".line.s1").getAttribute("d") ?? "", /^M/);
    const made = page.getByRole("region", { name: "Newest decisions" }).locator("tbody tr");
    await made.filter({ hasText: "403" }).getByRole("button", { name: /^Open/ }).click();
    const opened = page.getByRole("region", { name: /^Decision \S+\.\d+/ });
    await opened.getByText('"has_read_payload": true').waitFor();
    const card = page.getByRole("region", { name: "Result of arq policy replay" });
    const command = await card.locator("pre").textContent();
    assert.match(
      command ?? "",
      /^arq policy replay NEW\.wasm --tenant judged --policy words --since 60m/,
    );
    const file = await resultFile(world);
    const input = card.getByLabel("Result of the replay");
    await input.setInputFiles(file);
    const flip = card.locator("tbody tr");
    await flip.filter({ hasText: "now allowed" }).filter({ hasText: "malware" }).waitFor();
    assert.equal(await flip.count(), 1);
    await made.filter({ hasText: "allowed" }).first().getByRole("button", { name: /^Open/ })
      .click();
    await opened.getByText('"allowed": true').first().waitFor();
    await flip.getByRole("button", { name: /^Open/ }).click();
    await opened.getByText('"reason": "policy-rejected"').waitFor();
    const other = { name: "other.json", mimeType: "application/json", buffer: Buffer.from("{}") };
    await input.setInputFiles(other);
    await card.getByRole("alert").getByText("not a result of arq policy replay").waitFor();
    await Deno.remove(file);
    await page.getByRole("searchbox", { name: "Room" }).fill("elsewhere");
    await page.getByRole("searchbox", { name: "Room" }).press("Enter");
    await page.getByText("0 allowed, 0 refused, 0 faults.").waitFor();
    const { policies } = await ask(world, `/v1/policies?tenant=${TENANT}`);
    assert.equal(policies.length, 1, "nothing was uploaded or deployed");
  },
};

/** In the order in which they run. */
export const POLICY_SCENARIOS: readonly Scenario[] = [decisions];
