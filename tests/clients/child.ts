/**
 * Runs the matrix of clients and socket implementations, for `clients_test.ts`. Arguments: words that
 * the names of the wanted ones contain.
 */
import { stop } from "esbuild";
import { startBusWith } from "../harness/bus.ts";
import { announce, runAll, wanted } from "../harness/child_scenarios.ts";
import { startChromium } from "../console/world.ts";
import { bundlePrograms, SCENARIOS } from "./scenarios.ts";

const configOf = (websocket: string) => `
[server]
websocket = "${websocket}"
allowed_origins = ["http://127.0.0.1:*"]
`;

const scenarios = wanted(SCENARIOS, Deno.args);
announce(scenarios);
await using native = await startBusWith(configOf("native"));
await using own = await startBusWith(configOf("own"));
const browser = await startChromium();
const folder = await Deno.makeTempDir({ prefix: "arqon-clients-" });
try {
  const programs = await bundlePrograms(folder);
  await runAll(scenarios, { buses: { native, own }, browser, programs });
} finally {
  await browser.close();
  await stop();
  await Deno.remove(folder, { recursive: true });
}
