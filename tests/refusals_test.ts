/**
 * Bad input over real sockets: each case is a frame, its answer, and the proof that the connection stays open. A
 * second connection subscribes to the room and must notice nothing. Refusals that answer no request, in both forms: a
 * client can read which room they are about without parsing their text.
 */
import assert from "node:assert/strict";
import {
  encodePub,
  encodeRefresh,
  encodeSub,
  encodeUnsub,
  errorMessage,
  ERRORS,
  Opcode,
  type ServerFrame,
  writeEnvelope,
} from "@arqon/proto";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { ArqonError, connect, type PublishOptions } from "../sdk/typescript/mod.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { samplesOf } from "./harness/server_state.ts";
import { ask, openBinary, openText, RawClient } from "./peers/raw_client.ts";

const ROOM = "watched";

function bytes(...parts: (number | string | Uint8Array | number[])[]): Uint8Array {
  const encoder = new TextEncoder();
  return Uint8Array.from(parts.flatMap((part) => {
    if (typeof part === "number") return [part];
    return typeof part === "string" ? [...encoder.encode(part)] : [...part];
  }));
}

/** A length-delimited field. */
function field(number: number, value: string | Uint8Array): Uint8Array {
  const body = bytes(value);
  const tag = number * 8 + 2;
  const prefix = tag < 128 ? [tag] : [tag & 127 | 128, tag >> 7];
  const length = body.length < 128 ? [body.length] : [body.length & 127 | 128, body.length >> 7];
  return bytes(prefix, length, body);
}

const room = field(3, ROOM);
const event = field(21, bytes(field(1, "t"), field(2, "x")));
const pub = (...fields: Uint8Array[]) => bytes(Opcode.PUB, ...fields);

/**
 * Frames for a binary connection, and the code and part of the text of the ERR: one or two of each check.
 * `proto/envelope/scan_test.ts` and `proto/room_test.ts` have all that a frame can have wrong.
 */
const BINARY: [name: string, frame: Uint8Array | string, code: number, text: RegExp][] = [
  ["an empty frame", new Uint8Array(0), 400, /opcode/i],
  ["an unknown opcode", bytes(0x42), 400, /0x42|66/],
  ["a server's opcode", bytes(Opcode.WELCOME), 400, /opcode/i],
  ["text where binary belongs", "hello", 400, /./],
  ["a text pub on a binary connection", '{"op":"pub","room":"watched"}', 400, /text/],
  ["truncated Protobuf", pub(room, event).slice(0, -3), 400, /./],
  ["no payload", pub(room), 400, /Payload/],
  ["an own SystemSignal", pub(room, field(22, bytes(8, 1))), 403, /SystemSignal/],
  ["PRESENCE_LEAVE", pub(room, field(21, field(1, "PRESENCE_LEAVE"))), 403, /PRESENCE_/],
  ["SYSTEM_ type", pub(room, field(21, field(1, "SYSTEM_X"))), 403, /SYSTEM_/],
  ["ROOM_ type", pub(room, field(21, field(1, "ROOM_X"))), 403, /ROOM_/],
  [
    "an own x-arqon-shadow",
    pub(room, field(5, bytes(field(1, "X-Arqon-Shadow"), field(2, "true"))), event),
    403,
    /x-arqon-shadow/,
  ],
  ["another tenant", pub(field(2, "other"), room, event), 403, /Tenant/],
  ["a subject trick as tenant", pub(field(2, "default.r.x.in"), room, event), 403, /Tenant/],
  ["a wildcard tenant", pub(field(2, "*"), room, event), 403, /Tenant/],
  ["a room with a dot", pub(field(3, "a.b"), event), 400, /"\."/],
  ["no room", pub(event), 400, /empty/],
  ["a signature without a key", pub(room, field(10, new Uint8Array(64)), event), 403, /key/],
];

