/** The gate's rule, and a planted regression that the real measurement finds. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { judge, mostAllowed } from "./compare.ts";
import type { LeafFigure } from "./leaf.ts";
import { LEAVES, measureFrom, readRecorded } from "./measure.ts";

const ENGINE = { deno: "2.9.6", v8: "15.0" };
const PLANTED = new URL("./testing/planted.ts", import.meta.url).href;

const leaf = (value: number, name = "scan", unit: LeafFigure["unit"] = "B") => ({
  name,
  unit,
  value,
});
const judged = (before: LeafFigure, now: LeafFigure) =>
  judge({ ...ENGINE, figures: { [before.name]: before.value } }, [now], ENGINE);

Deno.test("garbage may grow by a tenth and 16 B, not by a byte more", () => {
  fc.assert(fc.property(fc.nat(100_000), fc.nat(200_000), (before, now) => {
    assert.equal(judged(leaf(before), leaf(now)).ok, now <= before * 1.1 + 16);
  }));
  assert.equal(judged(leaf(0), leaf(16)).ok, true);
  assert.equal(judged(leaf(0), leaf(17)).ok, false);
  assert.equal(mostAllowed(leaf(1_000)), 1_116);
});

Deno.test("units of metered code are exact; fewer units give a note", () => {
  const units = (value: number) => leaf(value, "fuel", "units");
  assert.deepEqual(judged(units(500), units(500)), { ok: true, lines: [] });
  assert.equal(judged(units(500), units(501)).ok, false);
  const { ok, lines } = judged(units(500), units(499));
  assert.equal(ok, true);
  assert.match(lines.join(), /^NOTE fuel: 499 units instead of 500/);
});

Deno.test("a worse figure is named with both figures and the remedy", () => {
  const { ok, lines } = judged(leaf(100, "stamp"), leaf(200, "stamp"));
  assert.equal(ok, false);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^stamp: 200 B, recorded 100, at most 126: .*--record/);
});

Deno.test("a leaf without a record fails, and so does a record without a leaf", () => {
  const recorded = { ...ENGINE, figures: { old: 1 } };
  const { ok, lines } = judge(recorded, [leaf(1, "young")], ENGINE);
  assert.equal(ok, false);
  assert.deepEqual(lines.map((line) => line.split(":", 1)[0]), ["young", "old"]);
});

Deno.test("another engine is named beside a worse figure, and is not a failure alone", () => {
  const other = { v8: "16.0" };
  const recorded = { ...ENGINE, figures: { scan: 100 } };
  assert.deepEqual(judge(recorded, [leaf(100)], other), { ok: true, lines: [] });
  assert.match(judge(recorded, [leaf(500)], other).lines.join("\n"), /recorded with V8 15\.0/);
});

Deno.test("a planted regression is measured and fails the gate", async () => {
  const [before, regressed] = await measureFrom(PLANTED, ["copied", "copied and noted"]);
  assert.ok(before !== undefined && regressed !== undefined);
  assert.ok(before.value >= 64, `64 bytes were copied, ${before.value} counted`);
  const now = { ...regressed, name: before.name };
  const { ok, lines } = judged(before, now);
  assert.equal(ok, false, `${regressed.value} B passed for ${before.value} B`);
  assert.match(lines[0]!, /^copied: /);
});

Deno.test("two measurements of a leaf are equal", async () => {
  const [first] = await measureFrom(PLANTED, ["copied and noted"]);
  const [second] = await measureFrom(PLANTED, ["copied and noted"]);
  assert.deepEqual(judged(first!, second!), { ok: true, lines: [] });
});

Deno.test("every leaf of the list has a record and a unique name", async () => {
  const names = LEAVES.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const { figures } = await readRecorded();
  assert.deepEqual(Object.keys(figures), names);
});
