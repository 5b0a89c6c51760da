/** Text from descriptors, checked by the real compiler: it must produce the same descriptors. */
import assert from "node:assert/strict";
import { createRegistry, toJson } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  file_buf_validate_validate,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { protoText } from "./proto_text.ts";
import { buildSchema, type BuiltSchema } from "./schema_build.ts";
import { diskIo, folderWith } from "../testing/disk_io.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

const textsOf = ({ schema, files }: BuiltSchema) =>
  Object.fromEntries(files.map((path) => {
    const file = schema.registry.getFile(path);
    assert.ok(file, path);
    return [path, protoText(file, schema.registry)];
  }));

const descriptorsOf = ({ schema, files }: BuiltSchema) =>
  files.map((path) => {
    const file = schema.registry.getFile(path);
    assert.ok(file, path);
    return toJson(FileDescriptorProtoSchema, file.proto, { registry: schema.registry });
  });

async function comesBack(path: string): Promise<Record<string, string>> {
  const built = await buildSchema(diskIo(ROOT), path);
  const texts = textsOf(built);
  await using folder = await folderWith(texts);
  const again = await buildSchema(diskIo(folder.path), ".");
  assert.deepEqual(descriptorsOf(again), descriptorsOf(built));
  return texts;
}

const PROTO2 = `syntax = "proto2";
package a.old;
import public "google/protobuf/timestamp.proto";
import "google/protobuf/descriptor.proto";
option java_package = "x\\"y\\\\z";
enum Kind { option allow_alias = true; reserved 7, 10 to 20, 40 to max; reserved "GONE"; A = 0; B = 1 [deprecated = true]; C = 1; NEG = -3; }
message Note { required string text = 1; optional bytes raw = 2; repeated Kind kinds = 3 [packed = true]; }
extend google.protobuf.FieldOptions { optional Note note = 50001; repeated int32 marks = 50002; optional Kind kind_of = 50003; }
extend google.protobuf.MessageOptions { optional double ratio = 50001; }
message M {
  option (ratio) = -1.5;
  extensions 100 to 199, 1000 to max;
  reserved 50, 60 to 69;
  reserved "was", "gone";
  required string id = 1 [default = "a\\"\\n\\t\\\\é"];
  optional bytes b = 2 [default = "\\000\\377q"];
  optional float f = 3 [default = -inf];
  optional double d = 4 [default = nan];
  optional Kind kind = 5 [default = B, (note) = { text: "line\\nbreak", raw: "\\001\\"", kinds: [A, B] }, (marks) = 1, (marks) = -2, (kind_of) = C];
  optional sint64 s = 6 [default = -9223372036854775808, jstype = JS_STRING];
  optional string named = 7 [json_name = "other-name", deprecated = true];
  oneof choice { google.protobuf.Timestamp at = 8; int32 number = 9; }
  map<string, Inner> inner = 10;
  repeated group Part = 11 { optional int32 n = 1; optional M parent = 2; }
  message Inner { optional fixed32 x = 1; message Deep { optional Inner up = 1; extend M { optional Deep deep = 100; } } }
  enum Local { L = 0; }
  optional Local local = 12;
}
extend M { optional string extra = 101; optional M.Inner.Deep more = 102; }
service S { option deprecated = true; rpc Get(M) returns (stream M); rpc Put(stream M) returns (M) { option idempotency_level = IDEMPOTENT; } }
`;

const PROTO3 = `syntax = "proto3";
package a.b.c;
import "buf/validate/validate.proto";
import "google/protobuf/duration.proto";
message a { string x = 1; }
message M {
  optional string nick = 1 [(buf.validate.field).string = { min_len: 1, pattern: "^\\\\d+$" }];
  google.protobuf.Duration wait = 2 [(buf.validate.field).required = true];
  map<int32, .a.b.c.M> more = 3;
  repeated double values = 4 [packed = false, (buf.validate.field).repeated = { max_items: 3, items: { double: { finite: true, in: [1, 2.5] } } }];
  oneof either { option (buf.validate.oneof).required = true; a one = 5; string two = 6; }
  option (buf.validate.message).cel = { id: "m", message: "no", expression: "this.values.size() < 3" };
}
`;

const EDITIONS = `edition = "2023";
package ed;
option features.field_presence = IMPLICIT;
enum Closed { option features.enum_type = CLOSED; ONE = 1; }
message M {
  reserved old_one;
  reserved 9 to 11;
  string implicit = 1;
  string explicit = 2 [features.field_presence = EXPLICIT];
  M must = 3 [features.field_presence = LEGACY_REQUIRED];
  repeated int32 expanded = 4 [features.repeated_field_encoding = EXPANDED];
  M part = 5 [features.message_encoding = DELIMITED];
}
`;

Deno.test("edition 2024 keeps exports, and imports for options only", async () => {
  await using folder = await folderWith({
    "marks.proto": `edition = "2024";
package ed;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FieldOptions { string mark = 50001; }
`,
    "shown.proto": `edition = "2024";
package ed;
import option "marks.proto";
option features.default_symbol_visibility = LOCAL_ALL;
export message Shown { string id = 1 [(mark) = "here"]; Kept kept = 2; export message Inner { Kind kind = 1; } }
local message Kept { string id = 1; }
message Plain { string id = 1; }
export enum Kind { KIND_NONE = 0; }
local enum Own { OWN_NONE = 0; }
`,
  });
  const { "shown.proto": text = "" } = await comesBack(folder.path);
  assert.match(text, /^import option "marks.proto";$/m);
});

Deno.test("text of every construct compiles to the same descriptors", async () => {
  for (const [name, text] of Object.entries({ PROTO2, PROTO3, EDITIONS })) {
    await using folder = await folderWith({ [`dir/${name.toLowerCase()}.proto`]: text });
    await comesBack(folder.path);
  }
});

Deno.test("text of our own protocol compiles to the same descriptors", async () => {
  const texts = await comesBack(`${ROOT}proto`);
  assert.match(texts["arqon/v1/envelope.proto"] ?? "", /map<string, string> headers = 5;/);
});

Deno.test("the rules' own file is reproduced completely, with every predefined rule", async () => {
  const file = file_buf_validate_validate;
  const registry = createRegistry(file, ...file.dependencies);
  await using folder = await folderWith({ [file.proto.name]: protoText(file, registry) });
  const built = await buildSchema(diskIo(folder.path), ".");
  const json = toJson(FileDescriptorProtoSchema, file.proto, { registry });
  const [again] = descriptorsOf(built);
  // JSON names that follow from the name are omitted in the package, and filled in by the compiler.
  const strip = (value: unknown) =>
    JSON.parse(JSON.stringify(value, (key, one) => key === "jsonName" ? undefined : one));
  assert.deepEqual(strip(again), strip(json));
});

Deno.test("names are as short as scoping allows, and fully dotted where they would mislead", async () => {
  await using folder = await folderWith({
    "x.proto": `syntax = "proto3";
package a.b;
message Out { message In { Out up = 1; .a.b.In other = 2; In self = 3; } In in = 1; }
message In { .a.b.Out.In nested = 1; }
message b { .a.b.b self = 1; }
`,
  });
  const built = await buildSchema(diskIo(folder.path), ".");
  const text = textsOf(built)["x.proto"] ?? "";
  assert.match(text, /Out up = 1;\n {4}\.?(a\.)?b\.In other = 2;|\.a\.b\.In other = 2;/);
  assert.match(text, /In self = 3;/);
  assert.match(text, /Out\.In nested = 1;/);
  await comesBack(folder.path);
});
