/**
 * Every row of the two published tables of compatibility (docs/compatibility.md repeats one), as pairs of tiny schemas
 * with our verdict. `PACKAGE` is replaced by a package name.
 */

/** Whether a mode of one direction allows the change. */
export type Verdict = "compatible" | "incompatible";

/** One row: the change, examples of it as [before, after], and our verdict. */
export interface CompatibilityCase {
  readonly change: string;
  readonly backward: Verdict;
  readonly forward: Verdict;
  readonly examples: readonly (readonly [string, string])[];
}

type Example = readonly [before: string, after: string];
type Row = readonly [
  change: string,
  verdict: Pick<CompatibilityCase, "backward" | "forward">,
  ...examples: Example[],
];

const ALWAYS = { backward: "compatible", forward: "compatible" } as const;
const NEVER = { backward: "incompatible", forward: "incompatible" } as const;
const BACKWARD = { ...NEVER, backward: "compatible" } as const;
const FORWARD = { ...NEVER, forward: "compatible" } as const;

const file3 = (body: string) => 'syntax = "proto3"; package PACKAGE;\n' + body;
const file2 = (body: string) => 'syntax = "proto2"; package PACKAGE;\n' + body;
const both3 = (before: string, after: string): Example => [file3(before), file3(after)];
const message = (body: string) => body === "" ? "message M {}" : `message M { ${body} }`;
const members3 = (before: string, after: string) => both3(message(before), message(after));
const members2 = (before: string, after: string): Example => [
  file2(message(before)),
  file2(message(after)),
];

/** A field `f = 1` that changes its type; `extra` is declared beside it. */
function retyped(before: string, after: string, extra: string = ""): Example {
  const message = (type: string) => `message M { ${type} f = 1; }\n${extra}`;
  return both3(message(before), message(after));
}

function eachWithEach(types: readonly string[]): Example[] {
  return types.flatMap((before) =>
    types.filter((after) => after !== before).map((after) => retyped(before, after))
  );
}

const ENUM = "enum E { E_ZERO = 0; E_ONE = 1; }";
const MESSAGES = "message A { int32 a = 1; } message B { int32 a = 1; }";
const A = "int32 a = 1;";
const AB = "int32 a = 1; int32 b = 2;";
const O_A = `oneof o { ${A} }`;
const O_AB = `oneof o { ${AB} }`;

const ROWS: readonly Row[] = [
  [
    "optional or repeated field added",
    ALWAYS,
    members3(A, `${A} string b = 2;`),
    members3(A, `${A} repeated int32 b = 2;`),
    members2("", "optional string b = 2;"),
  ],
  [
    "required field added or removed (proto2)",
    NEVER,
    members2("", "required int32 a = 1;"),
    members2("required int32 a = 1;", 'reserved 1; reserved "a";'),
  ],
  ["field removed, nothing reserved", NEVER, members3(A, "")],
  ["field removed, number reserved", ALWAYS, members3(A, "reserved 1;")],
  ["field removed, number and name reserved", ALWAYS, members3(A, 'reserved 1; reserved "a";')],
  ["field renamed, same number and type", ALWAYS, members3(A, "int32 b = 1;")],
  ["field number changed", NEVER, members3(A, "int32 a = 2;")],
  [
    "between int32, uint32, int64, uint64, bool",
    ALWAYS,
    ...eachWithEach(["int32", "uint32", "int64", "uint64", "bool"]),
  ],
  ["between sint32 and sint64", ALWAYS, ...eachWithEach(["sint32", "sint64"])],
  [
    "fixed32 to sfixed32 (and the 64-bit pair)",
    ALWAYS,
    ...eachWithEach(["fixed32", "sfixed32"]),
    ...eachWithEach(["fixed64", "sfixed64"]),
  ],
  ["int32 to sint32", NEVER, retyped("int32", "sint32"), retyped("int64", "sint64")],
  ["float to double", NEVER, retyped("float", "double"), retyped("float", "fixed32")],
  [
    "string to bytes",
    BACKWARD,
    retyped("string", "bytes"),
    retyped("repeated string", "repeated bytes"),
  ],
  [
    "bytes to string",
    FORWARD,
    retyped("bytes", "string"),
    retyped("map<int32, bytes>", "map<int32, string>"),
  ],
  [
    "int32 to enum, enum to int32",
    ALWAYS,
    retyped("int32", "E", ENUM),
    retyped("E", "int32", ENUM),
  ],
  [
    "scalar to message, or one message type to another",
    NEVER,
    ...["int32", "string"].map((type) => retyped(type, "A", MESSAGES)),
    retyped("A", "B", MESSAGES),
  ],
  [
    "singular string, bytes or message to repeated",
    BACKWARD,
    ...["string", "bytes"].map((type) => retyped(type, `repeated ${type}`)),
    retyped("A", "repeated A", MESSAGES),
  ],
  [
    "singular number to repeated",
    NEVER,
    ...["int32", "double"].map((type) => retyped(type, `repeated ${type}`)),
    retyped("E", "repeated E", ENUM),
  ],
  ["new field added to a oneof", ALWAYS, members3(O_A, `oneof o { ${A} string b = 2; }`)],
  ["one existing field moved into a new oneof", ALWAYS, members3(A, O_A), members3(A, O_AB)],
  ["two or more existing fields moved into one oneof", FORWARD, members3(AB, O_AB)],
  ["existing field moved into an existing oneof", FORWARD, members3(`${O_A} int32 b = 2;`, O_AB)],
  ["field moved out of a oneof to the message", BACKWARD, members3(O_AB, `${O_A} int32 b = 2;`)],
  ["field removed from a oneof", NEVER, members3(O_AB, O_A)],
  ["oneof renamed, members unchanged", ALWAYS, members3(O_AB, `oneof p { ${AB} }`)],
  ["message added", ALWAYS, both3("message M {}", "message M {} message N { int32 a = 1; }")],
  ["message removed", NEVER, both3("message M {} message N { int32 a = 1; }", "message M {}")],
  [
    "enum added or removed",
    ALWAYS,
    both3("message M {}", `message M {} ${ENUM}`),
    both3(`message M {} ${ENUM}`, "message M {}"),
  ],
  ["enum value renamed", ALWAYS, both3(ENUM, "enum E { E_ZERO = 0; E_UNO = 1; }")],
  ["enum value removed, nothing reserved", NEVER, both3(ENUM, "enum E { E_ZERO = 0; }")],
  [
    "package changed",
    NEVER,
    [file3(message(A)), `syntax = "proto3"; package PACKAGE.v2; ${message(A)}`],
  ],
  [
    "default value changed (proto2)",
    NEVER,
    members2("optional int32 a = 1 [default = 1];", "optional int32 a = 1 [default = 2];"),
    members2("optional string a = 1;", 'optional string a = 1 [default = "x"];'),
  ],
];

/** All rows, in the order of the table. */
export const COMPATIBILITY_CASES: readonly CompatibilityCase[] = ROWS.map((
  [change, verdict, ...examples],
) => ({ change, ...verdict, examples }));
