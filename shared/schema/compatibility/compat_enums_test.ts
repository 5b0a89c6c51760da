/** Rules about enum values, aliases, and open against closed enums. */
import assert from "node:assert/strict";
import { readUnpackedSet } from "../descriptors/descriptor_set.ts";
import { testFindings } from "../testing/compat_expect.ts";
import { compileProtos } from "../testing/protos.ts";
import { compareDescriptors } from "./compat.ts";
import type { CompatibilityMode } from "../../schema_id.ts";
import { errorsOf, formatFinding } from "./findings.ts";

testFindings(
  "enum values keep their numbers, and numbers their meaning",
  `
  a value gets another number
  - enum E { Z = 0; A = 1; }
  + enum E { Z = 0; A = 2; }
  BACKWARD: error enum-value-renumbered E.A
  a value gets another number and the old one is reserved
  - enum E { Z = 0; A = 1; }
  + enum E { reserved 1; Z = 0; A = 2; }
  BACKWARD: warning enum-value-renumbered E.A
  two values swap
  - enum E { Z = 0; A = 1; B = 2; }
  + enum E { Z = 0; B = 1; A = 2; }
  FORWARD: error enum-value-reused E.A, error enum-value-reused E.B
  an alias goes, another comes
  - enum E { option allow_alias = true; Z = 0; A = 1; B = 1; C = 2; }
  + enum E { option allow_alias = true; Z = 0; B = 1; C = 2; D = 2; }
  FULL: warning enum-alias-removed E.B
  a value is removed, its number reserved but not its name
  - enum E { Z = 0; A = 1; B = 2; }
  + enum E { reserved 1, 2; reserved "A"; Z = 0; }
  FULL: warning enum-value-removed E.B
  reserved numbers and names are used again
  - enum E { reserved -5 to -1, 3 to 4; reserved "N"; Z = 0; }
  + enum E { reserved -5 to -1, 3; Z = 0; N = 7; F = 4; }
  FULL: error reserved-number-reused E.F, error reserved-name-reused E.N
`,
);

testFindings(
  "a value that a closed enum lacks is lost to its reader",
  `
  a closed enum whose value has another number knows the old one no more
  - proto2 enum E { Z = 0; A = 1; }
  + proto2 enum E { reserved 1; Z = 0; A = 2; }
  BACKWARD: error enum-value-renumbered E.A
  FORWARD: error enum-value-added E.A, warning enum-value-renumbered E.A
  an open enum that is closed
  - 2023 enum E { Z = 0; }
  + 2023 enum E { option features.enum_type = CLOSED; Z = 0; }
  BACKWARD: error enum-kind-changed E
  FORWARD:
  the first value of a closed enum is what absent fields have
  - proto2 enum E { A = 1; B = 2; }
  + proto2 enum E { B = 2; A = 1; }
  FULL: error enum-default-changed E.B
`,
);

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
