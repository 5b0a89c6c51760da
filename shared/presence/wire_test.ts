/**
 * The bytes between Shields and Brains: every kind round-trips, and errors name the wrong field.
 * `tests/presence_test.ts` checks that they are the bytes of `replication.proto`.
 */
import { DecodeError, WireWriter, writePacked } from "@arqon/proto";
import fc from "fast-check";
import assert from "node:assert/strict";
import type { Announcement, ClusterMessage } from "./messages.ts";
import { anyMessage, messages } from "./testing/message_arbitraries.ts";
import type { Entry } from "./types.ts";
import { decodeMessage, encodeMessage } from "./wire.ts";

for (const [kind, message] of Object.entries(messages)) {
  Deno.test(`${kind}: what is written is read`, () => {
    fc.assert(fc.property(message as fc.Arbitrary<ClusterMessage>, (written) => {
      assert.deepEqual(decodeMessage(encodeMessage(written)), written);
    }));
  });
}

const WRITER = { node_id: "shield-1", incarnation: 1_760_000_000_000 };
const ENTRY: Entry = {
  counter: 1,
  tenant_id: "default",
  room_id: "lobby",
  connection_id: "c1",
  user_id: "ann",
  issuer: "https://issuer.example.com/",
  meta: '{"n":1}',
  joined_ms: 5,
  changed_ms: 6,
};

function announce(change: Partial<Entry>, rest: Partial<Announcement["delta"]> = {}) {
  const delta = {
    writer: WRITER,
    start: 0,
    end: 1,
    entries: [{ ...ENTRY, ...change }],
    removed: [],
  };
  return encodeMessage({ kind: "announcement", delta: { ...delta, ...rest }, leaving: false });
}

/** Field `field` of the message with the content that `write` adds. */
function embedded(field: number, write: (out: WireWriter) => void): Uint8Array {
  const out = new WireWriter();
  const mark = out.open(field);
  write(out);
  out.close(mark);
  return out.finish();
}

const join = (...parts: readonly Uint8Array[]) =>
  new Uint8Array(parts.flatMap((part) => [...part]));

