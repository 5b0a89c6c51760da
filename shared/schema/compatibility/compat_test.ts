/** Whole schemas: several files, histories in each mode, and the limit of findings. */
import type { CompatibilityMode } from "../../schema_id.ts";
import assert from "node:assert/strict";
import { checkHistory, compareDescriptors } from "./compat.ts";
import { type DescriptorSet, readUnpackedSet } from "../descriptors/descriptor_set.ts";
import { errorsOf, FINDINGS_MAX, formatFinding } from "./findings.ts";
import { compileProtos } from "../testing/protos.ts";

const MAIN = `syntax = "proto3"; package shop;
import "part.proto"; import "google/protobuf/timestamp.proto";
message Order { Part part = 1; google.protobuf.Timestamp at = 2; }`;
const PART = 'syntax = "proto3"; package shop; message Part { int32 count = 1; }';

const read = async (files: Record<string, string>) => readUnpackedSet(await compileProtos(files));

Deno.test("a change in an imported file is reported where it is, once", async () => {
  const from = await read({ "main.proto": MAIN, "part.proto": PART });
  const to = await read({ "main.proto": MAIN, "part.proto": PART.replace("int32", "string") });
  const findings = compareDescriptors(from.set, to.set, "BACKWARD", { from: "1", to: "2" });
  assert.deepEqual(findings.map(formatFinding), [
    "error field-type-changed: part.proto: shop.Part.count: was int32, is string; the newer " +
    "version reads older data and finds another wire type or number format (1 → 2)",
  ]);
});

Deno.test("a type that moves to another file stays the same type", async () => {
  const from = await read({ "main.proto": MAIN, "part.proto": PART });
  const moved = { "main.proto": MAIN.replace("part.", "moved."), "moved.proto": PART };
  assert.deepEqual(compareDescriptors(from.set, (await read(moved)).set, "FULL"), []);
});

Deno.test("an imported file that goes is a warning, and libraries go silently", async () => {
  const from = await read({ "main.proto": MAIN, "part.proto": PART });
  const alone = 'syntax = "proto3"; package shop; message Order { reserved 1, 2; ' +
    'reserved "part", "at"; }';
  const findings = compareDescriptors(from.set, (await read({ "main.proto": alone })).set, "FULL");
  assert.deepEqual(
    findings.map(({ severity, rule, file, message }) => [severity, rule, file, message]),
    [["warning", "message-removed", "part.proto", "shop.Part"]],
  );
});

Deno.test("tighter protovalidate rules are a warning", async () => {
  // Field 1159 of FieldOptions, without the library, as a reader without it sees it.
  const options = (rule: string) =>
    `syntax = "proto2"; package v;
    import "google/protobuf/descriptor.proto";
    extend google.protobuf.FieldOptions { optional bytes rules = 1159; }
    message M { optional string a = 1 [(rules) = "${rule}"]; }`;
  const [from, to] = await Promise.all([
    read({ "a.proto": options("x") }),
    read({ "a.proto": options("y") }),
  ]);
  const [finding, ...more] = compareDescriptors(from.set, to.set, "BACKWARD");
  assert.deepEqual(more, []);
  assert.deepEqual([finding?.severity, finding?.rule], ["warning", "validation-rules-changed"]);
});

async function history(): Promise<DescriptorSet[]> {
  const text = (body: string) => `syntax = "proto3"; package h; message M { ${body} }`;
  const bodies = [
    "int32 a = 1; bytes b = 2;",
    "reserved 1; bytes b = 2;",
    "reserved 1; string b = 2;",
    "reserved 1; string b = 2; string c = 3;",
  ];
  return await Promise.all(bodies.map((body) => read({ "m.proto": text(body) })));
}

/** The rules that refuse the last version, with the versions it was compared with. */
function refusals(schemas: readonly DescriptorSet[], mode: CompatibilityMode): string[] {
  const versions = schemas.map(({ registry }, index) => ({
    version: String(index + 1),
    schema: registry,
  }));
  const candidate = versions.pop();
  assert.ok(candidate !== undefined);
  const findings = errorsOf(checkHistory(versions, candidate, mode));
  return findings.map(({ rule, from_version, to_version }) =>
    `${rule} ${from_version} → ${to_version}`
  );
}

Deno.test("a transitive mode compares the candidate with every version, others with the last", async () => {
  const schemas = await history();
  assert.deepEqual(refusals(schemas, "BACKWARD"), []);
  // Versions 1 and 2 have bytes; the same finding is reported once, with the later of them.
  assert.deepEqual(refusals(schemas, "BACKWARD_TRANSITIVE"), ["field-type-changed 2 → 4"]);
  assert.deepEqual(refusals(schemas, "FULL"), []);
  assert.deepEqual(refusals(schemas, "FULL_TRANSITIVE"), ["field-type-changed 2 → 4"]);
  assert.deepEqual(refusals(schemas, "FORWARD_TRANSITIVE"), []);
  assert.deepEqual(refusals(schemas.slice(0, 3), "BACKWARD"), ["field-type-changed 2 → 3"]);
  assert.deepEqual(refusals(schemas, "NONE"), []);
});

Deno.test("a first version is compatible with nothing to compare", async () => {
  const [first] = await history();
  assert.ok(first !== undefined);
  const candidate = { version: "1", schema: first.registry };
  assert.deepEqual(checkHistory([], candidate, "FULL_TRANSITIVE"), []);
});

Deno.test("findings are bounded, and warnings do not displace errors", async () => {
  const text = (prefix: string, type: string) => {
    const fields = Array.from(
      { length: 2 * FINDINGS_MAX },
      (_, n) => `int32 ${prefix}${n} = ${n + 1};`,
    );
    return `syntax = "proto3"; package q; message M { ${
      fields.join(" ")
    } } message N { ${type} f = 1; }`;
  };
  const from = await read({ "m.proto": text("a", "int32") });
  const to = await read({ "m.proto": text("b", "string") });
  const findings = compareDescriptors(from.set, to.set, "BACKWARD");
  assert.deepEqual(errorsOf(findings).map(({ message }) => message), ["q.N"]);
  assert.equal(findings.length, FINDINGS_MAX + 2);
  assert.ok(findings.some(({ rule }) => rule === "too-many-findings"));
});
