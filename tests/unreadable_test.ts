/**
 * Messages that are invalid Protobuf, on a real bus. One from a client is refused. One already in the log of a durable
 * room, from a Shield that did not check, disconnects nobody: history, recovery and live subscribers get it as an error
 * at its offset, and continue.
 */
import assert from "node:assert/strict";
import { fromBinary, type Message as ProtobufMessage } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { connect, type Message, type Subscription } from "@arqon/sdk";
import { history, replay } from "@arqon/sdk/history";
import { encodeSub, writeEnvelope, writeHistoryQuery } from "@arqon/proto";
import { type Envelope, EnvelopeSchema, schemaOf } from "../proto/testing/schemas.ts";
import { watched } from "../shared/spine/nats/testing/nats_harness.ts";
import type { DurableLog } from "../shared/spine/contract/durable_log.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { send } from "./peers/own_connections.ts";
import { openBinary, openText } from "./peers/raw_client.ts";

const HistorySchema = schemaOf("History") as GenMessage<
  ProtobufMessage & { messages: Envelope[] }
>;

const ROOM = "kept-1";
const CONFIG = `[[rooms]]\nroom = "kept-*"\ndurable = true\n`;
const RETENTION = { history_size: 10_000, history_ttl_seconds: 86_400, replicas: undefined };
const encoder = new TextEncoder();
/** An event of type "e" whose length takes six bytes. */
const POISON = [0xaa, 0x01, 0x83, 0x80, 0x80, 0x80, 0x80, 0x00, 0x0a, 0x01, 0x65];
/** An event whose type extends beyond the event. */
const CUT = [0xaa, 0x01, 0x02, 0x0a, 0x05];

/** The Shield's fields, then the sender's. */
function stored(owned: readonly number[]): Uint8Array {
  const routed = writeEnvelope({
    tenant_id: "default",
    room_id: ROOM,
    timestamp_ms: 1_790_000_000_000,
    sender_id: "mallory",
  });
  return new Uint8Array([...routed, ...owned]);
}

/** A valid one, as a Shield stores it. */
function good(text: string): Uint8Array {
  const event = { type: "n", data: encoder.encode(text), content_type: "text/plain" };
  return writeEnvelope({ tenant_id: "default", room_id: ROOM, sender_id: "ann", event });
}

async function take(messages: Subscription, count: number): Promise<Message[]> {
  const taken: Message[] = [];
  while (taken.length < count) {
    const { value } = await messages.next();
    assert.ok(value !== undefined, "the loop ended");
    taken.push(value);
  }
  return taken;
}

/** Offset and text of each; for an unreadable one the reason and the sender. */
const shown = (messages: readonly Message[]) =>
  messages.map((message) => [
    message.offset,
    message.error === undefined ? message.text() : `${message.error.reason} of ${message.sender}`,
  ]);

async function historyForms({ url, token }: TestBus, offsets: readonly number[]): Promise<void> {
  using binary = await openBinary(url, token);
  const data = writeHistoryQuery({});
  const command = { name: "history.get", data, content_type: "application/protobuf" };
  binary.send(new Uint8Array([1, ...writeEnvelope({ room_id: ROOM, request_id: 1, command })]));
  const ack = await binary.frame();
  assert.ok(ack.kind === "ack" && ack.ack.code === 0, JSON.stringify(ack));
  // Another decoder than ours accepts all of it.
  const { messages } = fromBinary(HistorySchema, ack.ack.result);
  assert.deepEqual(messages.map(({ offset }) => Number(offset)), offsets);
  const { payload, senderId } = messages[1]!;
  assert.ok(payload.case === "signal");
  assert.deepEqual([payload.value.reason, payload.value.target, senderId], [
    "unreadable",
    ROOM,
    "mallory",
  ]);
  using text = await openText(url, token);
  text.send({ op: "cmd", room: ROOM, name: "history.get", data: {}, id: 1 });
  const { result } = await text.json();
  assert.deepEqual(result.messages.map((one: { offset: number }) => one.offset), offsets);
  assert.deepEqual(result.messages[1].signal, {
    kind: "GAP",
    target: ROOM,
    reason: "unreadable",
  });
}

