/** Rules about messages: numbers, reservations, oneofs, extensions, and types in other files. */
import { testFindings } from "../testing/compat_expect.ts";

testFindings(
  "numbers and names are not reused",
  `
  two fields that swap their numbers
  - message M { int32 a = 1; int32 b = 2; }
  + message M { int32 b = 1; int32 a = 2; }
  BACKWARD: error field-number-reused M.a, error field-number-reused M.b, warning json-name-changed M.a
  BACKWARD: warning json-name-changed M.b
  a number that changed after the old one was reserved
  - message M { int32 a = 1; }
  + message M { reserved 1; int32 a = 2; }
  FULL: warning field-number-changed M.a
  a required field whose number changed is missed by the older version
  - proto2 message M { required int32 a = 1; }
  + proto2 message M { reserved 1; optional int32 a = 2; }
  FULL: error required-field-removed M.a, warning field-number-changed M.a
  a reserved number and a reserved name are used again
  - message M { reserved 2 to 5; reserved "a", "b"; }
  + message M { reserved 2, 4 to 5; int32 a = 3; string b = 7; }
  BACKWARD: error reserved-number-reused M.a, error reserved-name-reused M.a, error reserved-name-reused M.b
  reservations that are dropped
  - message M { reserved 2 to max; reserved "a"; }
  + message M { reserved 2 to 100, 200 to max; }
  BACKWARD: error reservation-removed M, error reservation-removed M
  reservations that are written in another way
  - message M { reserved 2 to 5, 6; }
  + message M { reserved 2, 3, 4 to 10; }
  FULL:
`,
);

testFindings(
  "a oneof loses values only for readers that declare it",
  `
  two oneofs that become one
  - message M { oneof o { int32 a = 1; int32 b = 2; } oneof p { int32 c = 3; } }
  + message M { oneof o { int32 a = 1; int32 b = 2; int32 c = 3; } }
  BACKWARD: error oneof-changed M.c
  FORWARD: warning oneof-changed M.c
  the only member goes out
  - message M { oneof o { int32 a = 1; } }
  + message M { int32 a = 1; }
  FULL: warning oneof-changed M.a
  a renamed oneof that also grows
  - message M { oneof o { int32 a = 1; int32 b = 2; } }
  + message M { oneof p { int32 a = 1; int32 b = 2; int32 c = 3; } }
  FULL: warning oneof-renamed M.p
  a member that is removed and reserved
  - message M { oneof o { int32 a = 1; int32 b = 2; } }
  + message M { reserved 2; reserved "b"; oneof o { int32 a = 1; } }
  FULL: warning oneof-member-removed M.b
  proto3 optional is no oneof
  - message M { optional int32 a = 1; }
  + message M { oneof o { int32 a = 1; } }
  FULL: warning oneof-changed M.a
`,
);

testFindings(
  "extensions are fields of the message that they extend",
  `
  an extension changes its type, another its name, a third goes
  - proto2 message M { extensions 100 to 199; } extend M { optional int32 a = 100; optional int32 b = 101; optional int32 c = 102; }
  + proto2 message M { extensions 100 to 199; } extend M { optional string a = 100; optional int32 bb = 101; }
  FULL: error field-type-changed M.[p0.a], warning field-renamed M.[p0.bb], warning extension-removed M.[p0.c]
  a range shrinks, with and without a reservation
  - proto2 message M { extensions 100 to 199; } message N { extensions 100 to 199; }
  + proto2 message M { extensions 100 to 149; } message N { extensions 100; reserved 101 to 199; }
  BACKWARD: error extension-range-removed M, warning extension-range-removed N
  a field takes a number that was left to extensions
  - proto2 message M { extensions 100 to 199; }
  + proto2 message M { extensions 100 to 149, 151 to 199; optional int32 a = 150; }
  FORWARD: error extension-range-reused M.a
`,
);

testFindings(
  "types are found under their new names",
  `
  a renamed message is one error, also for its fields and what is inside of it
  - message Old { message In { int32 a = 1; } In in = 1; } message M { Old f = 1; }
  + message New { message In { int32 a = 1; } In in = 1; } message M { New f = 1; }
  FULL: error message-renamed New
  a changed package is one error for all that it renames
  - message X { int32 a = 1; } enum E { Z = 0; } message M { X x = 1; E e = 2; }
  + syntax = "proto3"; package PACKAGE.v2; message X { string a = 1; } enum E { Z = 0; } message M { X x = 1; E e = 2; }
  FULL: error package-changed -, error field-type-changed v2.X.a
  a message that is its own field
  - message M { M m = 1; repeated M n = 2; }
  + message M { M m = 1; repeated M n = 2; map<string, M> o = 3; }
  FULL_TRANSITIVE:
`,
);
