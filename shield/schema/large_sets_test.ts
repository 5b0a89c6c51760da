/**
 * Legal, large descriptor sets: while one is registered, checked, mapped or loaded, the event loop continues. Counted
 * in turns: work on the message thread runs between them.
 */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  DescriptorProtoSchema,
  EnumDescriptorProtoSchema,
  EnumValueDescriptorProtoSchema,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  OneofDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import type { DescriptorProto, EnumDescriptorProto } from "@bufbuild/protobuf/wkt";
import {
  readDescriptorSet,
  readUnpackedSet,
} from "../../shared/schema/descriptors/descriptor_set.ts";
import { SchemaError } from "../../shared/schema/schema_error.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { until } from "../../shared/testing/until.ts";
import { testSpine } from "../testing/spine.ts";
import { adminRequest, askJson } from "../admin/routing/testing/admin.ts";
import { SCHEMA_ROUTES } from "./capability.ts";
import { compileMessage } from "./validation/message_schema.ts";
import { createSetJobs } from "./registry/set_jobs.ts";
import { isSmallSet } from "./registry/set_work.ts";
import { type TestSchemas, testSchemas } from "./testing/registry.ts";
import { field, list, registryOf, rules } from "./testing/messages.ts";

const INT32 = 5;
const MESSAGE = 11;

interface Content {
  readonly messageType?: readonly DescriptorProto[];
  readonly enumType?: readonly EnumDescriptorProto[];
}

function packed({ messageType = [], enumType = [] }: Content): Uint8Array<ArrayBuffer> {
  const parts = { messageType: [...messageType], enumType: [...enumType] };
  const named = { name: "big.proto", package: "big", syntax: "proto3" };
  const file = create(FileDescriptorProtoSchema, { ...named, ...parts });
  const set = create(FileDescriptorSetSchema, { file: [file] });
  return new Uint8Array(gzipSync(toBinary(FileDescriptorSetSchema, set), { level: 9 }));
}

const numbered = <T>(count: number, make: (at: number) => T) =>
  Array.from({ length: count }, (_, at) => make(at));
const scalar = (at: number, oneof?: number) =>
  create(FieldDescriptorProtoSchema, {
    name: `f${at}`,
    number: at + 1,
    type: INT32,
    label: 1,
    ...(oneof === undefined ? {} : { oneofIndex: oneof }),
  });
const link = (number: number, to: string) =>
  create(FieldDescriptorProtoSchema, {
    name: `to${number}`,
    number,
    type: MESSAGE,
    label: 1,
    typeName: `.big.${to}`,
  });
const message = (name: string, fields: DescriptorProto["field"], more = {}) =>
  create(DescriptorProtoSchema, { name, field: fields, ...more });

/** `big.M0` is small and independent in each of them, except in the chain. */
const SETS: Readonly<Record<string, () => Uint8Array<ArrayBuffer>>> = {
  "9,000 messages of 19 fields": () =>
    packed({
      messageType: numbered(9_000, (at) => message(`M${at}`, numbered(19, (n) => scalar(n)))),
    }),
  "nested": () => {
    const nest = (depth: number): DescriptorProto =>
      message(`N${depth}`, numbered(19, (at) => scalar(at)), {
        nestedType: depth === 0 ? [] : [nest(depth - 1)],
      });
    const outer = numbered(120, (at) => message(`O${at}`, [], { nestedType: [nest(28)] }));
    return packed({ messageType: [message("M0", [scalar(0)]), ...outer] });
  },
  "oneofs": () => {
    const oneofs = numbered(60, (at) => create(OneofDescriptorProtoSchema, { name: `o${at}` }));
    const fields = numbered(60, (at) => scalar(at, at));
    const all = numbered(300, (at) => message(`M${at + 1}`, fields, { oneofDecl: oneofs }));
    return packed({ messageType: [message("M0", [scalar(0)]), ...all] });
  },
  "enums": () => {
    const enumType = numbered(120, (at) =>
      create(EnumDescriptorProtoSchema, {
        name: `E${at}`,
        value: numbered(1_000, (value) =>
          create(EnumValueDescriptorProtoSchema, { name: `E${at}_V${value}`, number: value })),
      }));
    return packed({ messageType: [message("M0", [scalar(0)])], enumType });
  },
};

/** All 9,000 messages are connected. */
const chain = () =>
  packed({
    messageType: numbered(9_000, (at) =>
      message(`M${at}`, [
        ...numbered(18, (field) => scalar(field)),
        ...(at === 8_999 ? [] : [link(19, `M${at + 1}`)]),
      ])),
  });

const ask = (
  { schemas }: TestSchemas,
  ...[method, path, type, body]: [method: string, path: string, type: string, body: unknown]
) => askJson(SCHEMA_ROUTES, schemas.admin, adminRequest(method, `/v1/${path}`, body, type));

const GZIP = "application/gzip";
const mapping = (message: string) =>
  JSON.stringify({ subject: "in.t.acme.r.x*", schema_id: "big", message: `big.${message}` });

