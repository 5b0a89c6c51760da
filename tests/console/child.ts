/**
 * Runs the scenarios of the console with its own bus and Chromium, for `console_test.ts`. Arguments: words in the names
 * of the wanted scenarios.
 */
import { startBusWith } from "../harness/bus.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import { announce, runAll, wanted } from "../harness/child_scenarios.ts";
import { SCENARIOS } from "./scenarios.ts";
import { startChromium } from "./world.ts";

const scenarios = wanted(SCENARIOS, Deno.args);
announce(scenarios);
const counter = new URL("../../policies/build/reducers/counter.wasm", import.meta.url).pathname;
await using browser = await startChromium();
await using bus = await startBusWith(
  '[[rooms]]\nroom = "kept-*"\ndurable = true\nhistory_size = 100\n' +
    '[journal]\njournal = "all"\n#constant journal.flush_ms = 50\n' +
    "[usage]\nenabled = true\n#constant usage.flush_ms = 50\n" +
    `[[reducers]]\nname = "counter"\nfile = "${counter}"\n#constant reducers.snapshot_entries = 8\n` +
    '[[rooms]]\nroom = "sum-*"\ndurable = true\nreducer = "counter"\n' +
    PATIENT_POLICIES,
);
const admin = await bus.tokenFor({ role: "admin", user: "root" });
await runAll(scenarios, { bus, browser, admin });
