/** Modes and the text of findings. */
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
