/** Rules about fields that the published table omits or does not distinguish by direction. */
import { testFindings } from "../testing/compat_expect.ts";

testFindings(
  "values are judged in the direction in which they are read",
  `
  a message reads as bytes, bytes do not read as a message
  - message X {} message M { X f = 1; }
  + message X {} message M { bytes f = 1; }
  BACKWARD: warning field-type-changed M.f, warning json-type-changed M.f
  FORWARD: error field-type-changed M.f
  FULL: error field-type-changed M.f
  an integer that gets narrower is a warning, as is its JSON form
  - message M { int64 f = 1; }
  + message M { int32 f = 1; }
  BACKWARD: warning field-type-changed M.f, warning json-type-changed M.f
  FORWARD: warning json-type-changed M.f
  a closed enum drops integers that it does not name
  - proto2 enum E { A = 0; } message M { optional int32 f = 1; }
  + proto2 enum E { A = 0; } message M { optional E f = 1; }
  BACKWARD: error field-type-changed M.f
  FORWARD: warning json-type-changed M.f
  another enum is fine where it names the same numbers
  - enum A { A0 = 0; A1 = 1; } enum B { B0 = 0; } message M { A f = 1; }
  + enum A { A0 = 0; A1 = 1; } enum B { B0 = 0; } message M { B f = 1; }
  BACKWARD: warning field-type-changed M.f
  a group is no message
  - proto2 message M { optional group F = 1 { optional int32 a = 1; } }
  + proto2 message M { message F { optional int32 a = 1; } optional F f = 1 [json_name='f']; }
  FULL: error field-type-changed M.f
  an edition's delimited message is a group
  - 2023 message X {} message M { X f = 1; }
  + 2023 message X {} message M { X f = 1 [features.message_encoding=DELIMITED]; }
  BACKWARD: error field-type-changed M.f
  packed or not is the same
  - message M { repeated int32 f = 1; }
  + message M { repeated int32 f = 1 [packed=false]; }
  FULL:
`,
);

testFindings(
  "maps are lists of entries",
  `
  another key, another value
  - message M { map<string, int32> f = 1; map<int32, string> g = 2; }
  + message M { map<int32, int32> f = 1; map<int32, int32> g = 2; }
  BACKWARD: error field-type-changed M.f, error field-type-changed M.g
  a map is no single message
  - message E { string k = 1; int32 v = 2; } message M { map<string, int32> f = 1; }
  + message E { string k = 1; int32 v = 2; } message M { E f = 1; }
  FORWARD: error field-cardinality-changed M.f
`,
);

testFindings(
  "presence, defaults, UTF-8 and required are judged for their reader",
  `
  required to optional breaks the older reader, optional to required the newer
  - proto2 message M { required int32 a = 1; optional int32 b = 2; }
  + proto2 message M { optional int32 a = 1; required int32 b = 2; }
  BACKWARD: error required-changed M.b, warning required-changed M.a
  FORWARD: error required-changed M.a, warning required-changed M.b
  FULL: error required-changed M.a, error required-changed M.b
  presence that is lost is a warning for who reads without it
  - message M { optional int32 a = 1; }
  + message M { int32 a = 1; }
  BACKWARD: warning field-presence-changed M.a
  FORWARD:
  from proto2 to proto3
  - proto2 enum E { Z = 0; } message M { optional string a = 1 [default = 'x']; }
  + enum E { Z = 0; } message M { string a = 1; }
  BACKWARD: error field-default-changed M.a, warning syntax-changed -, warning field-presence-changed M.a
  BACKWARD: warning utf8-check-changed M.a
  FORWARD: error enum-kind-changed E, error field-default-changed M.a, warning syntax-changed -
  a default that says what held before is none
  - proto2 message M { optional int32 a = 1; optional double b = 2 [default = 1]; }
  + proto2 message M { optional int32 a = 1 [default = 0]; optional double b = 2 [default = 1.0]; }
  FULL:
  a JSON name is a warning of its own
  - message M { int32 a_b = 1; int32 c = 2; }
  + message M { int32 a_b = 1 [json_name="x"]; int32 d = 2; }
  BACKWARD: warning json-name-changed M.a_b, warning field-renamed M.d, warning json-name-changed M.d
`,
);

testFindings(
  "a silent change of a value is an error: merged keys, another first value",
  `
  keys that the reader cannot hold are merged, where values only change
  - message M { map<int32, int64> f = 1; map<uint32, bool> g = 2; }
  + message M { map<bool, int32> f = 1; map<int32, bool> g = 2; }
  BACKWARD: error field-type-changed M.f, warning field-type-changed M.f, warning json-type-changed M.f
  BACKWARD: warning field-type-changed M.g
  FORWARD: warning json-type-changed M.f, warning json-type-changed M.f, warning field-type-changed M.g
  another enum, or a number in its place, with another first value is another default
  - proto2 enum A { A1 = 1; A2 = 2; } enum B { B2 = 2; B1 = 1; } enum C { C1 = 1; C2 = 2; } message M { optional A a = 1; optional A b = 2; optional A c = 3; optional B d = 4; optional C e = 5; }
  + proto2 enum A { A1 = 1; A2 = 2; } enum B { B2 = 2; B1 = 1; } enum C { C1 = 1; C2 = 2; } message M { optional B a = 1; optional int32 b = 2; optional C c = 3; optional B d = 4; optional C e = 5; }
  BACKWARD: error field-default-changed M.a, error field-default-changed M.b, warning field-type-changed M.a
  BACKWARD: warning json-type-changed M.b, warning field-type-changed M.c
`,
);
