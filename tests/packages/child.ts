/**
 * Runs the scenarios of the packages with one bus, for `packages_test.ts`. Arguments: words of the selected scenarios'
 * names.
 */
import { stop } from "esbuild";
import { startBus } from "../harness/bus.ts";
import { announce, runAll, wanted } from "../harness/child_scenarios.ts";
import { startChromium } from "../console/world.ts";
import { makeProject } from "./project.ts";
import { BROWSER_SCENARIOS } from "./scenarios_browser.ts";
import { REFUSAL_SCENARIOS } from "./scenarios_refusals.ts";
import { RUNTIME_SCENARIOS } from "./scenarios_runtimes.ts";
import { TYPES_SCENARIOS } from "./scenarios_types.ts";

const scenarios = wanted(
  [...TYPES_SCENARIOS, ...RUNTIME_SCENARIOS, ...REFUSAL_SCENARIOS, ...BROWSER_SCENARIOS],
  Deno.args,
);
announce(scenarios);
const packing = makeProject();
// Awaited below: whatever starts meanwhile must be ended even if this fails.
packing.catch(() => {});
await using bus = await startBus();
const browser = await startChromium();
try {
  await using project = await packing;
  await runAll(scenarios, { bus, browser, project });
} finally {
  await browser.close();
  await stop();
}