function manyHeaders(count: number): Uint8Array {
  const tail = bytes(room, event);
  const header = field(5, bytes(field(1, "name0"), field(2, "v")));
  const width = header.length;
  const frame = new Uint8Array(1 + count * width + tail.length);
  frame[0] = Opcode.PUB;
  for (let index = 0; index < count; index++) {
    frame.set(header, 1 + index * width);
    // All names differ: five letters in base 16, from "aaaaa" on.
    for (let digit = 0; digit < 5; digit++) {
      frame[1 + index * width + 4 + digit] = 97 + (index >> (4 * digit) & 15);
    }
  }
  frame.set(tail, 1 + count * width);
  return frame;
}

async function stillAlive(client: RawClient): Promise<void> {
  client.send(bytes(Opcode.PING, 9));
  assert.equal((await client.frame()).kind, "pong");
}

async function binaryCases(bus: TestBus, t: Deno.TestContext): Promise<void> {
  const watcher = await openText(bus.url, bus.token);
  await ask(watcher, { op: "sub", room: ROOM });
  const client = await openBinary(bus.url, bus.token);
  const cases = [...BINARY, ["10,000 headers", manyHeaders(10_000), 400, /header/i] as const];
  for (const [name, frame, code, pattern] of cases) {
    await t.step(name, async () => {
      client.send(frame);
      const answer = await client.frame();
      assert(answer.kind === "err", answer.kind);
      assert.equal(answer.code, code, answer.message);
      assert.match(answer.message, pattern);
      await stillAlive(client);
    });
  }
  watcher.send({ op: "pub", room: ROOM, type: "only-this", data: 1 });
  assert.equal((await watcher.json()).type, "only-this", "nothing that was refused was published");
  watcher[Symbol.dispose]();
  client[Symbol.dispose]();
}

/** Frames for a text connection, and the reason of the answer; `proto/text/text_refusal_test.ts` has more. */
const TEXT: [name: string, frame: string, op: "err" | "ack", reason: string][] = [
  ["no JSON", "hello", "err", "malformed-frame"],
  ["an unknown op", '{"op":"dance"}', "err", "unknown-opcode"],
  ["an id with a bad member", '{"op":"sub","id":5,"room":7}', "ack", "malformed-frame"],
  ["a durable position", '{"op":"sub","id":5,"room":"a","after_offset":3}', "ack", "not-durable"],
  ["an epoch", '{"op":"sub","id":5,"room":"a","epoch":"e"}', "ack", "not-durable"],
  ["member_meta alone", '{"op":"sub","id":5,"room":"a","member_meta":1}', "ack", "invalid-field"],
  ["observer alone", '{"op":"sub","id":5,"room":"a","observer":true}', "ack", "invalid-field"],
  ["a bad room", '{"op":"sub","id":5,"room":"a.b"}', "ack", "invalid-room"],
  ["unsub of a strange room", '{"op":"unsub","id":5,"room":"a"}', "ack", "not-subscribed"],
  ["another tenant", '{"op":"pub","id":5,"room":"a","tenant_id":"b"}', "ack", "tenant-mismatch"],
  ["a reserved type", '{"op":"pub","id":5,"room":"a","type":"ROOM_X"}', "ack", "reserved-type"],
  ["a signal", '{"op":"pub","id":5,"room":"a","signal":{"kind":"BAN"}}', "ack", "signal-forbidden"],
  [
    "a kick by a user",
    '{"op":"cmd","id":5,"room":"a","name":"room.kick"}',
    "ack",
    "command-forbidden",
  ],
  ["a ban by a user", '{"op":"cmd","room":"a","name":"ban"}', "err", "command-forbidden"],
  ["a bad refresh", '{"op":"refresh","id":5,"token":7}', "ack", "malformed-frame"],
];

async function textCases(bus: TestBus, t: Deno.TestContext): Promise<void> {
  const client = await openText(bus.url, bus.token);
  for (const [name, frame, op, reason] of TEXT) {
    await t.step(name, async () => {
      client.send(frame);
      const answer = await client.json();
      assert.equal(answer.op, op, JSON.stringify(answer));
      assert.equal(answer.reason, reason, JSON.stringify(answer));
      if (op === "ack") assert.equal(answer.id, 5);
      client.send({ op: "ping", data: "" });
      assert.equal((await client.json()).op, "pong");
    });
  }
  await t.step("a binary frame on a text connection", async () => {
    client.send(encodeSub({ room_id: "a" }));
    assert.equal((await client.json()).reason, "malformed-frame");
  });
  client[Symbol.dispose]();
}

