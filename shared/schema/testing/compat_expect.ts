/**
 * Runs tables of compatibility rules: two texts, a mode, and each expected finding as `severity rule place`. All texts
 * of one table are compiled in two runs of buf.
 */
import { type CompatibilityMode, isCompatibilityMode } from "../../schema_id.ts";
import assert from "node:assert/strict";
import { compareDescriptors } from "../compatibility/compat.ts";
import { type Finding, formatFinding } from "../compatibility/findings.ts";
import { compileApart } from "./protos.ts";

/** One change. `PACKAGE` is replaced by a package name. */
interface ExpectedFindings {
  readonly name: string;
  before: string;
  after: string;
  /** Mode to the findings, in order; the place is what follows the package, `-` for the file. */
  readonly expected: Partial<Record<CompatibilityMode, string[]>>;
}

/** A text as a whole file: of proto3, unless it begins with `proto2` or `2023` or names its syntax. */
function whole(text: string): string {
  if (text.includes("syntax")) return text;
  const [, kind = "", body = ""] = /^(proto2 |2023 )?(.*)$/.exec(text)!;
  const head = kind === "2023 " ? 'edition = "2023"' : `syntax = "${kind.trim() || "proto3"}"`;
  return `${head}; package PACKAGE; ${body}`;
}

/** The changes of a table: a name, `- before`, `+ after`, and `MODE: findings` in one or more lines. */
function changesOf(table: string): ExpectedFindings[] {
  const changes: ExpectedFindings[] = [];
  for (const line of table.split("\n").map((one) => one.trim()).filter((one) => one !== "")) {
    const last = changes.at(-1);
    const [, mode, findings = ""] = /^([A-Z_]+):(.*)$/.exec(line) ?? [];
    if (line.startsWith("- ")) last!.before = whole(line.slice(2));
    else if (line.startsWith("+ ")) last!.after = whole(line.slice(2));
    else if (mode === undefined) changes.push({ name: line, before: "", after: "", expected: {} });
    else {
      assert.ok(isCompatibilityMode(mode), line);
      const more = findings.split(",").map((one) => one.trim()).filter((one) => one !== "");
      last!.expected[mode] = [...last!.expected[mode] ?? [], ...more];
    }
  }
  return changes;
}

function written(packageName: string, { severity, rule, message, field }: Finding): string {
  const place = [message, field].filter((part) => part !== "").join(".");
  return `${severity} ${rule} ${place.replace(`${packageName}.`, "") || "-"}`;
}

/** A test with one step per change; fails if findings differ in number, order, severity, rule or place. */
export function testFindings(what: string, table: string): void {
  Deno.test(what, (t) => expectFindings(t, table));
}

async function expectFindings(t: Deno.TestContext, table: string): Promise<void> {
  const changes = changesOf(table);
  for (const { name, before, after, expected } of changes) {
    assert.ok(before !== "" && after !== "" && Object.keys(expected).length > 0, name);
  }
  const texts = (side: "before" | "after") =>
    Object.fromEntries(changes.map((change, index) => [`p${index}`, change[side]]));
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
