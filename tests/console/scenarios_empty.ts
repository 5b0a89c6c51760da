/**
 * Every page of the console with the configuration of `arq init`, before any activity: nothing is red, and disabled
 * features tell how to enable them.
 */
import assert from "node:assert/strict";
import { initConfig } from "../../arq/init/templates.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { openConsole, type Scenario, type World } from "./world.ts";

/** With the key of the test's own bus, which has no folder. */
const FRESH = initConfig({ port: 0, ops_port: 0, admin_port: 0 })
  .replace(/^\[\[auth\.issuers\]\]\n(?:\w.*\n)*/m, "").replace('data_dir = "data"\n', "");

/** The disabled features that each page names, by its address; fails where a page shows an error. */
async function offPages(world: World, config: string): Promise<Record<string, string>> {
  await using bus = await startLocalBus(config);
  const admin = await bus.tokenFor({ role: "admin", user: "root" });
  await using console = await openConsole({ ...world, bus, admin });
  const { page } = console;
  await page.locator("nav a").first().waitFor();
  const links: string[] = [];
  for (const link of await page.locator("nav a").all()) {
    links.push(await link.getAttribute("href") ?? "");
  }
  assert.ok(links.includes("#/mirror") && links.includes("#/journal"), links.join());
  const off: Record<string, string> = {};
  for (
    const link of [...links, "#/tenants/default", "#/policies/default", "#/rooms/default/lobby"]
  ) {
    // Another query each time: the page is loaded again, and has its data once the network is idle.
    const query = new URLSearchParams({ page: link });
    await page.goto(`${bus.admin_url}/console/?${query}${link}`, { waitUntil: "networkidle" });
    assert.deepEqual(await page.locator("[role=alert]:visible").allInnerTexts(), [], link);
    const notice = page.getByText("switched off in the configuration. Set");
    const parts = await notice.locator("code:last-child").allInnerTexts();
    if (parts.length > 0) off[link] = parts.join();
  }
  return off;
}

const empty: Scenario = {
  name:
    "on the configuration of arq init no page is red, and a part that is off says how it is set",
  async run(world) {
    assert.deepEqual(await offPages(world, FRESH), {
      "#/mirror": "[platform.mirroring]",
      "#/usage": "[usage]",
      "#/tenants/default": "[platform.mirroring]",
    });
    const bare = FRESH.replaceAll("enabled = true", "enabled = false");
    assert.notEqual(bare, FRESH);
    assert.deepEqual(await offPages(world, bare), {
      "#/policies": "[platform.overseer]",
      "#/rollouts": "[platform.overseer]",
      "#/schemas": "[platform.registry]",
      "#/mirror": "[platform.mirroring]",
      "#/usage": "[usage]",
      "#/tenants/default": "[platform.registry],[platform.mirroring]",
      "#/policies/default": "[platform.overseer]",
    });
  },
};

/** In the order in which they run. */
export const EMPTY_SCENARIOS: readonly Scenario[] = [empty];
