/**
 * Runs tables of compatibility rules: two texts, a mode, and each expected finding as `severity rule place`. All texts
 * of one table are compiled in two runs of buf.
 */
import type { CompatibilityMode } from "../../schema_id.ts";
import assert from "node:assert/strict";
import { compareDescriptors } from "../compatibility/compat.ts";
import { type Finding, formatFinding } from "../compatibility/findings.ts";
import { compileApart } from "./protos.ts";

/** One change. `PACKAGE` is replaced by a package name; texts without `syntax` are proto3. */
export interface ExpectedFindings {
  readonly name: string;
  readonly before: string;
  readonly after: string;
  /** Mode to the findings, in order; the place is what follows the package, `-` for the file. */
  readonly expected: Readonly<Partial<Record<CompatibilityMode, readonly string[]>>>;
}

const whole = (text: string) =>
  text.includes("syntax") || text.includes("edition")
    ? text
    : `syntax = "proto3"; package PACKAGE; ${text}`;

function written(packageName: string, { severity, rule, message, field }: Finding): string {
  const place = [message, field].filter((part) => part !== "").join(".");
  return `${severity} ${rule} ${place.replace(`${packageName}.`, "") || "-"}`;
}

/** One step per change; fails if findings differ in number, order, severity, rule or place. */
export async function expectFindings(
  t: Deno.TestContext,
  changes: readonly ExpectedFindings[],
): Promise<void> {
  const texts = (side: "before" | "after") =>
    Object.fromEntries(changes.map((change, index) => [`p${index}`, whole(change[side])]));
  const [before, after] = await Promise.all([
    compileApart(texts("before")),
    compileApart(texts("after")),
  ]);
  for (const [index, { name, expected }] of changes.entries()) {
    await t.step(name, () => {
      const from = before.get(`p${index}`);
      const to = after.get(`p${index}`);
      assert.ok(from !== undefined && to !== undefined);
      for (const [mode, lines] of Object.entries(expected)) {
        const findings = compareDescriptors(from.registry, to.registry, mode as CompatibilityMode);
        const text = findings.map(formatFinding).join("\n");
        assert.deepEqual(findings.map((finding) => written(`p${index}`, finding)), lines, text);
      }
    });
  }
}
