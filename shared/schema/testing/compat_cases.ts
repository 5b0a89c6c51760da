/**
 * Every row of the two published views of compatibility (the table that docs/compatibility.md repeats),
 * as pairs of tiny schemas with our verdict. `PACKAGE` stands for a package name.
 */

/** Whether a mode of one direction takes the change. */
export type Verdict = "compatible" | "incompatible";

/** One row: the change, examples of it as [before, after], and what we say about it. */
export interface CompatibilityCase {
  readonly change: string;
  readonly backward: Verdict;
  readonly forward: Verdict;
  readonly examples: readonly (readonly [string, string])[];
}

const ALWAYS = { backward: "compatible", forward: "compatible" } as const;
const NEVER = { backward: "incompatible", forward: "incompatible" } as const;
const BACKWARD = { ...NEVER, backward: "compatible" } as const;
const FORWARD = { ...NEVER, forward: "compatible" } as const;

const PROTO3 = 'syntax = "proto3"; package PACKAGE;\n';
const PROTO2 = 'syntax = "proto2"; package PACKAGE;\n';

const file3 = (body: string) => PROTO3 + body;
const file2 = (body: string) => PROTO2 + body;
const both3 = (before: string, after: string) => [file3(before), file3(after)] as const;
const both2 = (before: string, after: string) => [file2(before), file2(after)] as const;

/** A field `f = 1` of one type that becomes another; `extra` is declared beside. */
function retyped(before: string, after: string, extra: string = ""): readonly [string, string] {
  const message = (type: string) => `message M { ${type} f = 1; }\n${extra}`;
  return both3(message(before), message(after));
}

/** Each type to each other one. */
function eachWithEach(types: readonly string[]): (readonly [string, string])[] {
  return types.flatMap((before) =>
    types.filter((after) => after !== before).map((after) => retyped(before, after))
  );
}

const ENUM = "enum E { E_ZERO = 0; E_ONE = 1; }";
const MESSAGES = "message A { int32 a = 1; } message B { int32 a = 1; }";

const FIELDS: CompatibilityCase[] = [
  {
    change: "optional or repeated field added",
    ...ALWAYS,
    examples: [
      both3("message M { int32 a = 1; }", "message M { int32 a = 1; string b = 2; }"),
      both3("message M { int32 a = 1; }", "message M { int32 a = 1; repeated int32 b = 2; }"),
      both2("message M {}", "message M { optional string b = 2; }"),
    ],
  },
  {
    change: "required field added or removed (proto2)",
    ...NEVER,
    examples: [
      both2("message M {}", "message M { required int32 a = 1; }"),
      both2("message M { required int32 a = 1; }", 'message M { reserved 1; reserved "a"; }'),
    ],
  },
  {
    change: "field removed, nothing reserved",
    ...NEVER,
    examples: [both3("message M { int32 a = 1; }", "message M {}")],
  },
  {
    change: "field removed, number reserved",
    ...ALWAYS,
    examples: [both3("message M { int32 a = 1; }", "message M { reserved 1; }")],
  },
  {
    change: "field removed, number and name reserved",
    ...ALWAYS,
    examples: [both3("message M { int32 a = 1; }", 'message M { reserved 1; reserved "a"; }')],
  },
  {
    change: "field renamed, same number and type",
    ...ALWAYS,
    examples: [both3("message M { int32 a = 1; }", "message M { int32 b = 1; }")],
  },
  {
    change: "field number changed",
    ...NEVER,
    examples: [both3("message M { int32 a = 1; }", "message M { int32 a = 2; }")],
  },
];