async function grants(bus: TestBus): Promise<void> {
  const claims = { grants: [{ room: "chat-*", actions: ["subscribe"] }] };
  const client = await openText(bus.url, await bus.tokenFor({ claims }));
  await ask(client, { op: "sub", room: "chat-1" });
  client.send({ op: "pub", room: "chat-1", type: "t", id: 2 });
  assert.equal((await client.json()).reason, "not-granted");
  client.send({ op: "sub", room: "other", id: 3 });
  assert.equal((await client.json()).reason, "not-granted");
  for (const name of ["room.get", "presence.list"]) {
    client.send({ op: "cmd", room: "chat-1", name, id: 4 });
    assert.equal((await client.json()).reason, "not-granted");
  }
  client[Symbol.dispose]();
}

async function protocolErrors(bus: TestBus): Promise<void> {
  const client = await openBinary(bus.url, bus.token);
  for (let index = 0; index < 64; index++) client.send(bytes(0x42));
  const { code } = await client.closed();
  assert.equal(code, 1008);
  const reasons: string[] = [];
  for (let index = 0; index < 65; index++) {
    const frame = await client.frame();
    if (frame.kind === "err") reasons.push(frame.reason);
  }
  assert.equal(reasons.at(-1), "too-many-protocol-errors");
}

async function oversized(bus: TestBus): Promise<void> {
  const client = await openBinary(bus.url, bus.token);
  client.send(manyHeaders(1_000_000));
  const frame = await client.frame();
  assert(frame.kind === "err" && frame.code === 413, "too-large");
  await stillAlive(client);
  client.send(new Uint8Array(33_554_433).fill(1));
  assert.equal((await client.closed()).code, 4413);
  const last = await client.frame();
  assert(last.kind === "err" && last.code === 413, "frame-too-large");
}

async function counted(bus: TestBus): Promise<void> {
  const samples = await samplesOf(bus.ops_url);
  for (const reason of ["tenant-mismatch", "not-granted", "invalid-room", "malformed-frame"]) {
    assert.ok((samples.get(`shield_rejects_total{reason="${reason}"}`) ?? 0) > 0, reason);
  }
  assert.equal(samples.get('shield_closes_total{code="1008"}'), 1);
}

async function serviceRole(bus: TestBus): Promise<void> {
  const client = await openBinary(bus.url, await bus.tokenFor({ role: "service" }));
  const signal = { kind: "DRAIN", target: "x", reason: "", until_ms: 0 } as const;
  client.send(encodePub(writeEnvelope({ room_id: "signals", signal, request_id: 4 })));
  const answer = await client.frame();
  assert(answer.kind === "ack" && answer.ack.code === 0, "service and admin may signal");
  client[Symbol.dispose]();
}

/** One bus for all tests; the first one counts its refusals. */
const running = sharedByTests(() => startLocalBus());

Deno.test("bad input over WebSocket", async (t) => {
  const bus = await running();
  await t.step("binary", (t) => binaryCases(bus, t));
  await t.step("text", (t) => textCases(bus, t));
  await t.step("grants limit rooms and actions", () => grants(bus));
  await t.step("a backend may send signals", () => serviceRole(bus));
  await t.step("64 undecodable frames end the connection with 1008", () => protocolErrors(bus));
  await t.step(
    "a million headers are answered with 413, 32 MiB end it with 4413",
    () => oversized(bus),
  );
  await t.step("every refusal is counted by reason", () => counted(bus));
});

// A binary frame that the bus cannot decode is refused with its request, code and field, in order.

/** Only an unanswered request takes this long. */
const PATIENCE_MS = 60_000;

