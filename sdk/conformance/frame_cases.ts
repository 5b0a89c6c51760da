/**
 * What frames.json is made of: server frames and client operations as they read. `generate.ts` adds
 * their bytes; bytes that cannot be encoded are `byte_cases.ts`.
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
  "MSG with the last timestamp that every language holds": {
    kind: "msg",
    message: { room_id: "lobby", timestamp: Number.MAX_SAFE_INTEGER },
  },
  "MSG from before 1970": { kind: "msg", message: { room_id: "lobby", timestamp: -1 } },
  "MSG with an offset of 2^53": { kind: "msg", message: { offset: "9007199254740992" } },
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
      message: "Rate limited: 100 messages/s",
      retry_after_ms: 250,
    },
  },
  "ERR with code and message alone": {
    kind: "err",
    code: 403,
    message: "Message blocked by policy",
  },
  "ERR whose message has several lines": { kind: "err", code: 403, message: "one\n{two}\n\nthree" },
  "ERR of what has ended in a room": {
    kind: "err",
    code: 403,
    reason: "not-granted",
    message: "Not granted: subscribe in lobby",
    room_id: "lobby",
    action: "subscribe",
  },
  "ERR with a wait, about no room": {
    kind: "err",
    code: 429,
    reason: "rate-limited",
    message: "Rate limited: 100 messages/s",
    retry_after_ms: 250,
  },
  "ERR without anything": { kind: "err" },
  "PING": { kind: "ping", body: "cafe" },
  "PING without a body": { kind: "ping", body: "" },
  "PING of 125 bytes": { kind: "ping", body: "ab".repeat(125) },
  "PONG": { kind: "pong", body: "6563686f2031" },
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
      filter: 'type == "chat"',
    },
  },
  "SUB of a pattern, with positions": {
    kind: "sub",
    message: { room_id: "orders-*", request_id: 2, positions: "7b226531223a7b226f2d31223a347d7d" },
  },
  "UNSUB": { kind: "unsub", message: { room_id: "lobby", request_id: 5 } },
  "REFRESH": { kind: "refresh", message: { token: "a.b.c", request_id: 9 } },
  "PING": { kind: "ping", body: "cafe" },
  "PING without a body": { kind: "ping", body: "" },
  "PONG": { kind: "pong", body: "cafe" },
};
