/**
 * Where ERRs stand among the answers of a client on a whole bus, on every kind of socket: behind the
 * ACKs and PONGs of everything that was sent before the frame which they are about.
 */
import assert from "node:assert/strict";
import { encodePing, encodePub, encodeSub, encodeUnsub, writeEnvelope } from "@arqon/proto";
import type { ServerFrame } from "@arqon/proto";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary, openText } from "./peers/raw_client.ts";

const configOf = (websocket: string) => `
[server]
websocket = "${websocket}"
[limits]
messages_per_second = 100
[[rooms]]
room = "log-*"
durable = true
`;
/** A burst is two seconds' worth. */
const BURST = 200;
/** More than a busy machine lets pass by the rate while it gets to them: 20 s worth. */
const TOO_MANY = 2_000;

const event = { type: "t", data: new Uint8Array(1), content_type: "", schema_id: "" };

/** Frames that are answered in every way that there is; those of `errs` by an ERR that names nothing. */
const FRAMES: readonly (readonly [name: string, frame: Uint8Array])[] = [
  ["ack", encodePub(writeEnvelope({ room_id: "plain", request_id: 1, event }))],
  ["Unknown opcode: 0x42", new Uint8Array([0x42])],
  ["ack", encodePub(writeEnvelope({ room_id: "log-a", request_id: 2, event }))],
  ["err", encodeUnsub({ room_id: "nowhere" })],
  ["ack", encodeSub({ room_id: "plain", request_id: 3, presence: true })],
  ["Unknown opcode: 0x43", new Uint8Array([0x43])],
  ["ack", command(4, "plain")],
  ["pong", encodePing(new Uint8Array([5]))],
  ["err", encodePub(writeEnvelope({ room_id: "a.b", event }))],
  ["ack", encodeSub({ room_id: "log-a", request_id: 6 })],
  ["err", encodePub(writeEnvelope({ room_id: "plain", event: { ...event, type: "ROOM_X" } }))],
];

function command(request_id: number, room_id: string): Uint8Array {
  const command = {
    command_id: `c${request_id}`,
    name: "room.get",
    payload: new TextEncoder().encode("{}"),
  };
  return encodePub(writeEnvelope({ room_id, request_id, command }));
}

type Reply = { readonly kind: "answer" | "err"; readonly text: string };

function replyOf(frame: ServerFrame): Reply | undefined {
  if (frame.kind === "err") return { kind: "err", text: frame.message };
  if (frame.kind === "ack") return { kind: "answer", text: `ack ${frame.ack.request_id}` };
  return frame.kind === "pong" ? { kind: "answer", text: "pong" } : undefined;
}

/** All frames at once: at each ERR everything before its frame has been answered. */
async function mixed(bus: TestBus): Promise<void> {
  using client = await openBinary(bus.url, await bus.tokenFor());
  for (const [, frame] of FRAMES) client.send(frame);
  let [answers, errs] = [0, 0];
  const errs_at = FRAMES.flatMap(([name], at) => /^(ack|pong)$/.test(name) ? [] : [at]);
  while (answers + errs < FRAMES.length) {
    const reply = replyOf(await client.frame());
    if (reply === undefined) continue;
    if (reply.kind === "answer") {
      answers++;
      continue;
    }
    const at = errs_at[errs++] ?? NaN;
    const before = FRAMES.slice(0, at).filter(([name]) => /^(ack|pong)$/.test(name)).length;
    assert(answers >= before, `${reply.text} after ${answers} answers, not ${before}`);
    const name = FRAMES[at]?.[0] ?? "";
    if (name.startsWith("Unknown")) assert.equal(reply.text, name);
  }
}

/** Refusals for a rate come after the ACKs of what was within it. */
async function rates(bus: TestBus): Promise<void> {
  using client = await openBinary(bus.url, await bus.tokenFor({ user: "fast" }));
  const [, named] = FRAMES[2] as [string, Uint8Array];
  const nameless = encodePub(writeEnvelope({ room_id: "plain", event }));
  for (let sent = 0; sent < BURST; sent++) client.send(named);
  for (let sent = 0; sent < TOO_MANY; sent++) client.send(nameless);
  let acks = 0;
  for (;;) {
    const reply = replyOf(await client.frame());
    if (reply?.kind === "answer") acks++;
    if (reply?.kind !== "err") continue;
    assert.match(reply.text, /^Rate limited/);
    return assert.equal(acks, BURST);
  }
}

/** The same in text, whose ERR has a reason. */
async function text(bus: TestBus): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor({ user: "text" }));
  const frames = [
    { op: "pub", room: "log-b", type: "t", data: 1, id: 1 },
    { op: "unsub", room: "nowhere" },
    { op: "pub", room: "plain", type: "t", data: 1, id: 2 },
    { op: "nonsense" },
  ];
  for (const frame of frames) client.send(frame);
  const said: string[] = [];
  while (said.length < 4) {
    const { op, id, reason } = await client.json();
    said.push(op === "ack" ? `ack ${id}` : reason);
  }
  assert(said.indexOf("ack 1") < said.indexOf("not-subscribed"), said.join());
  assert.equal(said.at(-1), "unknown-opcode");
}

for (const websocket of ["native", "ws", "own"]) {
  Deno.test(`ERRs in their place, on ${websocket} sockets`, async (t) => {
    await using bus = await startLocalBus(configOf(websocket));
    await t.step("behind answers of every kind", () => mixed(bus));
    await t.step("behind what was within a rate", () => rates(bus));
    await t.step("in text", () => text(bus));
  });
}
