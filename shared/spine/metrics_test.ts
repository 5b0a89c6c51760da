/** The Spine's gauges follow its state. */
import assert from "node:assert/strict";
import { QUIET } from "../testing/logs.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { until } from "../testing/until.ts";
import { openEmbedded } from "./embedded/embedded.ts";
import { registerSpineMetrics, watchRoundTrip } from "./metrics.ts";

function embedded() {
  const log = QUIET;
  const spine = openEmbedded({ log, now: Date.now });
  const registry = createMetrics({ node_id: "n", version: "0" });
  return { spine, registry };
}

Deno.test("the gauges show whether the Spine is connected", async () => {
  const { spine, registry } = embedded();
  registerSpineMetrics(spine, registry);
  assert.match(await registry.metrics(), /^arqon_spine_connected 1$/m);
  assert.match(await registry.metrics(), /^arqon_spine_reconnects_total 0$/m);
  await spine.drain();
  assert.match(await registry.metrics(), /^arqon_spine_connected 0$/m);
});

Deno.test("exactly one of the states is 1, the current one", async () => {
  const { spine, registry } = embedded();
  registerSpineMetrics(spine, registry);
  const states = async () =>
    Object.fromEntries(
      (await registry.metrics()).matchAll(/^arqon_spine_state\{state="(\w+)"\} (\d)$/gm)
        .map(([, state, value]) => [state, Number(value)]),
    );
  const none = { connecting: 0, connected: 0, disconnected: 0, draining: 0, closed: 0 };
  assert.deepEqual(await states(), { ...none, connected: 1 });
  await spine.drain();
  assert.deepEqual(await states(), { ...none, closed: 1 });
});

Deno.test("round trips are measured one after the other, and what fails is counted", async () => {
  const registry = createMetrics({ node_id: "n", version: "0" });
  const flushes: PromiseWithResolvers<void>[] = [];
  const asked = Promise.withResolvers<void>();
  const spine = {
    flush() {
      flushes.push(Promise.withResolvers<void>());
      if (flushes.length === 3) asked.resolve();
      return flushes.at(-1)!.promise;
    },
  };
  let clock_ms = 0;
  const deadline = setTimeout(() => asked.reject(new Error("not asked within 20 s")), 20_000);
  const watch = watchRoundTrip(spine, registry, () => clock_ms, 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(flushes.length, 1, "the first has no answer yet");
  clock_ms = 30;
  flushes[0]?.resolve();
  await until("the second question", () => flushes.length >= 2);
  flushes[1]?.reject(new Error("gone"));
  await asked.promise;
  clearTimeout(deadline);
  watch[Symbol.dispose]();
  const page = await registry.metrics();
  assert.match(page, /^arqon_spine_round_trip_seconds_sum 0\.03$/m);
  assert.match(page, /^arqon_spine_round_trip_seconds_count 1$/m);
  assert.match(page, /^arqon_spine_round_trip_failures_total 1$/m);
});
