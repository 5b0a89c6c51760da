/**
 * Validates the real transit feeds against the newest published schema: unchanged, truncated, without required fields,
 * and as JSON. Needs the data folder: `deno task test:external DIR`, which becomes `Deno.args[0]`.
 */
import assert from "node:assert/strict";
import {
  create,
  createFileRegistry,
  type FileRegistry,
  fromBinary,
  isFieldSet,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  compileMessage,
  type UnknownFields,
} from "../../shield/schema/validation/message_schema.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

const NEWEST = "44_2026-06-05_2dd229bb.proto";
const FEED = "transit_realtime.FeedMessage";
const LABEL_OPTIONAL = 1, LABEL_REQUIRED = 2;
const root = new URL("../../", import.meta.url).pathname;

function dataFolder(): string {
  const data = Deno.args[0];
  if (data === undefined) throw new Error("run this with `deno task test:external DIR`");
  return `${data}/gtfs-realtime`;
}

/** The newest version, compiled by buf. */
async function newestSet(): Promise<FileDescriptorSet> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-gtfs-" });
  await using _end = atEnd(() => Deno.remove(folder, { recursive: true }));
  await Deno.copyFile(`${dataFolder()}/versions/${NEWEST}`, `${folder}/gtfs-realtime.proto`);
  const args = ["run", "-A", "@bufbuild/buf", "build", folder, "--as-file-descriptor-set"];
  const buf = new Deno.Command(Deno.execPath(), {
    args: [...args, "-o", "-#format=bin"],
    cwd: root,
  });
  const { code, stdout, stderr } = await buf.output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return fromBinary(FileDescriptorSetSchema, stdout);
}

/** The same messages with nothing required, to encode incomplete ones. */
function lenient(set: FileDescriptorSet): FileRegistry {
  const copy = fromBinary(FileDescriptorSetSchema, toBinary(FileDescriptorSetSchema, set));
  const waiting = copy.file.flatMap((file) => file.messageType);
  for (const message of waiting) {
    for (const field of message.field) {
      if (field.label === LABEL_REQUIRED) field.label = LABEL_OPTIONAL;
    }
    waiting.push(...message.nestedType);
  }
  return createFileRegistry(copy);
}

const set = await newestSet();
const strict = createFileRegistry(set);
const schema = compileMessage(strict, FEED);
const lenient_feed = lenient(set).getMessage(FEED)!;

/** Every feed, by its path below `feeds`. */
async function feeds(): Promise<Map<string, Uint8Array>> {
  const folder = `${dataFolder()}/feeds`;
  const summary: { file: string }[] = JSON.parse(
    await Deno.readTextFile(`${folder}/summary.json`),
  );
  assert.ok(summary.length >= 19);
  const found = new Map<string, Uint8Array>();
  for (const { file } of summary) found.set(file, await Deno.readFile(`${folder}/${file}`));
  return found;
}

function judge(bytes: Uint8Array, unknown_fields: UnknownFields = "allow") {
  return schema.validate(bytes, { unknown_fields });
}

function varintEnd(bytes: Uint8Array, at: number): number {
  while (bytes[at]! > 0x7f) at++;
  return at + 1;
}

/** The ends of the feed's own records; all are length-delimited. */
function boundaries(bytes: Uint8Array): Set<number> {
  const ends = new Set<number>();
  for (let at = 0; at < bytes.length;) {
    assert.equal(bytes[at]! & 7, 2);
    const start = varintEnd(bytes, at);
    const end = varintEnd(bytes, start);
    let size = 0;
    for (let digit = end - 1; digit >= start; digit--) size = size * 128 + (bytes[digit]! & 0x7f);
    at = end + size;
    ends.add(at);
  }
  return ends;
}

Deno.test("every real feed passes, and only the New York ones have unknown fields", async () => {
  for (const [file, bytes] of await feeds()) {
    const before = bytes.slice();
    const allowed = judge(bytes);
    assert.deepEqual(allowed.violations, [], file);
    const new_york = file.startsWith("nyct/");
    assert.equal(allowed.unknown > 0, new_york, file);
    const warned = judge(bytes, "warn");
    assert.deepEqual(warned.violations, []);
    assert.equal(warned.unknown, allowed.unknown);
    assert.equal(warned.unknown_paths.length, Math.min(16, warned.unknown));
    const refused = judge(bytes, "refuse");
    assert.equal(refused.total, refused.unknown);
    for (const { rule } of refused.violations) assert.equal(rule, "unknown-field");
    if (new_york) assert.match(warned.unknown_paths[0] ?? "", /^(header|entity\[\d+\]).*\.1001$/);
    assert.deepEqual(bytes, before);
  }
});