/** Answers of workers arrive after this many turns, so that waiting is counted, too. */
const HELD_TURNS = 20;

/** Delays everything sent to workers, until disposed, by `HELD_TURNS`. */
function heldThreads(): Disposable {
  const { prototype } = Worker;
  const { postMessage } = prototype;
  prototype.postMessage = function (this: Worker, message: unknown) {
    const turn = (left: number): unknown =>
      left === 0 ? postMessage.call(this, message) : setImmediate(() => turn(left - 1));
    turn(HELD_TURNS);
  };
  return { [Symbol.dispose]: () => void (prototype.postMessage = postMessage) };
}

for (const [name, make] of Object.entries(SETS)) {
  Deno.test(`a large set does not stop the messages while it is pushed, checked and mapped: ${name}`, async () => {
    const bytes = make();
    assert.ok(!isSmallSet(bytes) && bytes.length < 500_000, `${bytes.length} bytes`);
    await using engine = testSpine();
    using t = await testSchemas(engine.spine);
    using _held = heldThreads();
    for (
      const [method, path, type, body] of [
        ["PUT", "schemas/big", GZIP, bytes],
        ["POST", "schemas/big/check", GZIP, bytes],
        ["PUT", "schemas/big", GZIP, bytes],
        ["PUT", "tenants/acme/mappings", "application/json", mapping("M0")],
      ] as const
    ) {
      const { value, turns } = await turnsDuring(() => ask(t, method, path, type, body));
      assert.equal(value.status, 200, JSON.stringify(value.body));
      // On this thread it would be three or four turns, for reading and writing.
      assert.ok(turns > 10, `${method} ${path}: ${turns} turns`);
    }
    const inForce = () => t.schemas.status().messages;
    await until("the message in force", () => JSON.stringify(inForce()).includes('"current":1'));
  });
}

Deno.test("a mapping to a message that needs too many parts of its schema is refused with that reason", async () => {
  await using engine = testSpine();
  using t = await testSchemas(engine.spine);
  assert.equal((await ask(t, "PUT", "schemas/big", GZIP, chain())).status, 200);
  const path = "tenants/acme/mappings";
  const { status, body } = await ask(t, "PUT", path, "application/json", mapping("M0"));
  assert.deepEqual([status, body.reason], [400, "invalid-settings"]);
  assert.match(String(body.detail), /M0 needs \d+ parts .*platform\.registry\.message_parts/);
  // The end of the chain is small.
  assert.equal((await ask(t, "PUT", path, "application/json", mapping("M8990"))).status, 200);
});

/** `t.Root` with a rule, an enum and a message of another, an extension, and types that it does not need. */
function mixed() {
  return registryOf({
    syntax: "proto2",
    messageType: [
      {
        name: "Root",
        field: [
          field("n", 1, "int32", { label: "LABEL_REQUIRED" }),
          field("text", 2, "string", rules({ string: { maxLen: "5" } })),
          field("kind", 3, ".t.Outer.Kind", { type: "TYPE_ENUM" }),
          list("inner", 4, ".t.Outer.Inner"),
        ],
        extensionRange: [{ start: 100, end: 200 }],
      },
      {
        name: "Outer",
        field: [field("unused", 1, "int32")],
        nestedType: [
          { name: "Inner", field: [field("id", 1, "int32", { label: "LABEL_REQUIRED" })] },
          { name: "Unused", field: [field("id", 1, "int32")] },
        ],
        enumType: [{ name: "Kind", value: [{ name: "A", number: 0 }, { name: "B", number: 1 }] }],
      },
      { name: "Other", field: [field("n", 1, "int32")] },
    ],
    extension: [field("more", 100, "string", { extendee: ".t.Root" })],
  });
}

Deno.test("a part cut out of a set judges as the whole set does", () => {
  const registry = mixed();
  const file = [...registry.files].map(({ proto }) => proto);
  const gzipped = new Uint8Array(
    gzipSync(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }))),
  );
  const cut = createSetJobs().cut(gzipped, ["t.Root", "t.Nobody"], 100_000);
  assert.ok("problem" in cut["t.Nobody"]!);
  const root = cut["t.Root"]!;
  assert.ok("gzipped" in root);
  const pruned = readDescriptorSet(root.gzipped).registry;
  assert.equal(pruned.getMessage("t.Other"), undefined);
  assert.equal(pruned.getMessage("t.Outer.Unused"), undefined);
  const [whole, small] = [registry, pruned].map((one) => compileMessage(one, "t.Root"));
  const texts = ["1202 6869", "1206 686968696869"];
  const others = ["1809", "2200", "2202 0801", "a206 0161", "a206 01ff", "a006 01"];
  for (const sample of ["", ...["", ...texts, ...others].map((rest) => `0807${rest}`)]) {
    const data = Uint8Array.fromHex(sample.replaceAll(" ", ""));
    const options = { unknown_fields: "refuse" } as const;
    assert.deepEqual(small!.validate(data, options), whole!.validate(data, options), sample);
  }
  assert.throws(() => readUnpackedSet(new Uint8Array([1])), SchemaError);
});
