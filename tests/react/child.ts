/**
 * Runs the scenarios of React, Vue and Svelte with one bus per group and Chromium, for `react_test.ts`. Arguments:
 * words of the selected scenarios' names.
 */
import { stop } from "esbuild";
import { startChromium } from "../console/world.ts";
import { startBus } from "../harness/bus.ts";
import { announce, runAll, wanted } from "../harness/child_scenarios.ts";
import { CHAT_SCENARIOS } from "./scenarios_chat.ts";
import { HOOK_SCENARIOS } from "./scenarios_hooks.ts";
import { PAGE_SCENARIOS } from "./scenarios_pages.ts";
import { BOARD_SCENARIOS } from "./scenarios_whiteboard.ts";
import { makeProjects } from "./world.ts";

const GROUPS = [...Object.values(HOOK_SCENARIOS), PAGE_SCENARIOS, BOARD_SCENARIOS, CHAT_SCENARIOS];
const groups = GROUPS.map((one) => wanted(one, Deno.args));
announce(groups.flat());
const folder = await Deno.makeTempDir({ prefix: "arqon-react-" });
const browser = await startChromium();
try {
  const projects = await makeProjects(folder);
  for (const scenarios of groups) {
    if (scenarios.length === 0) continue;
    await using bus = await startBus();
    await runAll(scenarios, { bus, browser, projects });
  }
} finally {
  await browser.close();
  await stop();
  await Deno.remove(folder, { recursive: true });
}
