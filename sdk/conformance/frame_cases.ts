/**
 * What frames.json is made of: server frames and client operations as they read, and bytes that no
 * client may take. `generate.ts` adds the bytes of those that can be encoded.
 */
import type { Plain } from "./plain.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";

const EVENT: Plain = {
  trace_id: TRACE,
  tenant_id: "acme",
  room_id: "lobby",
  timestamp: 1_790_000_000_123,
  headers: { "X-Timestamp": "1790000000123", "X-Twist-ID": "0198c1f0-0000-7000-8000-000000000001" },
  sender_id: "ann",
  offset: 42,
  message_id: "m-1",
  event: { type: "chat", data: "7b2261223a317d", content_type: "application/json" },
};
const GAP: Plain = {
  room_id: "lobby",
  timestamp: 1_790_000_000_124,
  signal: { kind: "GAP", target: "lobby", reason: "slow-consumer" },
};

/** Frames that a client takes, by name. */
export const SERVER: Readonly<Record<string, Plain>> = {
  "WELCOME": {
    kind: "welcome",
    message: {
      connection_id: "c-1",
      user_id: "ann",
      tenant_id: "acme",
      server_time_ms: 1_790_000_000_000,
      heartbeat_ms: 30_000,
      max_frame_bytes: 1_048_576,
      token_expires_ms: 1_790_000_900_000,
      node_id: "shield-1",
      protocol_version: 1,
    },
  },
  "MSG with an event": { kind: "msg", message: EVENT },
  "MSG with an empty event": { kind: "msg", message: { room_id: "lobby", event: {} } },
  "MSG with a command": {
    kind: "msg",
    message: {
      room_id: "lobby",
      cmd: { name: "turn", data: "00ff", expect_version: 7, command_id: "k-1" },
    },
  },
  "MSG with a GAP": { kind: "msg", message: GAP },
  "MSG with text beyond ASCII": {
    kind: "msg",
    message: {
      room_id: "lobby",
      sender_id: "Zoë 🦊",
      event: { type: "chat", data: "c3a4", content_type: "text/plain" },
    },
  },
  "MSG with an offset beyond 2^53": {
    kind: "msg",
    message: { room_id: "lobby", offset: "18446744073709551615", event: { type: "chat" } },
  },
  "MSG without anything": { kind: "msg", message: {} },
  "BATCH of two": { kind: "batch", messages: [EVENT, GAP] },
  "BATCH of none": { kind: "batch", messages: [] },
  "ACK that accepts": { kind: "ack", message: { request_id: 7, offset: 43 } },
  "ACK with a result": { kind: "ack", message: { request_id: 8, result: "7b7d" } },
  "ACK that refuses": {
    kind: "ack",
    message: {
      request_id: 9,
      code: 429,
      reason: "rate-limited",
      message: "Too fast: 100 messages/s",
      retry_after_ms: 250,
    },
  },
  "ERR": { kind: "err", code: 403, message: "Message blocked by policy" },
  "ERR without a text": { kind: "err", code: 500, message: "" },
  "PING": { kind: "ping", body: "cafe" },
  "PING without a body": { kind: "ping", body: "" },
  "PING of 125 bytes": { kind: "ping", body: "ab".repeat(125) },
  "PONG": { kind: "pong", body: "6563686f2031" },
};

/** Frames that no encoder of ours writes, and that a client takes nevertheless: hex and meaning. */
export const LENIENT: Readonly<Record<string, readonly [string, Plain]>> = {
  "MSG with an unknown field": ["041a016c8a060178", { kind: "msg", message: { room_id: "l" } }],
  "MSG with a repeated field: the last counts": [
    "041a01611a0162",
    { kind: "msg", message: { room_id: "b" } },
  ],
  "MSG with two payloads: the last counts": [
    "04a201030a0163aa01030a0165",
    { kind: "msg", message: { event: { type: "e" } } },
  ],
  "ACK with an unknown field": ["0908077a0178", { kind: "ack", message: { request_id: 7 } }],
  "WELCOME with an unknown field": [
    "000a01634801a2060178",
    { kind: "welcome", message: { connection_id: "c", protocol_version: 1 } },
  ],
};

/** Bytes that are no frame for a client: it closes, and does not come back by itself. */
export const REFUSED: Readonly<Record<string, string>> = {
  "an empty frame": "",
  "opcode 0x0a, which nobody has": "0a",
  "opcode 0xff, which nobody has": "ff00",
  "a PUB, which only clients send": "011a056c6f626279",
  "a SUB, which only clients send": "020a056c6f626279",
  "an UNSUB, which only clients send": "030a056c6f626279",
  "a REFRESH, which only clients send": "060a0161",
  "a JSON text in a binary frame": "7b226f70223a2270696e67227d",
  "a MSG cut in a tag's value": "041a056c6f62",
  "a MSG cut in the payload": "041a0161aa01090a0463686174",
  "a MSG cut in a varint": "0420ff",
  "a MSG with a varint of 11 bytes": "0420ffffffffffffffffffff01",
  "a MSG with field number 0": "040001",
  "a MSG with wire type 7": "040f",
  "a MSG with the end of a group that never began": "0404",
  "a MSG whose room is no UTF-8": "041a02c328",
  "a MSG whose event type is no UTF-8": "04aa01040a02c328",
  "a BATCH cut in an envelope": "05051a0161",
  "a BATCH with a length of 6 bytes": "05ffffffffff01",
  "a BATCH whose second envelope is garbage": "05031a016102ffff",
  "a WELCOME cut in a text": "000a0563",
  "an ACK of garbage": "09ffffffff",
  "an ACK whose reason is no UTF-8": "091a01ff",
  "an ERR without a code": "99",
  "an ERR with half a code": "9901",
};

/** What clients send, by name. */
export const CLIENT: Readonly<Record<string, Plain>> = {
  "PUB of JSON with everything": {
    kind: "pub",
    message: {
      trace_id: TRACE,
      room_id: "lobby",
      headers: { "a": "1", "b": "zwei" },
      ack_requested: true,
      request_id: 2,
      signature: "5a".repeat(64),
      message_id: "m1",
      event: {
        type: "chat",
        data: "7b2261223a317d",
        content_type: "application/json",
        schema_id: "chat.v1.Line",
      },
    },
  },
  "PUB of bytes, as short as it gets": {
    kind: "pub",
    message: { room_id: "lobby", event: { data: "00ff" } },
  },
  "PUB of data that needs a length of two bytes": {
    kind: "pub",
    message: { room_id: "lobby", event: { type: "blob", data: "ab".repeat(200) } },
  },
  "PUB of a command": {
    kind: "pub",
    message: {
      room_id: "lobby",
      request_id: "9007199254740993",
      cmd: {
        name: "state.set",
        data: "7b7d",
        content_type: "application/json",
        expect_version: 7,
        fence: 3,
        epoch: "e1",
        command_id: "k-1",
      },
    },
  },
  "SUB": { kind: "sub", message: { room_id: "lobby", request_id: 1 } },
  "SUB with everything": {
    kind: "sub",
    message: {
      room_id: "lobby",
      request_id: 300,
      presence: true,
      no_echo: true,
      batch: true,
      member_meta: "7b226e223a317d",
      after_offset: 42,
      epoch: "e1",
      observer: true,
    },
  },
  "UNSUB": { kind: "unsub", message: { room_id: "lobby", request_id: 5 } },
  "REFRESH": { kind: "refresh", message: { token: "a.b.c", request_id: 9 } },
  "PING": { kind: "ping", body: "cafe" },
  "PING without a body": { kind: "ping", body: "" },
  "PONG": { kind: "pong", body: "cafe" },
};
