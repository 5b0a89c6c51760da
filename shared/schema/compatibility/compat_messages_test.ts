/** Rules about messages: numbers, reservations, oneofs, extensions, and types in other files. */
import { expectFindings } from "../testing/compat_expect.ts";

const proto2 = (body: string) => `syntax = "proto2"; package PACKAGE; ${body}`;

Deno.test("numbers and names are not reused", async (t) => {
  await expectFindings(t, [
    {
      name: "two fields that swap their numbers",
      before: "message M { int32 a = 1; int32 b = 2; }",
      after: "message M { int32 b = 1; int32 a = 2; }",
      expected: {
        BACKWARD: [
          "error field-number-reused M.a",
          "error field-number-reused M.b",
          "warning json-name-changed M.a",
          "warning json-name-changed M.b",
        ],
      },
    },
    {
      name: "a number that changed after the old one was reserved",
      before: "message M { int32 a = 1; }",
      after: "message M { reserved 1; int32 a = 2; }",
      expected: { FULL: ["warning field-number-changed M.a"] },
    },
    {
      name: "a required field whose number changed is missed by the older version",
      before: proto2("message M { required int32 a = 1; }"),
      after: proto2("message M { reserved 1; optional int32 a = 2; }"),
      expected: {
        FULL: ["error required-field-removed M.a", "warning field-number-changed M.a"],
      },
    },
    {
      name: "a reserved number and a reserved name are used again",
      before: 'message M { reserved 2 to 5; reserved "a", "b"; }',
      after: "message M { reserved 2, 4 to 5; int32 a = 3; string b = 7; }",
      expected: {
        BACKWARD: [
          "error reserved-number-reused M.a",
          "error reserved-name-reused M.a",
          "error reserved-name-reused M.b",
        ],
      },
    },
    {
      name: "reservations that are dropped",
      before: 'message M { reserved 2 to max; reserved "a"; }',
      after: "message M { reserved 2 to 100, 200 to max; }",
      expected: { BACKWARD: ["error reservation-removed M", "error reservation-removed M"] },
    },
    {
      name: "reservations that are written in another way",
      before: "message M { reserved 2 to 5, 6; }",
      after: "message M { reserved 2, 3, 4 to 10; }",
      expected: { FULL: [] },
    },
  ]);
});

Deno.test("a oneof loses values only for readers that declare it", async (t) => {
  await expectFindings(t, [
    {
      name: "two oneofs that become one",
      before: "message M { oneof o { int32 a = 1; int32 b = 2; } oneof p { int32 c = 3; } }",
      after: "message M { oneof o { int32 a = 1; int32 b = 2; int32 c = 3; } }",
      expected: { BACKWARD: ["error oneof-changed M.c"], FORWARD: ["warning oneof-changed M.c"] },
    },
    {
      name: "the only member goes out",
      before: "message M { oneof o { int32 a = 1; } }",
      after: "message M { int32 a = 1; }",
      expected: { FULL: ["warning oneof-changed M.a"] },
    },
    {
      name: "a renamed oneof that also grows",
      before: "message M { oneof o { int32 a = 1; int32 b = 2; } }",
      after: "message M { oneof p { int32 a = 1; int32 b = 2; int32 c = 3; } }",
      expected: { FULL: ["warning oneof-renamed M.p"] },
    },
    {
      name: "a member that is removed and reserved",
      before: "message M { oneof o { int32 a = 1; int32 b = 2; } }",
      after: 'message M { reserved 2; reserved "b"; oneof o { int32 a = 1; } }',
      expected: { FULL: ["warning oneof-member-removed M.b"] },
    },
    {
      name: "proto3 optional is no oneof",
      before: "message M { optional int32 a = 1; }",
      after: "message M { oneof o { int32 a = 1; } }",
      expected: { FULL: ["warning oneof-changed M.a"] },
    },
  ]);
});

Deno.test("extensions are fields of the message that they extend", async (t) => {
  const base = "message M { extensions 100 to 199; }";
  await expectFindings(t, [
    {
      name: "an extension changes its type, another its name, a third goes",
      before: proto2(
        `${base} extend M { optional int32 a = 100; optional int32 b = 101; optional int32 c = 102; }`,
      ),
      after: proto2(`${base} extend M { optional string a = 100; optional int32 bb = 101; }`),
      expected: {
        FULL: [
          "error field-type-changed M.[p0.a]",
          "warning field-renamed M.[p0.bb]",
          "warning extension-removed M.[p0.c]",
        ],
      },
    },
    {
      name: "a range shrinks, with and without a reservation",
      before: proto2(`${base} message N { extensions 100 to 199; }`),
      after: proto2(
        "message M { extensions 100 to 149; } message N { extensions 100; reserved 101 to 199; }",
      ),
      expected: {
        BACKWARD: ["error extension-range-removed M", "warning extension-range-removed N"],
      },
    },
    {
      name: "a field takes a number that was left to extensions",
      before: proto2(base),
      after: proto2("message M { extensions 100 to 149, 151 to 199; optional int32 a = 150; }"),
      expected: { FORWARD: ["error extension-range-reused M.a"] },
    },
  ]);
});

Deno.test("types are found under their new names", async (t) => {
  await expectFindings(t, [
    {
      name: "a renamed message is one error, also for its fields and what is inside of it",
      before: "message Old { message In { int32 a = 1; } In in = 1; } message M { Old f = 1; }",
      after: "message New { message In { int32 a = 1; } In in = 1; } message M { New f = 1; }",
      expected: { FULL: ["error message-renamed New"] },
    },
    {
      name: "a changed package is one error for all that it renames",
      before: "message X { int32 a = 1; } enum E { Z = 0; } message M { X x = 1; E e = 2; }",
      after: 'syntax = "proto3"; package PACKAGE.v2; ' +
        "message X { string a = 1; } enum E { Z = 0; } message M { X x = 1; E e = 2; }",
      expected: { FULL: ["error package-changed -", "error field-type-changed v2.X.a"] },
    },
    {
      name: "a message that is its own field",
      before: "message M { M m = 1; repeated M n = 2; }",
      after: "message M { M m = 1; repeated M n = 2; map<string, M> o = 3; }",
      expected: { FULL_TRANSITIVE: [] },
    },
  ]);
});