async function livesThrough(bus: TestBus, log: DurableLog): Promise<void> {
  const { url, token } = bus;
  await using connection = await connect({ url, token });
  const room = connection.room(ROOM);
  using live = room.subscribe();
  await live.ready;
  using text = await openText(url, token);
  text.send({ op: "sub", room: ROOM, id: 1 });
  assert.equal((await text.json()).code, 0);
  const offsets: number[] = [];
  const payloads = [
    good("one"),
    stored(POISON),
    good("two"),
    stored(CUT),
  ];
  for (const payload of payloads) offsets.push((await log.append(ROOM, payload)).offset);
  offsets.push(Number((await room.publish("n", "three")).offset));
  const unreadable = "malformed-frame of mallory";
  const expected = ["one", unreadable, "two", unreadable, "three"]
    .map((what, at) => [offsets[at], what]);
  assert.deepEqual(shown(await take(live, 5)), expected);
  const received: [number, string][] = [];
  while (received.length < 5) {
    const { offset, data, signal } = await text.json();
    received.push([offset, signal === undefined ? data : signal.reason]);
  }
  assert.deepEqual(
    received,
    expected.map(([offset, what]) => [offset, what === unreadable ? "unreadable" : what]),
  );
  // The stored messages from the beginning; and the missed ones since a position right before one of them.
  await using newcomer = await connect({ url, token });
  using replayed = newcomer.room(ROOM).subscribe({ begin: replay({ from: "start" }) });
  assert.deepEqual(shown(await take(replayed, 5)), expected);
  const { messages } = await history(room);
  assert.deepEqual(shown(messages), expected);
  await using late = await connect({ url, token });
  const position = { offset: offsets[0]!, epoch: live.epoch! };
  using recovered = late.room(ROOM).subscribe({ position });
  assert.deepEqual(shown(await take(recovered, 4)), expected.slice(1));
  assert.equal(recovered.recovered, true);
  await historyForms(bus, offsets);
}

/** A room without subscribers while it is written: recovery reads everything from the log. */
async function recoversFromLog({ url, token }: TestBus, log: DurableLog): Promise<void> {
  const room_id = "kept-2";
  const routed = writeEnvelope({ tenant_id: "default", room_id, sender_id: "mallory" });
  const fine = writeEnvelope({ tenant_id: "default", room_id, event: { type: "n" } });
  const torn = [POISON, CUT].map((owned) => new Uint8Array([...routed, ...owned]));
  for (const payload of [fine, ...torn, fine]) await log.append(room_id, payload);
  await using connection = await connect({ url, token });
  const { epoch } = await history(connection.room(room_id));
  using client = await openBinary(url, token);
  client.send(encodeSub({ room_id, request_id: 1, epoch, after_offset: 0 }));
  const kinds: (string | undefined)[] = [];
  while (kinds.length < 4) {
    const frame = await client.raw();
    assert.ok(frame instanceof Uint8Array);
    // Opcode 4 is a MSG; the other one is the ACK.
    if (frame[0] === 4) kinds.push(fromBinary(EnvelopeSchema, frame.subarray(1)).payload.case);
  }
  assert.deepEqual(kinds, ["event", "signal", "signal", "event"]);
}

/** Such a message of a client is refused, in each form, and nobody receives it. */
async function refusedAtTheDoor({ url, http_url, token }: TestBus): Promise<void> {
  await using connection = await connect({ url, token });
  using loop = connection.room("open").subscribe();
  await loop.ready;
  using client = await openBinary(url, token);
  const envelope = new Uint8Array([0x1a, 0x04, ...encoder.encode("open"), 0x38, 0x07, ...POISON]);
  client.send(new Uint8Array([1, ...envelope]));
  const answer = await client.frame();
  assert.ok(answer.kind === "ack", JSON.stringify(answer));
  const { request_id, code, message } = answer.ack;
  assert.deepEqual([Number(request_id), code], [7, 400]);
  assert.match(message, /^Malformed frame: .*too long/);
  const path = "/v1/rooms/open/messages";
  const type = { "content-type": "application/protobuf" };
  const response = await send(`${http_url}${path}`, token, "POST", envelope, type);
  assert.equal(response.status, 400);
  assert.equal((await response.json()).reason, "malformed-frame");
  await connection.room("open").publish("n", "after");
  assert.deepEqual((await take(loop, 1)).map((message) => message.text()), ["after"]);
}

Deno.test("an unreadable message is refused, and a stored one disconnects nobody: 'malformed-frame'", async () => {
  // Other decoders refuse it, too.
  assert.throws(() => fromBinary(EnvelopeSchema, new Uint8Array(CUT)));
  await using nats = await startNats({ jetstream: true });
  await using bus = await startLocalBus(`${CONFIG}[nats]\nurls = ["${nats.url}"]\n`);
  const { spine, ...other } = await watched(nats.port);
  await using _other = other;
  await refusedAtTheDoor(bus);
  const log = await spine.log("default", RETENTION);
  await recoversFromLog(bus, log);
  await livesThrough(bus, log);
});
