/** Fuzz targets of the wire: frames of both directions, the text form, envelopes through the stamp. */
import assert from "node:assert/strict";
import {
  type Ack,
  decodeClientFrame,
  decodeClientText,
  DecodeError,
  decodeServerFrame,
  encodeAck,
  encodeBatch,
  encodeErr,
  encodeMsg,
  encodeMsgAt,
  encodePing,
  encodePresenceUpdate,
  encodePub,
  encodeRefresh,
  encodeSub,
  encodeUnsub,
  encodeWelcome,
  type EnvelopeInput,
  OwnBuffers,
  readEnvelope,
  readPresenceLeave,
  readPresenceUpdate,
  scanEnvelope,
  stampRouted,
  writeEnvelope,
} from "@arqon/proto";
import type { ClusterMessage } from "../../shared/presence/messages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import { jsonOf, type Target, textOf, utf8, wordsOf } from "./target.ts";

const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };
const isRefusal = (error: unknown) => error instanceof DecodeError;
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";

const EVENT = { type: "chat", data: utf8('{"n":1}'), content_type: "application/json" };
const ENVELOPES: readonly EnvelopeInput[] = [
  { room_id: "lobby", event: { ...EVENT, schema_id: "" } },
  {
    room_id: "lobby",
    tenant_id: "acme",
    trace_id: TRACE_ID,
    headers: { "X-Twist-ID": "0190f3c8-7e3a-7c1e-8a53-1f2e3d4c5b6a", "x-other": "ü", "x-b": "" },
    message_id: "m1",
    request_id: 7,
    ack_requested: true,
    event: { ...EVENT, schema_id: "s" },
  },
  {
    room_id: "lobby",
    command: {
      name: "room.set",
      data: utf8('{"key":"a","value":1}'),
      content_type: "application/json",
      expect_version: 3,
      after_version: 2,
      fence: 9,
      epoch: "e1",
      command_id: "c1",
    },
  },
  {
    room_id: "lobby",
    signal: { kind: "BAN", target: "ann", reason: "spam", until_ms: 1_767_323_045_000 },
  },
];
const envelopes = ENVELOPES.map((envelope) => writeEnvelope(envelope));
const WORDS = [
  ...wordsOf("x-arqon-shadow", "X-Timestamp", "X-Twist-ID", "application/json", "lobby", TRACE_ID),
  ...[[0x0a], [0x12], [0x1a], [0x2a], [0x42], [0xa2, 0x01], [0xaa, 0x01], [0xb2, 0x01]]
    .map((tag) => Uint8Array.from(tag)),
];

const ACK: Ack = {
  request_id: 7,
  code: 429,
  reason: "rate-limited",
  message: "Slow down",
  result: utf8('{"version":1}'),
  offset: 12,
  retry_after_ms: 100,
};

const presence = encodePresenceUpdate({
  members: [{ connection_id: "c1", user_id: "ann", meta: '{"a":1}', joined_ms: 1 }],
  connections: 1,
  users: 1,
  snapshot: true,
});

/** Clients' binary frames. */
export function clientFrames(): Target {
  const seeds = [
    ...envelopes.map((envelope) => encodePub(envelope)),
    encodeSub({ room_id: "lobby", request_id: 1, presence: true, member_meta: utf8("{}") }),
    encodeSub({ room_id: "orders", after_offset: 5, epoch: "e1", batch: true, no_echo: true }),
    encodeUnsub({ room_id: "lobby", request_id: 2 }),
    encodeRefresh({ token: "a.b.c", request_id: 3 }),
    encodePing(utf8("ping")),
  ];
  const run = (bytes: Uint8Array) => void decodeClientFrame(bytes, LIMITS);
  return {
    name: "client-frames",
    weight: 6,
    seeds,
    words: WORDS,
    bytes_max: 4_096,
    run,
    isRefusal,
  };
}

/** Shields' frames, as SDKs read them. */
export function serverFrames(): Target {
  const seeds = [
    ...envelopes.map((envelope) => encodeMsg(envelope)),
    encodeMsgAt(envelopes[0]!, 12),
    encodeBatch(envelopes),
    encodeAck(ACK),
    encodeErr({ code: 403, reason: "policy-rejected", room_id: "lobby", action: "publish" }),
    encodeErr({ code: 403, message: "Message blocked by policy" }),
    encodeWelcome({ connection_id: "c1", user_id: "ann", tenant_id: "acme", heartbeat_ms: 25_000 }),
    presence,
  ];
  const run = (bytes: Uint8Array) => {
    for (const read of [decodeServerFrame, readPresenceUpdate, readPresenceLeave]) {
      try {
        read(bytes);
      } catch (error) {
        if (!isRefusal(error)) throw error;
      }
    }
  };
  return {
    name: "server-frames",
    weight: 4,
    seeds,
    words: WORDS,
    bytes_max: 4_096,
    run,
    isRefusal,
  };
}

