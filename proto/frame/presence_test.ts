/**
 * The presence events against protobuf-es both ways, their JSON against `JSON.parse`. Pages of history against
 * protobuf-es, and frames with their offset.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { schemaOf } from "../testing/schemas.ts";
import { encodePresenceLeave, encodePresenceUpdate, presenceLeaveJson } from "./presence.ts";
import { presenceUpdateJson, readPresenceLeave, readPresenceUpdate } from "./presence.ts";
import { bytes, text } from "../testing/arbitraries.ts";
import { readEnvelope, writeEnvelope } from "../envelope/envelope.ts";
import { encodeMsgAt, readHistory, writeHistory } from "./history.ts";

const PresenceLeaveSchema = schemaOf("PresenceLeave");
const PresenceUpdateSchema = schemaOf("PresenceUpdate");

const uint32 = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
/** "" or JSON text, now and then with spaces and numbers that a parser would change. */
const meta = fc.oneof(
  fc.constantFrom("", '{ "a": 1.0 }', "12345678901234567890", " null "),
  fc.json({ maxDepth: 2 }),
);

const change = fc.record({
  members: fc.array(
    fc.record({ connection_id: text(), user_id: text(), meta, joined_ms: fc.maxSafeInteger() }, {
      noNullPrototype: true,
    }),
    { maxLength: 5 },
  ),
  connections: uint32,
  users: uint32,
  snapshot: fc.boolean(),
}, { noNullPrototype: true });

const encoder = new TextEncoder();

Deno.test("PresenceUpdate: equal to protobuf-es both ways", () => {
  fc.assert(fc.property(change, (written) => {
    const members = written.members.map((member) => ({
      connectionId: member.connection_id,
      userId: member.user_id,
      meta: encoder.encode(member.meta),
      joinedMs: BigInt(member.joined_ms),
    }));
    const theirs = toBinary(
      PresenceUpdateSchema,
      create(PresenceUpdateSchema, { ...written, members }),
    );
    assert.deepEqual(new Uint8Array(encodePresenceUpdate(written)), new Uint8Array(theirs));
    assert.deepEqual(readPresenceUpdate(theirs), written);
  }));
});

Deno.test("PresenceLeave: equal to protobuf-es both ways, with ids alone", () => {
  fc.assert(fc.property(change, ({ members, connections, users }) => {
    const written = {
      members: members.map((member) => ({ ...member, meta: "", joined_ms: 0 })),
      connections,
      users,
    };
    const theirs = toBinary(
      PresenceLeaveSchema,
      create(PresenceLeaveSchema, {
        members: members.map(({ connection_id, user_id }) => ({
          connectionId: connection_id,
          userId: user_id,
        })),
        connections,
        users,
      }),
    );
    const ours = encodePresenceLeave({ members, connections, users });
    assert.deepEqual(new Uint8Array(ours), new Uint8Array(theirs));
    assert.deepEqual(readPresenceLeave(theirs), written);
  }));
});

Deno.test("JSON has every member, metadata as the text it is, and null for none", () => {
  fc.assert(fc.property(change, (written) => {
    const { members, connections, users, snapshot } = written;
    const json = presenceUpdateJson(written);
    assert.deepEqual(JSON.parse(json), {
      members: members.map((member) => ({
        ...member,
        meta: member.meta === "" ? null : JSON.parse(member.meta),
      })),
      connections,
      users,
      ...(snapshot ? { snapshot: true } : {}),
    });
    for (const member of members) assert.ok(json.includes(`"meta":${member.meta || "null"},`));
    assert.deepEqual(JSON.parse(presenceLeaveJson(written)), {
      members: members.map(({ connection_id, user_id }) => ({ connection_id, user_id })),
      connections,
      users,
    });
  }));
});