Deno.test("a feed cut anywhere but between entities is refused with the path", async () => {
  for (const [file, bytes] of await feeds()) {
    const ends = boundaries(bytes);
    const step = Math.max(1, Math.floor(bytes.length / 300));
    for (let size = 0; size < bytes.length; size += step) {
      const found = judge(bytes.subarray(0, size));
      const where = `${file} cut to ${size} of ${bytes.length}`;
      if (size === 0) {
        assert.deepEqual(found.violations.map(({ path, rule }) => `${rule} ${path}`), [
          "required header",
        ]);
        continue;
      }
      assert.equal(found.total === 0, ends.has(size), where);
      if (found.total === 0) continue;
      assert.equal(found.violations[0]?.rule, "truncated", where);
      assert.match(found.violations[0]?.path ?? "", /^(header|entity\[\d+\])/, where);
    }
  }
});

/** Every nested message, with its path. */
function* messages(message: ReflectMessage, path = ""): Generator<[string, ReflectMessage]> {
  yield [path, message];
  const dot = path === "" ? "" : `${path}.`;
  for (const field of message.fields) {
    if (!isFieldSet(message.message, field)) continue;
    if (field.fieldKind === "message") {
      yield* messages(message.get(field), `${dot}${field.name}`);
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      let index = 0;
      for (const element of message.get(field) as Iterable<ReflectMessage>) {
        yield* messages(element, `${dot}${field.name}[${index++}]`);
      }
    }
  }
}

/** Names of the fields that the published schema requires. */
function requiredFields(type_name: string): string[] {
  const desc = strict.getMessage(type_name)!;
  return desc.fields.filter((field) => field.proto.label === LABEL_REQUIRED)
    .map((field) => field.name);
}

Deno.test("a feed without a required field, at any level, is refused with its path", async () => {
  const types = new Set<string>();
  for (const [file, bytes] of await feeds()) {
    const feed = reflect(lenient_feed, fromBinary(lenient_feed, bytes));
    const removable: [string, ReflectMessage, string][] = [];
    for (const [path, message] of messages(feed)) {
      for (const name of requiredFields(message.desc.typeName)) {
        removable.push([path === "" ? name : `${path}.${name}`, message, name]);
      }
    }
    assert.ok(removable.length >= 3, file);
    const step = Math.max(1, Math.floor(removable.length / 25));
    for (let at = 0; at < removable.length; at += step) {
      const [path, message, name] = removable[at]!;
      const field = message.fields.find((field) => field.name === name)!;
      const value = message.get(field);
      message.clear(field);
      const found = judge(toBinary(lenient_feed, feed.message as typeof lenient_message));
      assert.deepEqual(found.violations.map(({ path, rule }) => `${rule} ${path}`), [
        `required ${path}`,
      ], file);
      message.set(field, value);
      types.add(`${message.desc.name}.${name}`);
    }
    assert.equal(judge(toBinary(lenient_feed, feed.message as typeof lenient_message)).total, 0);
  }
  for (const type of ["FeedMessage.header", "FeedHeader.gtfs_realtime_version", "FeedEntity.id"]) {
    assert.ok(types.has(type), `${type} was never removed`);
  }
  assert.ok(types.has("Position.latitude") || types.has("Position.longitude"));
});

const lenient_message = create(lenient_feed);

Deno.test("the feeds pass as JSON too, and lack what they lack there", async () => {
  const encoder = new TextEncoder();
  const options = { unknown_fields: "refuse" } as const;
  for (const [file, bytes] of await feeds()) {
    const message = fromBinary(lenient_feed, bytes, { readUnknownFields: false });
    const text = toJsonString(lenient_feed, message);
    assert.deepEqual(schema.validateJson(encoder.encode(text), options).violations, [], file);
    const value = JSON.parse(text) as { entity: { id?: string; more?: number }[] };
    delete value.entity[0]!.id;
    const lacking = schema.validateJson(encoder.encode(JSON.stringify(value)), options);
    assert.deepEqual(lacking.violations.map(({ path }) => path), ["entity[0].id"], file);
    value.entity[0]!.more = 1;
    const stranger = schema.validateJson(encoder.encode(JSON.stringify(value)), options);
    assert.equal(stranger.violations[0]?.path, "entity[0].more", file);
  }
});
