// Codecs alone: a real validator (zod), test validators for features that zod lacks, and Protobuf-ES.
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { z } from "zod";
import { standardCodec, type StandardResult, type StandardSchema } from "./typed_room.ts";
import { protobufCodec } from "../protobuf.ts";
import { refusedWith } from "../testing/scripted_peer.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const chat = z.object({ text: z.string().max(5), tags: z.array(z.string()).optional() });

function schemaOf<T>(
  validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>,
): StandardSchema<unknown, T> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

Deno.test("a zod schema is a codec: JSON that is checked both ways", async () => {
  const codec = standardCodec(chat, { schema_id: "chat.v1" });
  assert.deepEqual([codec.content_type, codec.schema_id], ["application/json", "chat.v1"]);
  const data = codec.encode({ text: "hi", tags: ["a"] });
  assert.equal(new TextDecoder().decode(data), '{"text":"hi","tags":["a"]}');
  const value: { text: string } = await codec.decode(data);
  assert.deepEqual(value, { text: "hi", tags: ["a"] });
  assert.throws(() => codec.encode({ text: "too long" }), refusedWith("schema-violation"));
  assert.throws(() => codec.decode(bytes('{"text":1}')), refusedWith("schema-violation"));
  assert.throws(() => codec.decode(bytes("{")), SyntaxError);
  assert.throws(() => codec.decode(new Uint8Array([0xff])), TypeError);
});

Deno.test("a violation has position and problem, at most five of them", () => {
  const { decode } = standardCodec(chat);
  assert.throws(() => decode(bytes('{"text":"a","tags":["x",2]}')), /tags\.1: .*string/);
  const issues = Array.from({ length: 9 }, (_, n) => ({ message: `no ${n}`, path: [{ key: n }] }));
  const bad = standardCodec(schemaOf(() => ({ issues })));
  assert.throws(() => bad.decode(bytes("1")), /: 0: no 0; .*4: no 4$/);
  assert.throws(() => standardCodec(schemaOf(() => ({ issues: [] }))).encode(1));
});

Deno.test("an asynchronous validator reads, but does not write", async () => {
  const codec = standardCodec(schemaOf((value) => Promise.resolve({ value: Number(value) + 1 })));
  assert.equal(await codec.decode(bytes("1")), 2);
  assert.throws(() => codec.encode(1), /asynchronously/);
  const refusing = standardCodec(
    schemaOf<number>(() => Promise.resolve({ issues: [{ message: "no" }] })),
  );
  await assert.rejects(
    Promise.resolve(refusing.decode(bytes("1"))),
    refusedWith("schema-violation"),
  );
});

Deno.test("a Protobuf-ES schema is a codec that names its type", async () => {
  const codec = protobufCodec(DurationSchema);
  assert.deepEqual(
    [codec.content_type, codec.schema_id],
    ["application/protobuf", "google.protobuf.Duration"],
  );
  const data = codec.encode(create(DurationSchema, { seconds: 7n }));
  assert.deepEqual([...data], [0x08, 7]);
  assert.equal((await codec.decode(data)).seconds, 7n);
  assert.throws(() => codec.decode(new Uint8Array([0x08])));
  assert.equal(protobufCodec(DurationSchema, { schema_id: "d.v2" }).schema_id, "d.v2");
});
