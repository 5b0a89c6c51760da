/** The Spine's gauges follow its state. */
import assert from "node:assert/strict";
import { createLogger } from "../log.ts";
import { createMetrics } from "../metrics.ts";
import { openEmbedded } from "./embedded.ts";
import { registerSpineMetrics } from "./metrics.ts";

Deno.test("the gauges say whether the Spine is connected", async () => {
  const write = () => {};
  const log = createLogger({
    level: "error",
    format: "json",
    component: "t",
    now: Date.now,
    write,
  });
  const spine = openEmbedded({ log, now: Date.now });
  const registry = createMetrics({ node_id: "n", version: "0" });
  registerSpineMetrics(spine, registry);
  assert.match(await registry.metrics(), /^arqon_spine_connected 1$/m);
  assert.match(await registry.metrics(), /^arqon_spine_reconnects_total 0$/m);
  await spine.drain();
  assert.match(await registry.metrics(), /^arqon_spine_connected 0$/m);
});
