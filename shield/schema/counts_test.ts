/** Counts, logs and texts of violations stay limited, whatever clients and schemas do. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Registry } from "prom-client";
import { keptLog, SPINE_NOW_MS } from "../testing/spine.ts";
import { createViolationLog, LINES_PER_SECOND, violationText } from "./gate.ts";
import { NAMED_TENANTS, registerSchemaMetrics, TopTenants } from "./metrics.ts";

const figures = () => ({
  ages_seconds: [["ping", 1.5]] as const,
  schemas: 1,
  messages: { current: 1, outdated: 0, missing: 0 },
  tenant_mappings: 2,
  packed_bytes: 3,
  refused: [],
  working: { size: 1, heap_bytes: 4, totals: { put_away: 5, restored: 6, refused: 7 } },
});

Deno.test("tenants: the sum is right, names are bounded, and no series ever shrinks", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 120 }), { maxLength: 3_000 }), (tenants) => {
      const top = new TopTenants();
      let before = new Map<string, number>();
      for (const [at, number] of tenants.entries()) {
        top.add(`t${number}`);
        if (at % 100 !== 0 && at !== tenants.length - 1) continue;
        const rows = new Map(top.rows());
        assert.ok(rows.size <= NAMED_TENANTS + 1);
        assert.equal([...rows.values()].reduce((sum, count) => sum + count, 0), at + 1);
        assert.ok((rows.get("other") ?? 0) >= (before.get("other") ?? 0));
        before = rows;
      }
    }),
    { numRuns: 30 },
  );
});

Deno.test("tenants: a late tenant with the most violations gets its own series", () => {
  const top = new TopTenants();
  for (let tenant = 0; tenant < NAMED_TENANTS; tenant++) {
    for (let count = 0; count < 20; count++) top.add(`t${tenant}`);
  }
  for (let count = 0; count < 20; count++) top.add("late");
  assert.equal(new Map(top.rows()).get("other"), 20);
  for (let count = 0; count < 30; count++) top.add("late");
  const rows = new Map(top.rows());
  assert.equal(rows.get("late"), 30, "earlier counts stay with the others");
  assert.equal(rows.size, NAMED_TENANTS + 1);
  assert.equal(rows.get("other"), 40, "as do those of the replaced one");
});

Deno.test("rules of any name make a bounded number of series", async () => {
  const registry = new Registry();
  const totals = registerSchemaMetrics(registry, figures);
  for (let at = 0; at < 1_000; at++) totals.violated("ping", `rule.${at}`);
  for (let at = 0; at < 3_000; at++) {
    totals.violated(`schema-${at}`, "required");
    totals.unknown(`schema-${at}`, 2);
  }
  const text = await registry.metrics();
  const series = (name: string) => text.split("\n").filter((line) => line.startsWith(`${name}{`));
  assert.ok(series("shield_schema_violation_total").length <= 64 + 1 + 1_000 + 1);
  assert.ok(series("shield_schema_unknown_fields_total").length <= 1_001);
  assert.match(text, /shield_schema_violation_total\{schema="ping",rule="other"\} 936/);
  assert.match(text, /shield_schema_violation_total\{schema="other",rule="required"\} 2001/);
  assert.match(text, /shield_schema_cache_age_seconds\{schema="ping"\} 1\.5/);
});

Deno.test("the log lines of one tenant's violations are rate-limited, and others' are not lost", () => {
  const { log, lines } = keptLog();
  const clock = { now_ms: SPINE_NOW_MS };
  const write = createViolationLog(log, () => clock.now_ms);
  for (let at = 0; at < 500; at++) write("msg", "n: required", "acme", { at });
  assert.equal(lines.length, LINES_PER_SECOND + 1);
  assert.match(lines[0] ?? "", /error="n: required" tenant_id=acme at=0 msg="msg"/);
  assert.match(lines.at(-1) ?? "", /tenant_id=acme msg="more events .* lines were dropped"/);
  write("msg", "n: required", "globex", {});
  assert.match(lines.at(-1) ?? "", /tenant_id=globex/);
  clock.now_ms += 1_000;
  write("msg", "n: required", "acme", {});
  assert.equal(lines.length, LINES_PER_SECOND + 3);
});

Deno.test("the text of a violation has path and rule and is bounded", () => {
  const text = (path: string, rule: string, message: string, total = 1) =>
    violationText({ violations: [{ path, rule, message }], total, unknown: 0, unknown_paths: [] });
  assert.equal(
    text("entity[2].vehicle.position.latitude", "required", "it is missing", 3),
    "entity[2].vehicle.position.latitude: required (1 of 3)",
  );
  assert.equal(text("", "truncated", "the data ends"), "truncated: the data ends");
  fc.assert(
    fc.property(fc.string({ maxLength: 5_000 }), fc.string({ maxLength: 5_000 }), (a, b) => {
      assert.ok(text(a, "rule", b).length < 700);
    }),
  );
});