Deno.test("any bytes are a message or DecodeError, and so is every message that was cut or changed", () => {
  const damaged = fc.tuple(anyMessage, fc.nat(), fc.nat({ max: 255 }), fc.boolean()).map(
    ([message, at, byte, cut]) => {
      const whole = encodeMessage(message);
      const place = at % whole.length;
      if (cut) return whole.subarray(0, place);
      whole[place] = byte;
      return whole;
    },
  );
  const random = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(fc.oneof(damaged, random), (bytes) => {
      try {
        const message = decodeMessage(bytes);
        assert.deepEqual(decodeMessage(encodeMessage(message)), message);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
      }
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("a message that was cut is refused at every length, for a whole message does not end early", () => {
  const whole = announce({});
  for (let size = 0; size < whole.length; size++) {
    assert.throws(() => decodeMessage(whole.subarray(0, size)), DecodeError, `${size} bytes`);
  }
});

Deno.test("exactly one message of a known kind: none, two and an unknown one are refused", () => {
  const hello = encodeMessage({ kind: "hello", from: "n1" });
  const later = embedded(15, (out) => out.text(1, "n1"));
  assert.throws(() => decodeMessage(new Uint8Array()), /no message of a known kind/);
  assert.throws(() => decodeMessage(later), /no message of a known kind/);
  assert.throws(() => decodeMessage(join(hello, hello)), /two messages in one/);
  assert.throws(
    () => decodeMessage(new Uint8Array([0x50, 1])),
    /ClusterMessage\.hello is a varint/,
  );
  assert.deepEqual(decodeMessage(join(later, hello, later)), { kind: "hello", from: "n1" });
});

Deno.test("fields of a later version are passed over at every level", () => {
  const bytes = embedded(1, (out) => {
    const delta = out.open(1);
    const writer = out.open(1);
    out.text(1, "n1");
    out.text(14, "later");
    out.close(writer);
    const entry = out.open(4);
    for (const [field, text] of ["t", "r", "c", "u", "i"].entries()) out.text(field + 2, text);
    out.uint64(1, 3);
    out.uint64(15, 9);
    out.close(entry);
    out.uint64(3, 3);
    out.text(16, "later");
    out.close(delta);
    out.uint64(12, 1);
  });
  const message = decodeMessage(bytes);
  assert.ok(message.kind === "announcement");
  assert.deepEqual(message.delta.entries.map(({ counter, user_id }) => [counter, user_id]), [[
    3,
    "u",
  ]]);
});

Deno.test("removed counters are read packed and one by one", () => {
  const bytes = embedded(1, (out) => {
    const delta = out.open(1);
    writePacked(out, 5, [7, 300]);
    const writer = out.open(1);
    out.text(1, "n1");
    out.close(writer);
    out.uint64(5, 9);
    writePacked(out, 5, [2 ** 40]);
    out.close(delta);
  });
  const message = decodeMessage(bytes);
  assert.deepEqual(message.kind === "announcement" && message.delta.removed, [7, 300, 9, 2 ** 40]);
});

Deno.test("an invalid id is refused with its field", () => {
  const wrong: [Partial<Entry>, RegExp][] = [
    [{ tenant_id: "a.b" }, /PresenceEntry\.tenant_id: character "\."; expected/],
    [{ tenant_id: "" }, /PresenceEntry\.tenant_id: the id is empty/],
    [{ room_id: "*" }, /PresenceEntry\.room_id/],
    [{ connection_id: "x".repeat(65) }, /PresenceEntry\.connection_id: 65 bytes/],
    [{ user_id: "" }, /PresenceEntry\.user_id: it is missing/],
    [{ user_id: "x".repeat(2_049) }, /PresenceEntry\.user_id: 2049 characters/],
    [{ issuer: "" }, /PresenceEntry\.issuer: it is missing/],
    [{ counter: 0 }, /PresenceEntry\.counter: it is missing/],
    [{ meta: "x".repeat(65_537) }, /PresenceEntry\.meta: 65537 bytes; at most 65536/],
    [{ meta: "ä".repeat(32_769) }, /PresenceEntry\.meta: 65538 bytes/],
    [{ joined_ms: -1 }, /PresenceEntry\.joined_ms: a time before 1970/],
    [{ changed_ms: -1 }, /PresenceEntry\.changed_ms: a time before 1970/],
  ];
  for (const [change, message] of wrong) {
    assert.throws(() => decodeMessage(announce(change)), { reason: "invalid-field", message });
  }
  assert.equal(decodeMessage(announce({ meta: "x".repeat(65_536) })).kind, "announcement");
  const writer = { node_id: "a b", incarnation: 1 };
  assert.throws(() => decodeMessage(announce({}, { writer })), /Writer\.node_id/);
  assert.throws(() => decodeMessage(encodeMessage({ kind: "hello", from: "" })), /Hello\.from/);
});

Deno.test("numbers that contradict each other are refused", () => {
  assert.throws(
    () => decodeMessage(announce({}, { start: 5, end: 4 })),
    /PresenceDelta\.end: 4, which is before its start 5/,
  );
  const pulled = { kind: "pulled", request: 1, page: 2, pages: 2, full: false } as const;
  assert.throws(
    () => decodeMessage(encodeMessage({ ...pulled, delta: undefined })),
    /Pulled\.page: page 2 of 2, counted from 0/,
  );
  const huge = embedded(1, (out) => {
    const delta = out.open(1);
    out.uint64(3, 2n ** 53n);
    out.close(delta);
  });
  assert.throws(() => decodeMessage(huge), /PresenceDelta\.end: an integer beyond 2\^53/);
});

Deno.test("an answer has a delta or reports none, not both and not neither", () => {
  const pulled = (unknown: boolean, delta: boolean) =>
    embedded(4, (out) => {
      out.uint32(3, 1);
      out.bool(5, unknown);
      if (!delta) return;
      const mark = out.open(6);
      const writer = out.open(1);
      out.text(1, "n1");
      out.close(writer);
      out.close(mark);
    });
  assert.throws(() => decodeMessage(pulled(false, false)), /Pulled\.delta: it is missing/);
  assert.throws(() => decodeMessage(pulled(true, true)), /Pulled\.unknown: true, and yet/);
  assert.equal(decodeMessage(pulled(true, false)).kind, "pulled");
  assert.equal(decodeMessage(pulled(false, true)).kind, "pulled");
});

Deno.test("missing required members and unknown states are refused by name", () => {
  const missing: [number, RegExp][] = [
    [1, /Announcement\.delta: it is missing/],
    [2, /Beat\.brain_id: the id is empty/],
    [3, /Pull\.from: the id is empty/],
    [4, /Pulled\.page: page 0 of 0/],
    [5, /RoomUpdate\.tenant_id: the id is empty/],
    [6, /RoomPull\.from: the id is empty/],
    [7, /RoomSnapshot\.page: page 0 of 0/],
    [8, /RoomCheck\.from: the id is empty/],
    [10, /Hello\.from: the id is empty/],
  ];
  for (const [field, message] of missing) {
    assert.throws(() => decodeMessage(embedded(field, () => {})), { message });
  }
  const beat = (state: number) =>
    embedded(2, (out) => {
      out.text(1, "b1");
      out.uint32(3, state);
    });
  for (const state of [0, 4]) {
    assert.throws(() => decodeMessage(beat(state)), /Beat\.state: there is no state/);
  }
  assert.throws(
    () =>
      decodeMessage(embedded(2, (out) => {
        const status = out.open(4);
        out.uint32(3, 9);
        out.close(status);
      })),
    /WriterStatus\.state: there is no state 9/,
  );
});

Deno.test("a repeated field is refused where one is meant", () => {
  const twice = embedded(10, (out) => {
    out.text(1, "n1");
    out.text(1, "n2");
  });
  assert.throws(() => decodeMessage(twice), { reason: "repeated-field", message: /Hello\.from/ });
});

Deno.test("entries of one writer share it, and each keeps its own members", () => {
  const other = { ...WRITER, incarnation: 7 };
  const joins = [
    { writer: { ...WRITER }, entry: ENTRY },
    { writer: { ...WRITER }, entry: { ...ENTRY, counter: 2, room_id: "other" } },
    { writer: other, entry: { ...ENTRY, counter: 3, issuer: "other" } },
    { writer: other, entry: { ...ENTRY, counter: 4, tenant_id: "other" } },
    { writer: { ...WRITER }, entry: { ...ENTRY, counter: 5 } },
  ];
  const update: ClusterMessage = {
    kind: "room_update",
    emitter: { brain_id: "b1", boot: 1, term: 2 },
    sequence: 1,
    tenant_id: "default",
    room_id: "lobby",
    joins,
    leaves: [],
    clocks: [],
  };
  const message = decodeMessage(encodeMessage(update));
  assert.deepEqual(message, update);
  assert.ok(message.kind === "room_update");
  assert.equal(message.joins[0]?.writer, message.joins[1]?.writer);
  assert.equal(message.joins[2]?.writer, message.joins[3]?.writer);
});

Deno.test("a number that its field cannot hold is the writer's own error", () => {
  for (const counter of [-1, 1.5, NaN, 2 ** 53]) {
    assert.throws(() => announce({ counter }), TypeError, String(counter));
  }
  assert.throws(() => announce({}, { removed: [-1] }), TypeError);
});