Deno.test("a publish or command that cannot be decoded is refused by code and field, not by silence", async () => {
  const bus = await running();
  const { url, token } = bus;
  const client = await connect({ url, token, request_timeout_ms: PATIENCE_MS });
  const room = client.room("lobby");
  const long = "x".repeat(300);
  const refused = async (sent: Promise<unknown>, reason: string, field: RegExp) => {
    const error = await sent.then(() => undefined, (error) => error);
    assert.ok(error instanceof ArqonError, `${error}`);
    assert.deepEqual([error.reason, error.code], [reason, 400], error.message);
    assert.match(error.message, field);
  };
  const publish = (type: string, options: PublishOptions) => room.publish(type, "data", options);
  await refused(publish(long, {}), "invalid-field", /type/);
  await refused(publish("t", { message_id: long }), "invalid-field", /message_id/);
  await refused(publish("t", { headers: { a: "x".repeat(100_000) } }), "too-many-headers", /bytes/);
  await refused(publish("t", { headers: { a: "1", A: "2" } }), "repeated-field", /header/);
  await refused(room.command(long), "invalid-field", /name/);
  // No bus accepts these: they are never sent.
  await refused(publish("t", { message_id: "x".repeat(70_000) }), "invalid-field", /message_id/);
  await room.publish("t", "what is fine still goes");
  await client.close();
});

Deno.test("too-large, malformed-frame: a frame that is not read names its request, too", async () => {
  const bus = await running();
  using binary = await openBinary(bus.url, bus.token);
  const event = { type: "t", data: new Uint8Array(1_500_000) };
  binary.send(encodePub(writeEnvelope({ room_id: "lobby", request_id: 9, event })));
  const large = await binary.frame();
  assert.ok(large.kind === "ack");
  const { request_id, code, reason } = large.ack;
  assert.deepEqual([request_id, code, reason], [9, 413, "too-large"]);
  binary.send('{"op":"unsub","room":"lobby","id":11}');
  const text = await binary.frame();
  assert.ok(text.kind === "ack");
  assert.deepEqual([text.ack.request_id, text.ack.reason], [11, "malformed-frame"]);
});

/** The members of a refusal besides its message, in either form. */
interface Refusal {
  readonly reason: keyof typeof ERRORS;
  readonly detail?: string;
  readonly room?: string;
  readonly action?: string;
}

const LONG = "x".repeat(65);
const command = { name: "room.kick" };

/** Operations without an id, in both forms, and the refusal of each. */
const REFUSED: readonly (readonly [frame: Uint8Array, text: object, refusal: Refusal])[] = [
  [
    encodePub(writeEnvelope({ room_id: "no", event: { type: "t" } })),
    { op: "pub", room: "no", type: "t" },
    { reason: "not-granted", detail: "publish in no", room: "no", action: "publish" },
  ],
  [
    encodePub(writeEnvelope({ room_id: "in", command })),
    { op: "cmd", room: "in", name: "room.kick" },
    { reason: "command-forbidden", detail: "room.kick", room: "in", action: "command" },
  ],
  [
    encodePub(writeEnvelope({ room_id: "in", command: { name: "room.nothing" } })),
    { op: "cmd", room: "in", name: "room.nothing" },
    { reason: "invalid-command", room: "in", action: "command" },
  ],
  [
    encodeSub({ room_id: "no" }),
    { op: "sub", room: "no" },
    { reason: "not-granted", detail: "subscribe in no", room: "no", action: "subscribe" },
  ],
  [
    encodeUnsub({ room_id: "in" }),
    { op: "unsub", room: "in" },
    { reason: "not-subscribed", detail: "in", room: "in", action: "unsubscribe" },
  ],
  // An invalid room name is not returned: it may have any length.
  [encodeSub({ room_id: LONG }), { op: "sub", room: LONG }, { reason: "invalid-room" }],
];

const FORMS = ["binary", "text"] as const;
type Form = typeof FORMS[number];

async function open(form: Form, url: string, token: string): Promise<RawClient> {
  if (form === "text") return await openText(url, token);
  const client = new RawClient(url, { token });
  assert.equal((await client.frame()).kind, "welcome");
  return client;
}

/** The next frame that is not a message: presence events are skipped. */
async function nextText(client: RawClient) {
  for (;;) {
    const frame = await client.json();
    if (frame.op !== "msg") return frame;
  }
}