Deno.test("any bytes are an update and a leave, or DecodeError", () => {
  const cut = fc.tuple(change, fc.nat()).map(([written, at]) => {
    const whole = encodePresenceUpdate(written);
    return whole.subarray(0, at % (whole.length + 1));
  });
  fc.assert(
    fc.property(fc.oneof(bytes(60), cut), (source) => {
      for (const read of [readPresenceUpdate, readPresenceLeave]) {
        try {
          read(source);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("fields of a later version are skipped, repeated and mistyped ones are refused", () => {
  const later = new Uint8Array([0x9a, 0x01, 1, 0x61, 0x0a, 6, 0x0a, 1, 0x63, 0x7a, 1, 0x61]);
  const member = { connection_id: "c", user_id: "", meta: "", joined_ms: 0 };
  assert.deepEqual(readPresenceUpdate(later).members, [member]);
  assert.deepEqual(readPresenceLeave(later).members, [member]);
  const twice = new Uint8Array([0x10, 1, 0x10, 1]);
  const mistyped = new Uint8Array([0x12, 0]);
  const memberTwice = new Uint8Array([0x0a, 6, 0x0a, 1, 0x63, 0x0a, 1, 0x63]);
  for (const read of [readPresenceUpdate, readPresenceLeave]) {
    assert.throws(() => read(twice), { reason: "repeated-field", message: /\.connections/ });
    assert.throws(() => read(mistyped), { reason: "malformed-frame", message: /\.connections is/ });
    assert.throws(() => read(memberTwice), { reason: "repeated-field", message: /connection_id/ });
  }
  const beyond = new Uint8Array([0x0a, 10, 0x20, ...new Array(8).fill(0xff), 0x01]);
  assert.throws(() => readPresenceUpdate(beyond), { reason: "invalid-field" });
});

Deno.test("presence: numbers out of a field's range are a TypeError of the writer", () => {
  const member = { connection_id: "c", user_id: "u", meta: "", joined_ms: 2 ** 60 };
  assert.throws(
    () => encodePresenceUpdate({ members: [member], connections: 1, users: 1 }),
    TypeError,
  );
  assert.throws(() => encodePresenceLeave({ members: [], connections: -1, users: 1 }), TypeError);
});

const HistorySchema = schemaOf("History");

const offset = fc.maxSafeNat();

Deno.test("History: equal to protobuf-es both ways, with the envelopes byte for byte", () => {
  const history = fc.record({
    texts: fc.array(text(), { maxLength: 4 }),
    offset,
    epoch: text(),
    more: fc.boolean(),
  }, { noNullPrototype: true });
  fc.assert(fc.property(history, ({ texts, ...rest }) => {
    const messages = texts.map((type) => writeEnvelope({ room_id: "r", event: { type } }));
    const ours = writeHistory({ ...rest, messages });
    const theirs = toBinary(
      HistorySchema,
      create(HistorySchema, {
        ...rest,
        offset: BigInt(rest.offset),
        messages: texts.map((type) => ({
          roomId: "r",
          payload: { case: "event" as const, value: { type } },
        })),
      }),
    );
    assert.deepEqual(new Uint8Array(ours), new Uint8Array(theirs));
    const back = readHistory(ours);
    assert.deepEqual(back.messages.map((bytes) => new Uint8Array(bytes)), messages);
    assert.deepEqual({ ...back, messages: [] }, { ...rest, messages: [] });
  }));
});

Deno.test("a MSG frame gets its offset without a change of the sender's bytes", () => {
  fc.assert(fc.property(fc.maxSafeNat(), text(), (at, type) => {
    const stored = writeEnvelope({ room_id: "r", message_id: "m", event: { type } });
    const frame = encodeMsgAt(stored, at);
    const read = readEnvelope(frame.subarray(1));
    assert.equal(read.offset, at);
    assert.deepEqual({ ...read, offset: 0 }, readEnvelope(stored));
    assert.deepEqual(frame.subarray(1, 1 + stored.length), stored);
  }));
});

Deno.test("a MSG frame is written into the given space, and other bytes are unchanged", () => {
  fc.assert(fc.property(fc.maxSafeNat(), fc.nat(9), (at, start) => {
    const stored = writeEnvelope({ room_id: "r", event: { type: "t" } });
    const bytes = new Uint8Array(200).fill(0xee);
    const sizes: number[] = [];
    const reserve = (size_bytes: number) => (sizes.push(size_bytes), start);
    const frame = encodeMsgAt(stored, at, { bytes, reserve });
    assert.deepEqual(frame, encodeMsgAt(stored, at));
    assert.deepEqual([frame.buffer, frame.byteOffset], [bytes.buffer, start]);
    assert.deepEqual(sizes, [frame.length]);
    assert.ok(bytes.subarray(0, start).every((byte) => byte === 0xee));
    assert.ok(bytes.subarray(start + frame.length).every((byte) => byte === 0xee));
  }));
});