const TYPES: CompatibilityCase[] = [
  {
    change: "between int32, uint32, int64, uint64, bool",
    ...ALWAYS,
    examples: eachWithEach(["int32", "uint32", "int64", "uint64", "bool"]),
  },
  {
    change: "between sint32 and sint64",
    ...ALWAYS,
    examples: eachWithEach(["sint32", "sint64"]),
  },
  {
    change: "fixed32 to sfixed32 (and the 64-bit pair)",
    ...ALWAYS,
    examples: [...eachWithEach(["fixed32", "sfixed32"]), ...eachWithEach(["fixed64", "sfixed64"])],
  },
  {
    change: "int32 to sint32",
    ...NEVER,
    examples: [retyped("int32", "sint32"), retyped("int64", "sint64")],
  },
  {
    change: "float to double",
    ...NEVER,
    examples: [retyped("float", "double"), retyped("float", "fixed32")],
  },
  {
    change: "string to bytes",
    ...BACKWARD,
    examples: [retyped("string", "bytes"), retyped("repeated string", "repeated bytes")],
  },
  {
    change: "bytes to string",
    ...FORWARD,
    examples: [retyped("bytes", "string"), retyped("map<int32, bytes>", "map<int32, string>")],
  },
  {
    change: "int32 to enum, enum to int32",
    ...ALWAYS,
    examples: [retyped("int32", "E", ENUM), retyped("E", "int32", ENUM)],
  },
  {
    change: "scalar to message, or one message type to another",
    ...NEVER,
    examples: [
      retyped("int32", "A", MESSAGES),
      retyped("string", "A", MESSAGES),
      retyped("A", "B", MESSAGES),
    ],
  },
  {
    change: "singular string, bytes or message to repeated",
    ...BACKWARD,
    examples: [
      retyped("string", "repeated string"),
      retyped("bytes", "repeated bytes"),
      retyped("A", "repeated A", MESSAGES),
    ],
  },
  {
    change: "singular number to repeated",
    ...NEVER,
    examples: [
      retyped("int32", "repeated int32"),
      retyped("double", "repeated double"),
      retyped("E", "repeated E", ENUM),
    ],
  },
];

const ONEOFS: CompatibilityCase[] = [
  {
    change: "new field added to a oneof",
    ...ALWAYS,
    examples: [
      both3(
        "message M { oneof o { int32 a = 1; } }",
        "message M { oneof o { int32 a = 1; string b = 2; } }",
      ),
    ],
  },
  {
    change: "one existing field moved into a new oneof",
    ...ALWAYS,
    examples: [
      both3("message M { int32 a = 1; }", "message M { oneof o { int32 a = 1; } }"),
      both3("message M { int32 a = 1; }", "message M { oneof o { int32 a = 1; int32 b = 2; } }"),
    ],
  },
  {
    change: "two or more existing fields moved into one oneof",
    ...FORWARD,
    examples: [
      both3(
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
      ),
    ],
  },
  {
    change: "existing field moved into an existing oneof",
    ...FORWARD,
    examples: [
      both3(
        "message M { oneof o { int32 a = 1; } int32 b = 2; }",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
      ),
    ],
  },
  {
    change: "field moved out of a oneof to the message",
    ...BACKWARD,
    examples: [
      both3(
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        "message M { oneof o { int32 a = 1; } int32 b = 2; }",
      ),
    ],
  },
  {
    change: "field removed from a oneof",
    ...NEVER,
    examples: [
      both3(
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        "message M { oneof o { int32 a = 1; } }",
      ),
    ],
  },
  {
    change: "oneof renamed, members unchanged",
    ...ALWAYS,
    examples: [
      both3(
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        "message M { oneof p { int32 a = 1; int32 b = 2; } }",
      ),
    ],
  },
];

const DECLARATIONS: CompatibilityCase[] = [
  {
    change: "message added",
    ...ALWAYS,
    examples: [both3("message M {}", "message M {} message N { int32 a = 1; }")],
  },
  {
    change: "message removed",
    ...NEVER,
    examples: [both3("message M {} message N { int32 a = 1; }", "message M {}")],
  },
  {
    change: "enum added or removed",
    ...ALWAYS,
    examples: [
      both3("message M {}", `message M {} ${ENUM}`),
      both3(`message M {} ${ENUM}`, "message M {}"),
    ],
  },
  {
    change: "enum value renamed",
    ...ALWAYS,
    examples: [both3(ENUM, "enum E { E_ZERO = 0; E_UNO = 1; }")],
  },
  {
    change: "enum value removed, nothing reserved",
    ...NEVER,
    examples: [both3(ENUM, "enum E { E_ZERO = 0; }")],
  },
  {
    change: "package changed",
    ...NEVER,
    examples: [[
      file3("message M { int32 a = 1; }"),
      'syntax = "proto3"; package PACKAGE.v2; message M { int32 a = 1; }',
    ]],
  },
  {
    change: "default value changed (proto2)",
    ...NEVER,
    examples: [
      both2(
        "message M { optional int32 a = 1 [default = 1]; }",
        "message M { optional int32 a = 1 [default = 2]; }",
      ),
      both2(
        "message M { optional string a = 1; }",
        'message M { optional string a = 1 [default = "x"]; }',
      ),
    ],
  },
];

/** All rows, in the order of the table. */
export const COMPATIBILITY_CASES: readonly CompatibilityCase[] = [
  ...FIELDS,
  ...TYPES,
  ...ONEOFS,
  ...DECLARATIONS,
];
