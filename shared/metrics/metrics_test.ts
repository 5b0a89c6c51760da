/** The registry and the result of a scrape. */
import assert from "node:assert/strict";
import { Counter, createMetrics, exposition, watchEventLoop } from "./metrics.ts";

function sample(body: string, name: string): number {
  const line = body.split("\n").find((text) => text.startsWith(`${name} `));
  assert.ok(line !== undefined, `${name} is missing in:\n${body}`);
  return Number(line.slice(name.length + 1));
}

Deno.test("a registry reports its build and node", async () => {
  const { body, content_type } = await exposition(
    createMetrics({ node_id: "n1", version: "0.1.0" }),
  );
  assert.match(body, /^arqon_build_info\{version="0\.1\.0",node_id="n1"\} 1$/m);
  assert.match(content_type, /^text\/plain; version=0\.0\.4/);
});

Deno.test({
  name: "memory, CPU and start time are real numbers without any permission",
  permissions: "none",
  async fn() {
    const registry = createMetrics({ node_id: "n1", version: "0.1.0" });
    const first = (await exposition(registry)).body;
    assert.ok(sample(first, "process_resident_memory_bytes") > 1_000_000);
    assert.ok(sample(first, "arqon_heap_used_bytes") > 100_000);
    assert.ok(sample(first, "arqon_external_memory_bytes") >= 0);
    assert.ok(sample(first, "process_start_time_seconds") > 1_500_000_000);
    const second = (await exposition(registry)).body;
    const name = "process_cpu_seconds_total";
    assert.ok(sample(first, name) > 0);
    assert.ok(sample(second, name) >= sample(first, name));
  },
});

Deno.test("two registries share nothing", async () => {
  const [one, two] = ["a", "b"].map((node_id) => createMetrics({ node_id, version: "1" }));
  assert.ok(one !== undefined && two !== undefined);
  new Counter({ name: "only_one_total", help: "x", registers: [one] }).inc();
  assert.match((await exposition(one)).body, /only_one_total 1/);
  assert.doesNotMatch((await exposition(two)).body, /only_one_total/);
});

Deno.test("a timer that fires late is seen as event loop lag", async () => {
  const registry = createMetrics({ node_id: "n1", version: "1" });
  let clock_ms = 0;
  const ticked = Promise.withResolvers<void>();
  let reads = 0;
  const watch = watchEventLoop(registry, () => {
    // The first read is the start; the second is the first tick, 40 ms late.
    reads++;
    if (reads === 2) clock_ms = 41;
    if (reads === 3) ticked.resolve();
    return clock_ms;
  }, 1);
  // The watch does not keep the process alive, this deadline does.
  const deadline = setTimeout(() => ticked.reject(new Error("no tick within 10 s")), 10_000);
  await ticked.promise;
  clearTimeout(deadline);
  watch[Symbol.dispose]();
  const { body } = await exposition(registry);
  assert.match(body, /^arqon_event_loop_lag_seconds_bucket\{le="0\.025"\} [1-9]/m);
  assert.ok(sample(body, "arqon_event_loop_lag_seconds_sum") >= 0.04);
});