async function nextBinary(client: RawClient): Promise<ServerFrame> {
  for (;;) {
    const frame = await client.frame();
    if (frame.kind !== "msg") return frame;
  }
}

async function subscribe(client: RawClient, form: Form, room: string, presence: boolean) {
  if (form === "text") client.send({ op: "sub", room, presence, id: 1 });
  else client.send(encodeSub({ room_id: room, presence, request_id: 1 }));
  if (form === "text") return assert.equal((await nextText(client)).code, 0);
  const answer = await nextBinary(client);
  assert.ok(answer.kind === "ack" && answer.ack.code === 0, JSON.stringify(answer));
}

/** The next frame must be this refusal, in that form. */
async function receive(client: RawClient, form: Form, wanted: Refusal): Promise<void> {
  const { reason, detail, room = "", action = "" } = wanted;
  const { code } = ERRORS[reason];
  const message = detail === undefined ? undefined : errorMessage(reason, detail);
  const right = (text: string) => message === undefined || assert.equal(text, message);
  if (form === "text") {
    const { message: text, ...frame } = await nextText(client);
    right(text);
    const place = room === "" ? {} : { room, action };
    return assert.deepEqual(frame, { op: "err", code, reason, ...place });
  }
  const frame = await nextBinary(client);
  assert.ok(frame.kind === "err", JSON.stringify(frame));
  const { kind: _, message: text, ...refusal } = frame;
  right(text);
  assert.deepEqual({ ...refusal }, { code, reason, retry_after_ms: 0, room_id: room, action });
}

const grant = (room: string, ...actions: string[]) => ({ room, actions });
const EVERYTHING = ["publish", "subscribe", "presence", "command"];

Deno.test("a refusal without a request names its room and action", async (t) => {
  await using bus = await startLocalBus();
  const claims = { grants: [grant("in", ...EVERYTHING)] };
  const token = await bus.tokenFor({ claims });
  for (const form of FORMS) {
    using client = await open(form, bus.url, token);
    for (const [frame, text, refusal] of REFUSED) {
      await t.step(`${form}: ${refusal.reason}`, async () => {
        client.send(form === "text" ? text : frame);
        await receive(client, form, refusal);
      });
    }
    await t.step(`${form}: a refusal of unreadable bytes names no room`, async () => {
      client.send(form === "text" ? "{}" : Uint8Array.of(Opcode.PUB, 0xff));
      await receive(client, form, { reason: "malformed-frame" });
    });
  }
});

Deno.test("what a new token removes ends with its room and action: 'not-granted'", async (t) => {
  await using bus = await startLocalBus();
  const before = { grants: [grant("*", ...EVERYTHING)] };
  const after = { grants: [grant("keep", "subscribe"), grant("seen", "subscribe")] };
  for (const form of FORMS) {
    await t.step(form, async () => {
      using client = await open(form, bus.url, await bus.tokenFor({ claims: before }));
      await subscribe(client, form, "keep", false);
      await subscribe(client, form, "lose", false);
      await subscribe(client, form, "seen", true);
      const next = await bus.tokenFor({ claims: after });
      client.send(
        form === "text" ? { op: "refresh", token: next } : encodeRefresh({ token: next }),
      );
      const about = (action: string, room: string): Refusal => ({
        reason: "not-granted",
        detail: `${action} in ${room}`,
        room,
        action,
      });
      await receive(client, form, about("subscribe", "lose"));
      await receive(client, form, about("presence", "seen"));
    });
  }
});

Deno.test("a refusal that ends the connection is about no room: 'token-expired'", async () => {
  let ahead_ms = 0;
  await using bus = await startLocalBus(undefined, { now: () => Date.now() + ahead_ms });
  using client = await open("binary", bus.url, await bus.tokenFor({ ttl_seconds: 600 }));
  ahead_ms = 601_000;
  await receive(client, "binary", { reason: "token-expired" });
  assert.deepEqual(await client.closed(), { code: 4401, reason: "token-expired" });
});
