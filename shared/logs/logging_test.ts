/** Levels that change while the process runs, and floods of one text. */
import assert from "node:assert/strict";
import { createLogging, type Logging, type LoggingOptions } from "./logging.ts";
import { createMetrics } from "../metrics/metrics.ts";

interface Written {
  readonly logging: Logging;
  readonly lines: string[];
  readonly clock: { now_ms: number };
}

function written(options: Partial<LoggingOptions> = {}): Written {
  const lines: string[] = [];
  const clock = { now_ms: 1_000_000 };
  const logging = createLogging({
    level: "info",
    format: "logfmt",
    lines_per_second: 3,
    node_id: "edge-1",
    now: () => clock.now_ms,
    write: (line) => lines.push(line),
    ...options,
  });
  return { logging, lines, clock };
}

const texts = (lines: readonly string[]) => lines.map((line) => /msg="([^"]*)"/.exec(line)?.[1]);

Deno.test("a component with its own level writes by that, the others by the common one", () => {
  const { logging, lines } = written();
  logging.of("shield").debug("hidden");
  logging.of("overseer");
  logging.setLevel("overseer", "debug");
  logging.of("overseer").debug("seen");
  logging.of("overseer").child({ module: "m" }).debug("seen with a field");
  assert.deepEqual(texts(lines), ["seen", "seen with a field"]);
});

Deno.test("a changed level applies to existing loggers, children too", () => {
  const { logging, lines } = written();
  const child = logging.of("shield").child({ part: "spine" });
  child.debug("before");
  assert.equal(logging.setLevel("shield", "debug"), true);
  child.debug("during");
  assert.deepEqual(logging.levels().levels, { shield: "debug" });
  assert.equal(logging.setLevel("shield", undefined), true);
  child.debug("after");
  assert.deepEqual(texts(lines), ["during"]);
  assert.equal(logging.setLevel("nobody", "debug"), false);
});

Deno.test("a flood of one text is limited, and the number of omitted lines is reported at its end", () => {
  const { logging, lines, clock } = written();
  const log = logging.of("shield");
  for (let count = 0; count < 10; count++) log.warn("publish refused", { count });
  log.info("something else");
  assert.equal(lines.length, 4);
  clock.now_ms += 1_000;
  log.info("later");
  assert.deepEqual(texts(lines).slice(4), ["lines left out", "later"]);
  assert.match(lines[4] ?? "", /level=warn component=shield text="publish refused" count=7/);
});

Deno.test("a tenant's flood of one text leaves out no other tenant's first line, and all lines have a limit", () => {
  const { logging, lines } = written();
  const log = logging.of("brain");
  for (let count = 0; count < 10; count++) log.warn("a reducer failed", { tenant_id: "noisy" });
  log.child({ tenant_id: "quiet" }).warn("a reducer failed");
  log.warn("a reducer failed", { tenant_id: "quiet" });
  assert.equal(lines.length, 4);
  assert.match(lines[3]!, /tenant_id=quiet/);
  for (let at = 0; at < 100; at++) log.warn("a reducer failed", { tenant_id: `t${at}` });
  assert.equal(lines.length, 5);
  assert.equal(log.sample("a reducer failed", { tenant_id: "other" }), false);
});

Deno.test("the end of the process reports omitted lines", () => {
  const { logging, lines } = written();
  for (let count = 0; count < 5; count++) logging.of("brain").info("again");
  logging.close();
  logging.close();
  assert.deepEqual(texts(lines), ["again", "again", "again", "lines left out"]);
});

Deno.test("further texts share one rate, and nothing grows", () => {
  const { logging, lines } = written({ lines_per_second: 1 });
  for (let text = 0; text < 5_000; text++) logging.of("shield").info(`text ${text}`);
  assert.equal(lines.length, 1_025);
});

Deno.test("a clock that is set back ends a flood's second", () => {
  const { logging, lines, clock } = written();
  for (let count = 0; count < 5; count++) logging.of("brain").info("again");
  clock.now_ms -= 3_600_000;
  logging.of("brain").info("again");
  assert.deepEqual(texts(lines).slice(3), ["lines left out", "again"]);
});

Deno.test("written and omitted lines are counted", async () => {
  const { logging } = written();
  const registry = createMetrics({ node_id: "n", version: "1" });
  logging.register(registry);
  for (let count = 0; count < 5; count++) logging.of("brain").error("again");
  const page = await registry.metrics();
  assert.match(page, /^arqon_log_lines_total\{level="error"\} 3$/m);
  assert.match(page, /^arqon_log_left_out_total 2$/m);
});

Deno.test("every line of JSON has the node's id, also of children and of reports about omitted lines", () => {
  const { logging, lines, clock } = written({ format: "json" });
  const log = logging.of("shield");
  for (let count = 0; count < 5; count++) log.child({ part: "spine" }).warn("lost");
  clock.now_ms += 1_000;
  logging.of("brain").info("of another", { node_id: "edge-2" });
  const records = lines.map((line) => JSON.parse(line));
  assert.deepEqual(records.map(({ node_id }) => node_id), [
    ...Array(3).fill("edge-1"),
    "edge-1",
    "edge-2",
  ]);
  assert.equal(records[3].msg, "lines left out");
});

Deno.test("a line of logfmt has the fields that it was given", () => {
  const { logging, lines } = written();
  logging.of("shield").info("hello");
  assert.doesNotMatch(lines.join(), /node_id/);
});

Deno.test("new settings apply from the next line on, and reset individually set levels", () => {
  const { logging, lines } = written();
  const log = logging.of("shield");
  logging.setLevel("shield", "debug");
  logging.renew({ level: "warn", lines_per_second: 1 });
  for (const text of ["one", "one", "two"]) log.warn(text);
  log.info("hidden");
  assert.deepEqual(texts(lines), ["one", "two"]);
  assert.deepEqual(logging.levels(), { level: "warn", levels: {}, components: ["shield"] });
});
