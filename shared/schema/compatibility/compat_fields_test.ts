/** Rules about fields that the published table omits or does not distinguish by direction. */
import { expectFindings } from "../testing/compat_expect.ts";

const proto2 = (body: string) => `syntax = "proto2"; package PACKAGE; ${body}`;
const EDITION = 'edition = "2023"; package PACKAGE; ';

Deno.test("values are judged in the direction in which they are read", async (t) => {
  await expectFindings(t, [
    {
      name: "a message reads as bytes, bytes do not read as a message",
      before: "message X {} message M { X f = 1; }",
      after: "message X {} message M { bytes f = 1; }",
      expected: {
        BACKWARD: ["warning field-type-changed M.f", "warning json-type-changed M.f"],
        FORWARD: ["error field-type-changed M.f"],
        FULL: ["error field-type-changed M.f"],
      },
    },
    {
      name: "an integer that gets narrower is a warning, as is its JSON form",
      before: "message M { int64 f = 1; }",
      after: "message M { int32 f = 1; }",
      expected: {
        BACKWARD: ["warning field-type-changed M.f", "warning json-type-changed M.f"],
        FORWARD: ["warning json-type-changed M.f"],
      },
    },
    {
      name: "a closed enum drops integers that it does not name",
      before: proto2("enum E { A = 0; } message M { optional int32 f = 1; }"),
      after: proto2("enum E { A = 0; } message M { optional E f = 1; }"),
      expected: {
        BACKWARD: ["error field-type-changed M.f"],
        FORWARD: ["warning json-type-changed M.f"],
      },
    },
    {
      name: "another enum is fine where it names the same numbers",
      before: "enum A { A0 = 0; A1 = 1; } enum B { B0 = 0; } message M { A f = 1; }",
      after: "enum A { A0 = 0; A1 = 1; } enum B { B0 = 0; } message M { B f = 1; }",
      expected: { BACKWARD: ["warning field-type-changed M.f"] },
    },
    {
      name: "a group is no message",
      before: proto2("message M { optional group F = 1 { optional int32 a = 1; } }"),
      after: proto2(
        "message M { message F { optional int32 a = 1; } optional F f = 1 [json_name='f']; }",
      ),
      expected: { FULL: ["error field-type-changed M.f"] },
    },
    {
      name: "an edition's delimited message is a group",
      before: EDITION + "message X {} message M { X f = 1; }",
      after: EDITION + "message X {} message M { X f = 1 [features.message_encoding=DELIMITED]; }",
      expected: { BACKWARD: ["error field-type-changed M.f"] },
    },
    {
      name: "packed or not is the same",
      before: "message M { repeated int32 f = 1; }",
      after: "message M { repeated int32 f = 1 [packed=false]; }",
      expected: { FULL: [] },
    },
  ]);
});

Deno.test("maps are lists of entries", async (t) => {
  await expectFindings(t, [
    {
      name: "another key, another value",
      before: "message M { map<string, int32> f = 1; map<int32, string> g = 2; }",
      after: "message M { map<int32, int32> f = 1; map<int32, int32> g = 2; }",
      expected: { BACKWARD: ["error field-type-changed M.f", "error field-type-changed M.g"] },
    },
    {
      name: "a map is no single message",
      before: "message E { string k = 1; int32 v = 2; } message M { map<string, int32> f = 1; }",
      after: "message E { string k = 1; int32 v = 2; } message M { E f = 1; }",
      expected: { FORWARD: ["error field-cardinality-changed M.f"] },
    },
  ]);
});

Deno.test("presence, defaults, UTF-8 and required are judged for their reader", async (t) => {
  await expectFindings(t, [
    {
      name: "required to optional breaks the older reader, optional to required the newer",
      before: proto2("message M { required int32 a = 1; optional int32 b = 2; }"),
      after: proto2("message M { optional int32 a = 1; required int32 b = 2; }"),
      expected: {
        BACKWARD: ["error required-changed M.b", "warning required-changed M.a"],
        FORWARD: ["error required-changed M.a", "warning required-changed M.b"],
        FULL: ["error required-changed M.a", "error required-changed M.b"],
      },
    },
    {
      name: "presence that is lost is a warning for who reads without it",
      before: "message M { optional int32 a = 1; }",
      after: "message M { int32 a = 1; }",
      expected: { BACKWARD: ["warning field-presence-changed M.a"], FORWARD: [] },
    },
    {
      name: "from proto2 to proto3",
      before: proto2("enum E { Z = 0; } message M { optional string a = 1 [default = 'x']; }"),
      after: "enum E { Z = 0; } message M { string a = 1; }",
      expected: {
        BACKWARD: [
          "error field-default-changed M.a",
          "warning syntax-changed -",
          "warning field-presence-changed M.a",
          "warning utf8-check-changed M.a",
        ],
        FORWARD: [
          "error enum-kind-changed E",
          "error field-default-changed M.a",
          "warning syntax-changed -",
        ],
      },
    },
    {
      name: "a default that says what held before is none",
      before: proto2("message M { optional int32 a = 1; optional double b = 2 [default = 1]; }"),
      after: proto2(
        "message M { optional int32 a = 1 [default = 0]; optional double b = 2 [default = 1.0]; }",
      ),
      expected: { FULL: [] },
    },
    {
      name: "a JSON name is a warning of its own",
      before: "message M { int32 a_b = 1; int32 c = 2; }",
      after: 'message M { int32 a_b = 1 [json_name="x"]; int32 d = 2; }',
      expected: {
        BACKWARD: [
          "warning json-name-changed M.a_b",
          "warning field-renamed M.d",
          "warning json-name-changed M.d",
        ],
      },
    },
  ]);
});

Deno.test("a silent change of a value is an error: merged keys, another first value", async (t) => {
  await expectFindings(t, [
    {
      name: "keys that the reader cannot hold are merged, where values only change",
      before: "message M { map<int32, int64> f = 1; map<uint32, bool> g = 2; }",
      after: "message M { map<bool, int32> f = 1; map<int32, bool> g = 2; }",
      expected: {
        BACKWARD: [
          "error field-type-changed M.f",
          "warning field-type-changed M.f",
          "warning json-type-changed M.f",
          "warning field-type-changed M.g",
        ],
        FORWARD: [
          "warning json-type-changed M.f",
          "warning json-type-changed M.f",
          "warning field-type-changed M.g",
        ],
      },
    },
    {
      name: "another enum, or a number in its place, with another first value is another default",
      before: proto2(
        "enum A { A1 = 1; A2 = 2; } enum B { B2 = 2; B1 = 1; } enum C { C1 = 1; C2 = 2; } " +
          "message M { optional A a = 1; optional A b = 2; optional A c = 3; optional B d = 4; optional C e = 5; }",
      ),
      after: proto2(
        "enum A { A1 = 1; A2 = 2; } enum B { B2 = 2; B1 = 1; } enum C { C1 = 1; C2 = 2; } " +
          "message M { optional B a = 1; optional int32 b = 2; optional C c = 3; optional B d = 4; optional C e = 5; }",
      ),
      expected: {
        BACKWARD: [
          "error field-default-changed M.a",
          "error field-default-changed M.b",
          "warning field-type-changed M.a",
          "warning json-type-changed M.b",
          "warning field-type-changed M.c",
        ],
      },
    },
  ]);
});
