/** Scenarios of a tenant's usage: its own admin and an operator see the same figures, and the remaining budget. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import { ask, client, columnTexts, openConsole, type Scenario, type World } from "./world.ts";

const CONFIG = `
[admin]
operator_tenants = ["ops"]
[usage]
enabled = true
#constant usage.flush_ms = 50
retention_days = 8
[usage.prices]
messages_in = 0.5
`;
const TENANT = "billed";
const MESSAGES = 7;

/** Messages of one tenant, and two budgets, one of them exhausted. */
async function use(world: World): Promise<void> {
  for (const [action, limit] of [["warn", 5], ["refuse", 70]]) {
    const response = await fetch(`${world.bus.admin_url}/v1/tenants/${TENANT}/budgets`, {
      method: "PUT",
      headers: { authorization: `Bearer ${world.admin}`, "content-type": "application/json" },
      body: JSON.stringify({ per: "month", unit: "messages_in", limit, action }),
    });
    assert.equal(response.status, 200, await response.text());
  }
  using sender = await client(world, { tenant: TENANT, user: "ann" });
  for (let id = 1; id <= MESSAGES; id++) {
    sender.send({ op: "pub", room: "lobby", type: "t", id });
    assert.equal((await sender.json()).code, 0);
  }
  await until("all is counted", async () => {
    const { total } = await ask(world, `/v1/usage?tenant=${TENANT}`);
    return total.messages_in === MESSAGES;
  });
}

const shows: Scenario = {
  name:
    "a tenant's own admin and an operator see its use, its cost and what is left of its budgets",
  async run({ browser }) {
    await using bus = await startBusWith(CONFIG);
    const admin = await bus.tokenFor({ role: "admin", user: "root", tenant: "ops" });
    const world = { bus, browser, admin };
    await use(world);
    const token = await bus.tokenFor({ role: "admin", user: "boss", tenant: TENANT });
    for (const [options, whose] of [[{ token }, ""], [{}, `&tenant=${TENANT}`]] as const) {
      await using console = await openConsole(world, { ...options, at: `#/usage?hours=1${whose}` });
      const { page } = console;
      await page.locator("main dd").filter({ hasText: TENANT }).waitFor();
      const rows = page.getByRole("region", { name: "Budgets" }).locator("tbody tr");
      assert.deepEqual(
        await rows.nth(0).locator("td").allInnerTexts().then((all) => all.slice(0, 7)),
        [
          ...["month", "messages in", "warn", "5", "7", "0", "140 %"],
        ],
      );
      assert.deepEqual(
        await rows.nth(1).locator("td").allInnerTexts().then((all) => all.slice(2, 7)),
        [
          ...["refuse", "70", "7", "63", "10 %"],
        ],
      );
      const chart = page.getByRole("region", { name: "Cost by minute" });
      assert.equal(await chart.locator(".figure").innerText(), "3.5");
      assert.notEqual(await chart.locator(".line.s0").getAttribute("d"), "");
      const fields = await page.locator("main input[name=tenant]").count();
      assert.equal(fields, whose === "" ? 0 : 1, "an admin of one tenant cannot ask for another");
      await page.locator("select[name=by]").selectOption("node");
      await until("by node", async () => (await columnTexts(page, 1)).length > 0);
      for (const name of ["Node", "Reads", "Read bytes"]) {
        await page.getByRole("columnheader", { name, exact: true }).waitFor();
      }
      const gone = page.locator(".notice").filter({ hasText: "may have expired" });
      for (const [hours, times, by] of [["168", 0, "day"], ["720", 1, "day"], ["24", 0, "hour"]]) {
        await page.locator("select[name=hours]").selectOption(String(hours));
        await page.getByRole("region", { name: `Cost by ${by}` }).waitFor();
        await until(`${hours} hours: ${times}`, async () => await gone.count() === times);
      }
    }
  },
};

/** The usage of a tenant. */
export const USAGE_SCENARIOS: readonly Scenario[] = [shows];