/** Clients' text frames. */
export function textFrames(): Target {
  const seeds = jsonOf(
    { op: "pub", room: "lobby", type: "chat", data: { n: 1, "ü": [null, true] }, id: 2, ack: true },
    { op: "pub", room: "lobby", type: "raw", data: { base64: "aGk=" }, headers: { a: "b" } },
    { op: "sub", room: "lobby", id: 1, presence: true, member_meta: { a: 1 }, epoch: "e" },
    { op: "sub", room: "lobby", after_offset: "9007199254740993", batch: true },
    { op: "cmd", room: "lobby", name: "room.set", data: { key: "a" }, expect_version: 3, id: 3 },
    { op: "signal", room: "lobby", signal: { kind: "BAN", target: "ann", until_ms: 5 } },
    { op: "unsub", room: "lobby", id: "18446744073709551615" },
    { op: "refresh", token: "a.b.c", id: 5 },
    { op: "ping", body: "aGk=" },
  );
  const words = wordsOf(
    ...['"op":"pub",', '"data":', "null", "[[[[", "{", "}", '"', "\\u0000", "\\ud800", "\\"],
    ...['"base64":"', "1e999", "18446744073709551616", '"__proto__":', ",", '"id":1,'],
  );
  const run = (bytes: Uint8Array) => void decodeClientText(textOf(bytes), LIMITS);
  return { name: "text-frames", weight: 4, seeds, words, bytes_max: 4_096, run, isRefusal };
}

/** The Shield's scanner and stamper: an accepted envelope has the Shield's values, and is readable. */
export function envelopeTarget(): Target {
  const stamp = {
    trace_id: TRACE_ID,
    tenant_id: "acme",
    room_id: "lobby",
    timestamp_ms: 1_767_323_045_000,
    sender_id: "ann",
    twist_id: "0190f3c8-7e3a-7c1e-8a53-1f2e3d4c5b6a",
    added_headers: [["x-policy", "1"]] as const,
  };
  const run = (bytes: Uint8Array) => {
    const scan = scanEnvelope(bytes, LIMITS);
    const routed = readEnvelope(stampRouted(scan, stamp, new OwnBuffers()));
    const { tenant_id, room_id, sender_id, trace_id, timestamp_ms, headers } = routed;
    assert.deepEqual(
      { tenant_id, room_id, sender_id, trace_id, timestamp_ms },
      {
        tenant_id: "acme",
        room_id: "lobby",
        sender_id: "ann",
        trace_id: TRACE_ID,
        timestamp_ms: stamp.timestamp_ms,
      },
    );
    assert.equal(headers["X-Timestamp"], String(stamp.timestamp_ms));
    for (const name of Object.keys(headers)) assert.doesNotMatch(name, /^x-arqon-/i);
  };
  return {
    name: "envelopes",
    weight: 6,
    seeds: envelopes,
    words: WORDS,
    bytes_max: 4_096,
    run,
    isRefusal,
  };
}

const WRITER = { node_id: "s1", incarnation: 1_767_323_045_000 };
const ENTRY = {
  counter: 1,
  tenant_id: "acme",
  room_id: "lobby",
  connection_id: "c1",
  user_id: "ann",
  issuer: "https://id.example.com",
  meta: "{}",
  joined_ms: 1_767_323_045_000,
  changed_ms: 1_767_323_045_000,
};
const DELTA = { writer: WRITER, start: 0, end: 2, entries: [ENTRY], removed: [2] };
const EMITTER = { brain_id: "b1", boot: 1_767_323_045_000, term: 2 };
const ROOM = { tenant_id: "acme", room_id: "lobby" };
const PAGE = { request: 4, page: 0, pages: 1 };
const CLUSTER_MESSAGES: readonly ClusterMessage[] = [
  { kind: "hello", from: "b1" },
  { kind: "announcement", delta: DELTA, leaving: false },
  { kind: "pulled", ...PAGE, full: true, delta: DELTA },
  { kind: "pull", from: "b1", request: 4, writer: WRITER, clock: 1 },
  {
    kind: "beat",
    brain_id: "b1",
    boot: 1_767_323_045_000,
    state: "serving",
    writers: [{ writer: WRITER, clock: 2, state: "up" }],
  },
  {
    kind: "room_snapshot",
    ...PAGE,
    ...ROOM,
    emitter: EMITTER,
    sequence: 3,
    entries: [{ writer: WRITER, entry: ENTRY }],
    clocks: [{ writer: WRITER, clock: 2 }],
  },
  {
    kind: "room_check",
    from: "s1",
    request: 1,
    rooms: [{ ...ROOM, emitter: EMITTER, sequence: 3 }],
  },
];

/** The presence messages between Shields and Brains. */
export function replication(): Target {
  const seeds = CLUSTER_MESSAGES.map(encodeMessage);
  const run = (bytes: Uint8Array) => void decodeMessage(bytes);
  return { name: "replication", weight: 3, seeds, words: WORDS, bytes_max: 4_096, run, isRefusal };
}
