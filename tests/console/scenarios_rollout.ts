/** Scenarios of rollouts: one is watched to its automatic end, and another one is aborted. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { startBusWith } from "../harness/bus.ts";
import { openText } from "../peers/raw_client.ts";
import { asker, BAD_RULE, OLD_RULE, putPolicy } from "../rollout_traffic.ts";
import { rolloutBody, Traffic, upload } from "../rollout_traffic.ts";
import type { Ask } from "../rollout_traffic.ts";
import { openConsole, type Scenario } from "./world.ts";

const TENANT = "rolled";
/** It stays active until it is ended: nobody waits that long. */
const STEPS = { canary: 0.5, for_ms: 3_600_000, abort_if: ["fuel_p99>100x", "refused>=10"] };

async function begin(ask: Ask): Promise<void> {
  const body = await rolloutBody(ask, TENANT, await upload(ask, BAD_RULE), STEPS);
  const { status, body: answer } = await ask("POST", `rollouts/${TENANT}`, body);
  assert.equal(status, 200, JSON.stringify(answer));
}

/** Resolves once the page shows this state of the rollout, and the commands that it then accepts. */
async function showsState(page: Page, state: string, orders: readonly string[]): Promise<void> {
  const about = page.getByRole("region", { name: "Rollout", exact: true });
  await about.locator(".badge").filter({ hasText: state }).waitFor();
  const shown = await page.locator(".page-head .actions button:visible").allInnerTexts();
  assert.deepEqual(shown, [...orders, "Refresh"]);
}

async function watched(page: Page, traffic: Traffic): Promise<void> {
  await page.getByRole("link", { name: TENANT, exact: true }).click();
  await showsState(page, "running", ["Pause", "Abort…"]);
  const row = (name: string) => page.getByRole("region", { name, exact: true }).locator("tbody tr");
  await row("Counts").filter({ hasText: "rule" }).waitFor();
  await row("Shields").filter({ hasText: "runs it" }).waitFor();
  assert.deepEqual(await row("Steps").locator("td:nth-child(3)").allInnerTexts(), [
    ...["running", "to come", "to come"],
  ]);
  await page.getByRole("button", { name: "Pause" }).click();
  await showsState(page, "paused", ["Resume", "Abort…"]);
  await page.getByRole("button", { name: "Resume" }).click();
  await showsState(page, "running", ["Pause", "Abort…"]);
  // Only the new version refuses the following messages: the page detects it automatically.
  traffic.texts = ["abc7"];
  await showsState(page, "returned", []);
  await row("Conditions").filter({ hasText: "refused>=10" }).getByText("violated by rule")
    .waitFor();
  await row("Conditions").filter({ hasText: "fuel_p99>100x" }).getByText("held").waitFor();
  await row("Samples").filter({ hasText: "refuse" }).filter({ hasText: "ann" }).first().waitFor();
  await page.getByText(/^refused>=10 was violated by rule: \d+ of \d+ messages$/).waitFor();
}

async function aborted(page: Page, ask: Ask, traffic: Traffic): Promise<void> {
  traffic.texts = ["abc1"];
  await begin(ask);
  await page.getByRole("button", { name: "Refresh" }).click();
  await showsState(page, "running", ["Pause", "Abort…"]);
  await page.getByRole("button", { name: "Abort…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Abort rollout" }).click();
  await page.getByText("aborted by boss").waitFor();
  await showsState(page, "returned", []);
  const before = page.getByRole("region", { name: "Earlier rollouts" }).locator("tbody tr");
  await before.filter({ hasText: "refused>=10 was violated" }).waitFor();
}

const shows: Scenario = {
  name:
    "a tenant's admin watches a rollout, pauses it, sees why it was rolled back, and aborts another",
  async run({ browser }) {
    await using bus = await startBusWith('[admin]\noperator_tenants = ["ops"]\n');
    const admin = await bus.tokenFor({ role: "admin", user: "root", tenant: "ops" });
    const world = { bus, browser, admin };
    const ask = asker(bus.admin_url, admin);
    await putPolicy(ask, TENANT, await upload(ask, OLD_RULE));
    using client = await openText(bus.url, await bus.tokenFor({ tenant: TENANT, user: "ann" }));
    const traffic = new Traffic([client]);
    await begin(ask);
    const token = await bus.tokenFor({ role: "admin", user: "boss", tenant: TENANT });
    {
      await using console = await openConsole(world, { token, at: "#/rollouts" });
      await watched(console.page, traffic);
      await aborted(console.page, ask, traffic);
    }
    await traffic.stop();
    const stranger = await bus.tokenFor({ role: "admin", user: "eve", tenant: "other" });
    const at = `#/rollouts/${TENANT}`;
    await using console = await openConsole(world, { token: stranger, at, expected: /403/ });
    await console.page.locator("main .notice.bad").waitFor();
    assert.equal(await console.page.getByRole("button", { name: "Abort…" }).count(), 0);
  },
};

/** Rollouts. */
export const ROLLOUT_SCENARIOS: readonly Scenario[] = [shows];
