/** Plain numbers as a scrape shows them: exactly as prom-client shows its own. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createMetrics, Histogram, Registry } from "./metrics.ts";
import { PlainHistogram, registerPlainHistogram, scrapedCounter } from "./metrics_plain.ts";

const HELP = "Time it took.";

Deno.test("a plain histogram reads as prom-client's own with the same observations", async () => {
  const bounds = [0.001, 0.01, 0.1, 1];
  const seconds = fc.oneof(fc.constantFrom(...bounds, 0), fc.integer({ min: 0, max: 2_000 }));
  await fc.assert(fc.asyncProperty(fc.array(seconds), async (observations) => {
    const [one, other] = [new Registry(), new Registry()];
    const own = new Histogram({
      name: "took_seconds",
      help: HELP,
      buckets: bounds,
      registers: [one],
    });
    const plain = new PlainHistogram(bounds);
    registerPlainHistogram(other, "took_seconds", HELP, plain);
    for (const value of observations) {
      own.observe(value);
      plain.observe(value);
    }
    assert.equal(plain.count, observations.length);
    assert.equal(await other.metrics(), await one.metrics());
    const [expected, actual] = [await one.getMetricsAsJSON(), await other.getMetricsAsJSON()];
    const values = (json: typeof expected) =>
      json[0]?.values.map(({ labels, value }) => ({ labels, value }));
    assert.deepEqual(values(actual), values(expected));
  }));
});

Deno.test("a scraped counter shows the total of the moment, however often it is read", async () => {
  const registry = createMetrics({ node_id: "n", version: "0" });
  let total = 3;
  scrapedCounter(registry, "things_total", "Things.", () => total);
  for (let times = 0; times < 2; times++) {
    assert.match(await registry.metrics(), /^things_total 3$/m);
  }
  total = 5;
  assert.match(await registry.metrics(), /^# TYPE things_total counter\nthings_total 5$/m);
});
