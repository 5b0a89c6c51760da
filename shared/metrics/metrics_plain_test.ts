/** Plain numbers as a scrape shows them: exactly as prom-client shows its own. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Counter } from "prom-client";
import { createMetrics, Histogram, Registry } from "./metrics.ts";
import {
  PlainHistogram,
  registerPlainHistogram,
  registerPlainHistograms,
  scrapedCounter,
  scrapedCounters,
} from "./metrics_plain.ts";

const HELP = "Time it took.";

Deno.test("a plain histogram reads as prom-client's own with the same observations", async () => {
  const bounds = [0.001, 0.01, 0.1, 1];
  const seconds = fc.oneof(fc.constantFrom(...bounds, 0), fc.integer({ min: 0, max: 2_000 }));
  await fc.assert(fc.asyncProperty(fc.array(seconds), async (observations) => {
    const one = new Registry();
    const other = new Registry();
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
    const expected = await one.getMetricsAsJSON();
    const actual = await other.getMetricsAsJSON();
    const values = (json: typeof expected) =>
      json[0]?.values.map(({ labels, value }) => ({ labels, value }));
    assert.deepEqual(values(actual), values(expected));
  }));
});

Deno.test("plain histograms and counters with labels read as prom-client's own", async () => {
  const bounds = [0.01, 1];
  const observation = fc.tuple(fc.constantFrom("a", "b"), fc.constantFrom(0, 0.01, 0.5, 7));
  await fc.assert(fc.asyncProperty(fc.array(observation), async (observations) => {
    const one = new Registry();
    const other = new Registry();
    const about = { labelNames: ["module"], help: HELP, registers: [one] };
    const own = new Histogram({ ...about, name: "took_seconds", buckets: bounds });
    const count = new Counter({ ...about, name: "things_total" });
    const plain = new Map<string, PlainHistogram>();
    const totals = new Map<string, number>();
    registerPlainHistograms(
      other,
      "took_seconds",
      HELP,
      () => [...plain].map(([module, one]) => [{ module }, one]),
    );
    scrapedCounters(
      other,
      "things_total",
      HELP,
      ["module"],
      () => [...totals].map(([module, total]) => [{ module }, total]),
    );
    for (const [module, value] of observations) {
      own.observe({ module }, value);
      count.inc({ module }, value);
      const histogram = plain.get(module) ?? new PlainHistogram(bounds);
      plain.set(module, histogram);
      histogram.observe(value);
      totals.set(module, (totals.get(module) ?? 0) + value);
    }
    assert.equal(await other.metrics(), await one.metrics());
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
