/** Modes and the text of findings. Ranges of numbers, compared with the same sets listed number by number. */
import { COMPATIBILITY_MODES, isCompatibilityMode } from "../../schema_id.ts";
import assert from "node:assert/strict";
import {
  directionsOf,
  errorsOf,
  type Finding,
  FindingCollector,
  FINDINGS_MAX,
  formatFinding,
  isTransitive,
  sortFindings,
} from "./findings.ts";
import fc from "fast-check";
import { formatRanges, inRanges, mergeRanges, subtractRanges } from "./compat_reserved.ts";

const finding = (given: Partial<Finding>): Finding => ({
  severity: "error",
  rule: "field-type-changed",
  file: "a.proto",
  message: "m.M",
  field: "f",
  detail: "was int32, is string",
  from_version: "3",
  to_version: "4",
  ...given,
});

Deno.test("a mode names the readings that count", () => {
  const readings = COMPATIBILITY_MODES.map((mode) => {
    const { backward, forward } = directionsOf(mode);
    return `${mode}: ${
      [backward && "b", forward && "f", isTransitive(mode) && "t"].filter(Boolean)
    }`;
  });
  assert.deepEqual(readings, [
    "BACKWARD: b",
    "BACKWARD_TRANSITIVE: b,t",
    "FORWARD: f",
    "FORWARD_TRANSITIVE: f,t",
    "FULL: b,f",
    "FULL_TRANSITIVE: b,f,t",
    "NONE: ",
  ]);
});

Deno.test("only exact names of modes are valid", () => {
  assert.ok(isCompatibilityMode("FULL_TRANSITIVE"));
  for (const text of ["full", "FULL ", "", "toString", "TRANSITIVE"]) {
    assert.equal(isCompatibilityMode(text), false, text);
  }
});

Deno.test("a finding is one line with position and both versions", () => {
  const line = "error field-type-changed: a.proto: m.M.f: was int32, is string (3 → 4)";
  assert.equal(formatFinding(finding({})), line);
  const of_file = finding({ message: "", field: "", severity: "warning" });
  assert.ok(formatFinding(of_file).startsWith("warning field-type-changed: a.proto: was int32"));
});

Deno.test("errors come first, and only they refuse", () => {
  const list = [
    finding({ severity: "warning", file: "a" }),
    finding({ file: "b" }),
    finding({ file: "a", message: "z" }),
    finding({ file: "a", message: "b" }),
  ];
  const sorted = sortFindings(list);
  assert.deepEqual(sorted.map(({ file, message }) => file + message), ["ab", "az", "bm.M", "am.M"]);
  assert.deepEqual(errorsOf(sorted), sorted.slice(0, 3));
});

Deno.test("warnings of many versions never displace an error of an old one", () => {
  const collector = new FindingCollector();
  for (let version = 9; version > 0; version--) {
    const warnings = Array.from(
      { length: FINDINGS_MAX },
      (_, n) => finding({ severity: "warning", detail: `${version}.${n}` }),
    );
    collector.add([...warnings, finding({ from_version: String(version) })]);
  }
  collector.add([finding({ from_version: "0", message: "m.Old" })]);
  const shown = errorsOf(collector.sorted()).map(({ message, from_version }) =>
    `${message} ${from_version}`
  );
  assert.deepEqual(shown, ["m.M 9", "m.Old 0"]);
});

const range = fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 8 }))
  .map(([start, length]) => ({ start, end: start + length }));
const ranges = fc.array(range, { maxLength: 12 });

const holds = (list: readonly { start: number; end: number }[], number: number) =>
  list.some(({ start, end }) => start <= number && number < end);

Deno.test("merged ranges have the same numbers, sorted and disjoint", () => {
  fc.assert(fc.property(ranges, (list) => {
    const merged = mergeRanges(list);
    for (let number = -1; number < 70; number++) {
      assert.equal(inRanges(merged, number), holds(list, number));
    }
    for (const [index, { start }] of merged.entries()) {
      assert.ok(start > (merged[index - 1]?.end ?? -1));
    }
  }));
});

Deno.test("a difference has the numbers of the first that are not in the second", () => {
  fc.assert(fc.property(ranges, ranges, (first, second) => {
    const left = subtractRanges(mergeRanges(first), mergeRanges(second));
    for (let number = -1; number < 70; number++) {
      assert.equal(inRanges(left, number), holds(first, number) && !holds(second, number));
    }
  }));
});

Deno.test("ranges read as a .proto file writes them", () => {
  const list = [{ start: 3, end: 4 }, { start: 5, end: 10 }, { start: 1000, end: 536_870_912 }];
  assert.equal(formatRanges(list), "3, 5 to 9, 1000 to max");
});
