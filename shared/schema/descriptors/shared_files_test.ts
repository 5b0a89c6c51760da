/** Files that many schemas have in common exist once; identified by their bytes, and limited. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import {
  create,
  createFileRegistry,
  type FileRegistry,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  type FieldDescriptorProtoSchema,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  type FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { readDescriptorSet } from "./descriptor_set.ts";
import { sharedFiles } from "./shared_files.ts";

type File = MessageInitShape<typeof FileDescriptorProtoSchema>;

const WELL_KNOWN = [
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  file_buf_validate_validate,
].map(({ proto }) => proto);

const setOf = (file: File[]) => create(FileDescriptorSetSchema, { file });
const read = (...file: File[]): FileRegistry =>
  readDescriptorSet(gzipSync(toBinary(FileDescriptorSetSchema, setOf(file)))).registry;
const TIMESTAMP = "google/protobuf/timestamp.proto";

/** A file with a message `name` that has a field of each type. */
const own = (path: string, name: string, dependency: string[], types: string[] = []): File => ({
  name: path,
  syntax: "proto3",
  dependency,
  messageType: [{
    name,
    field: types.map((typeName, at) => ({
      name: `f${at}`,
      number: at + 1,
      label: Label.OPTIONAL,
      type: Type.MESSAGE,
      typeName,
    })),
  }],
});
const stamped = (name: string) =>
  own(`${name}.proto`, name, [TIMESTAMP], [".google.protobuf.Timestamp"]);

/** Another file with the name and the message of Google's timestamp. */
const forgedWith = (...field: MessageInitShape<typeof FieldDescriptorProtoSchema>[]): File => {
  const file = { name: TIMESTAMP, package: "google.protobuf", syntax: "proto3" };
  return { ...file, messageType: [{ name: "Timestamp", field }] };
};

Deno.test("common imports are stored once, and a schema's own files separately", () => {
  const one = read(...WELL_KNOWN, stamped("One"));
  const before = sharedFiles();
  const registries = Array.from({ length: 100 }, () => read(...WELL_KNOWN, stamped("Same")));
  assert.deepEqual(sharedFiles(), before, "nothing was added");
  for (const registry of registries) {
    for (const { name } of WELL_KNOWN) assert.equal(registry.getFile(name), one.getFile(name));
  }
  assert.equal(new Set(registries.map((each) => each.getMessage("Same"))).size, 100);
  const [first] = registries;
  const timestamp = one.getMessage("google.protobuf.Timestamp");
  assert.equal(first?.getMessage("Same")?.fields[0]?.message, timestamp);
});

Deno.test("a file of another content is another file, whatever its name", () => {
  const good = read(...WELL_KNOWN, stamped("A")).getMessage("google.protobuf.Timestamp");
  const forged = forgedWith({ name: "text", number: 1, label: Label.OPTIONAL, type: Type.STRING });
  const other = read(forged, stamped("B")).getMessage("google.protobuf.Timestamp");
  assert.deepEqual(other?.fields.map(({ name }) => name), ["text"]);
  const again = read(...WELL_KNOWN, stamped("A")).getMessage("google.protobuf.Timestamp");
  assert.equal(again, good);
  assert.deepEqual(good?.fields.map(({ name }) => name), ["seconds", "nanos"]);
});

Deno.test("the same file with other imports is linked to those", () => {
  const above = own("google/protobuf/above.proto", "Above", [TIMESTAMP], [
    ".google.protobuf.Timestamp",
  ]);
  const forged = forgedWith();
  const fields = (registry: FileRegistry) =>
    registry.getMessage("Above")?.fields[0]?.message?.fields.length;
  assert.equal(fields(read(...WELL_KNOWN, above)), 2);
  assert.equal(fields(read(forged, above)), 0);
  assert.equal(fields(read(...WELL_KNOWN, above)), 2);
});

Deno.test("a set is linked as by the linker alone, in any order of files", () => {
  const files = [
    own("c.proto", "C", [TIMESTAMP], [".google.protobuf.Timestamp"]),
    own("b.proto", "B", ["c.proto"], [".C"]),
    own("a.proto", "A", ["c.proto", "b.proto", TIMESTAMP], [".B", ".C"]),
  ];
  const expected = createFileRegistry(setOf([...WELL_KNOWN, ...files]));
  const names = (registry: FileRegistry) => [...registry].map(({ typeName }) => typeName).sort();
  for (const order of [files, files.toReversed()]) {
    const registry = read(...order, ...WELL_KNOWN);
    assert.deepEqual(names(registry), names(expected));
    assert.equal(registry.getMessage("A")?.fields[0]?.message, registry.getMessage("B"));
    const known = [...registry.files].map(({ proto }) => proto.name);
    assert.deepEqual(known.toSorted(), [...expected.files].map((file) => file.proto.name).sort());
  }
  assert.ok(read(...WELL_KNOWN).getMessage("google.protobuf.Duration"), "also without its own");
});

Deno.test("however many files claim well-known names, few bytes are stored", () => {
  const text = "x".repeat(40_000);
  for (let at = 0; at < 40; at++) {
    const file = { name: `google/protobuf/forged_${at}.proto`, syntax: "proto3" };
    read({ ...file, options: { goPackage: text }, messageType: [{ name: `Forged${at}` }] });
  }
  const { files, encoded_bytes } = sharedFiles();
  assert.ok(encoded_bytes <= 524_288 && encoded_bytes > 400_000, `${encoded_bytes} bytes`);
  assert.ok(files < 20, `${files} files`);
  assert.ok(read(...WELL_KNOWN, stamped("After")).getMessage("After"));
});

Deno.test("imports that multiply are walked once each", () => {
  // Each imports the two before it: 60 of them have a million million paths.
  const name = (at: number) => `google/protobuf/step_${at}.proto`;
  const steps = Array.from({ length: 60 }, (_, at) => ({
    ...own(name(at), `Step${at}`, [at - 1, at - 2].filter((one) => one >= 0).map(name)),
  }));
  for (let round = 0; round < 2; round++) {
    const registry = read(...steps);
    assert.equal([...registry.files].length, 60);
    assert.equal(registry.getFile(name(59))?.dependencies.length, 2);
  }
});
