/** Pages of metrics made into one. */
import assert from "node:assert/strict";
import { Counter, Gauge, Histogram, Registry } from "../../shared/metrics.ts";
import { mergePages } from "./exposition.ts";

async function page(opened: number, reason?: string): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({ name: "open", help: "open # now", registers }).set(opened);
  const refused = new Counter({ name: "refused", help: "r", labelNames: ["reason"], registers });
  if (reason !== undefined) refused.inc({ reason });
  new Histogram({ name: "took", help: "t", buckets: [1], registers }).observe(0.5);
  return await registry.metrics();
}

Deno.test("each sample names its process, and the samples of one metric stand together", async () => {
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
