/** The pages of metrics of several processes are merged into one. */
import assert from "node:assert/strict";
import { Counter, Gauge, Histogram, Registry } from "../../shared/metrics/metrics.ts";
import { PlainHistogram, registerPlainHistogram } from "../../shared/metrics/metrics_plain.ts";
import { parsePage } from "../../tests/peers/metrics_page.ts";
import { registerTenantSeries } from "../admin/inspect/tenant_series.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { mergePages } from "./operators.ts";

async function page(opened: number, reason?: string): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({ name: "open", help: "open # now", registers }).set(opened);
  const refused = new Counter({ name: "refused", help: "r", labelNames: ["reason"], registers });
  if (reason !== undefined) refused.inc({ reason });
  new Histogram({ name: "took", help: "t", buckets: [1], registers }).observe(0.5);
  return await registry.metrics();
}

Deno.test("each sample names its process, and the samples of one metric are adjacent", async () => {
  const pages = [
    { process: "0", text: await page(3, 'a "quoted" {one} \n# TYPE') },
    { process: "1", text: await page(4) },
  ];
  assert.equal(
    mergePages(pages),
    `# HELP open open # now
# TYPE open gauge
open{process="0"} 3
open{process="1"} 4

# HELP refused r
# TYPE refused counter
refused{process="0",reason="a \\"quoted\\" {one} \\n# TYPE"} 1

# HELP took t
# TYPE took histogram
took_bucket{process="0",le="1"} 1
took_bucket{process="0",le="+Inf"} 1
took_sum{process="0"} 0.5
took_count{process="0"} 1
took_bucket{process="1",le="1"} 1
took_bucket{process="1",le="+Inf"} 1
took_sum{process="1"} 0.5
took_count{process="1"} 1
`,
  );
});

Deno.test("states, tenants and plain histograms of several processes stay separate and well-formed", async () => {
  const pages = await Promise.all(["0", "1"].map(async (process, index) => {
    const registry = new Registry();
    const table = new TenantTable();
    table.of('a "b"').ingress_messages = 5 + index;
    registerTenantSeries(table, 1, registry);
    const took = new PlainHistogram([1]);
    took.observe(index);
    registerPlainHistogram(registry, "took_seconds", "How long it took.", took);
    return { process, text: await registry.metrics() };
  }));
  const families = parsePage(mergePages(pages));
  const tenants = families.get("shield_tenant_connections")?.samples.map(({ labels }) => labels);
  assert.deepEqual(
    tenants,
    ["0", "1"].flatMap((process) => [
      { process, tenant: 'a \\"b\\"' },
      { process, tenant: "_other" },
    ]),
  );
  const took = families.get("took_seconds")?.samples.filter(({ name }) => name.endsWith("_count"));
  assert.deepEqual(took?.map(({ value }) => value), [1, 1]);
});

Deno.test("a metric that only one process has keeps its description", () => {
  const one = "# HELP a first\n# TYPE a gauge\na 1\n";
  const two = "# HELP b second\n# TYPE b counter\nb{} 2\n\n# HELP a other\n# TYPE a gauge\na 3\n";
  assert.equal(
    mergePages([{ process: "0", text: one }, { process: "1", text: two }]),
    `# HELP a first
# TYPE a gauge
a{process="0"} 1
a{process="1"} 3

# HELP b second
# TYPE b counter
b{process="1"} 2
`,
  );
  assert.equal(mergePages([]), "");
});
