/** Rules about enum values, aliases, and open against closed enums. */
import assert from "node:assert/strict";
import { readUnpackedSet } from "../descriptors/descriptor_set.ts";
import { expectFindings } from "../testing/compat_expect.ts";
import { compileProtos } from "../testing/protos.ts";
import { compareDescriptors } from "./compat.ts";
import type { CompatibilityMode } from "../../schema_id.ts";
import { errorsOf, formatFinding } from "./findings.ts";

const proto2 = (body: string) => `syntax = "proto2"; package PACKAGE; ${body}`;

Deno.test("enum values keep their numbers, and numbers their meaning", async (t) => {
  await expectFindings(t, [
    {
      name: "a value gets another number",
      before: "enum E { Z = 0; A = 1; }",
      after: "enum E { Z = 0; A = 2; }",
      expected: { BACKWARD: ["error enum-value-renumbered E.A"] },
    },
    {
      name: "a value gets another number and the old one is reserved",
      before: "enum E { Z = 0; A = 1; }",
      after: "enum E { reserved 1; Z = 0; A = 2; }",
      expected: { BACKWARD: ["warning enum-value-renumbered E.A"] },
    },
    {
      name: "two values swap",
      before: "enum E { Z = 0; A = 1; B = 2; }",
      after: "enum E { Z = 0; B = 1; A = 2; }",
      expected: { FORWARD: ["error enum-value-reused E.A", "error enum-value-reused E.B"] },
    },
    {
      name: "an alias goes, another comes",
      before: "enum E { option allow_alias = true; Z = 0; A = 1; B = 1; C = 2; }",
      after: "enum E { option allow_alias = true; Z = 0; B = 1; C = 2; D = 2; }",
      expected: { FULL: ["warning enum-alias-removed E.B"] },
    },
    {
      name: "a value is removed, its number reserved but not its name",
      before: "enum E { Z = 0; A = 1; B = 2; }",
      after: 'enum E { reserved 1, 2; reserved "A"; Z = 0; }',
      expected: { FULL: ["warning enum-value-removed E.B"] },
    },
    {
      name: "reserved numbers and names are used again",
      before: 'enum E { reserved -5 to -1, 3 to 4; reserved "N"; Z = 0; }',
      after: "enum E { reserved -5 to -1, 3; Z = 0; N = 7; F = 4; }",
      expected: { FULL: ["error reserved-number-reused E.F", "error reserved-name-reused E.N"] },
    },
  ]);
});

Deno.test("a value that a closed enum lacks is lost to its reader", async (t) => {
  await expectFindings(t, [
    {
      name: "a closed enum whose value has another number knows the old one no more",
      before: proto2("enum E { Z = 0; A = 1; }"),
      after: proto2("enum E { reserved 1; Z = 0; A = 2; }"),
      expected: {
        BACKWARD: ["error enum-value-renumbered E.A"],
        FORWARD: ["error enum-value-added E.A", "warning enum-value-renumbered E.A"],
      },
    },
    {
      name: "an open enum that is closed",
      before: 'edition = "2023"; package PACKAGE; enum E { Z = 0; }',
      after: 'edition = "2023"; package PACKAGE; ' +
        "enum E { option features.enum_type = CLOSED; Z = 0; }",
      expected: { BACKWARD: ["error enum-kind-changed E"], FORWARD: [] },
    },
    {
      name: "the first value of a closed enum is what absent fields have",
      before: proto2("enum E { A = 1; B = 2; }"),
      after: proto2("enum E { B = 2; A = 1; }"),
      expected: { FULL: ["error enum-default-changed E.B"] },
    },
  ]);
});

Deno.test("a proto2 message reads a proto3 file's enum as closed, which Java and C++ do", async () => {
  const user = (body: string) =>
    `syntax = "proto2"; package p; import "e.proto"; message M { ${body} }`;
  const versions = (used: string, ...enums: readonly string[]) =>
    Promise.all(enums.map(async (values) =>
      readUnpackedSet(
        await compileProtos({
          "e.proto": `syntax = "proto3"; package p; enum E { Z = 0; ${values} }`,
          "m.proto": user(used),
        }),
      ).registry
    ));
  const found = async (used: string, mode: CompatibilityMode, before: string, after: string) => {
    const [from, to] = await versions(used, before, after);
    return compareDescriptors(from!, to!, mode).map(formatFinding).join("\n");
  };
  const added = await found("optional E e = 1;", "FORWARD", "", "A = 1;");
  assert.match(added, /enum-value-added/);
  const removed = await found(
    "repeated E e = 1;",
    "BACKWARD",
    "A = 1;",
    'reserved 1; reserved "A";',
  );
  assert.match(removed, /enum-value-removed/);
  assert.equal(await found("optional int32 e = 1;", "FULL", "", "A = 1;"), "");
});

Deno.test("a message that moves to proto2 reads an open enum as closed from then on", async () => {
  const [open, closed] = await Promise.all(
    ['syntax = "proto3"', 'syntax = "proto2"'].map(async (syntax) => {
      const label = syntax.includes("2") ? "optional" : "";
      return readUnpackedSet(
        await compileProtos({
          "e.proto": 'syntax = "proto3"; package p; enum E { Z = 0; }',
          "m.proto": `${syntax}; package p; import "e.proto"; message M { ${label} E e = 1; }`,
        }),
      ).registry;
    }),
  );
  const errors = (mode: CompatibilityMode) =>
    errorsOf(compareDescriptors(open!, closed!, mode)).map(({ rule, field }) => `${rule} ${field}`);
  assert.deepEqual(errors("BACKWARD"), ["enum-kind-changed e"]);
  assert.deepEqual(errors("FORWARD"), []);
});
