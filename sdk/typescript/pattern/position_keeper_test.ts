/** Positions of patterns by frames: the start of a session, and the messages that count. */
import assert from "node:assert/strict";
import { encodeAck, encodeMsg, encodeSub, encodeUnsub, encodeWelcome } from "@arqon/proto";
import { gapSignal, readSubscribe, writeEnvelope } from "@arqon/proto";
import { PositionKeeper, PositionMemory } from "./position_keeper.ts";

const PATTERN = "log-*";

/** One session of a client, with its Shield. */
class Session {
  readonly keeper: PositionKeeper;
  #request_id = 0;

  constructor(memory: PositionMemory) {
    this.keeper = new PositionKeeper(memory);
  }

  /** The positions that a SUB has. */
  sub(pattern = PATTERN): unknown {
    const frame = this.keeper.sent(encodeSub({ room_id: pattern, request_id: ++this.#request_id }));
    const { positions } = readSubscribe(frame.subarray(1));
    return JSON.parse(new TextDecoder().decode(positions));
  }

  ack(positions: object = {}): number {
    const result = new TextEncoder().encode(JSON.stringify({ epoch: "e", positions }));
    const frame = encodeAck({ request_id: this.#request_id, result });
    return this.keeper.received(frame).frames.length;
  }

  hear(room_id: string, offset: number): void {
    const frame = encodeMsg(writeEnvelope({ room_id, offset, event: { type: "t" } }));
    assert.deepEqual(this.keeper.received(frame).frames, [frame]);
  }
}

function begun(): { memory: PositionMemory; first: Session } {
  const memory = new PositionMemory();
  const first = new Session(memory);
  assert.deepEqual(first.sub(), {});
  assert.equal(first.ack(), 1);
  first.hear("log-1", 5);
  return { memory, first };
}

Deno.test("during a move each session keeps its own positions, and the old one counts until it ends", () => {
  const { memory, first } = begun();
  const next = new Session(memory);
  assert.deepEqual(next.sub(), { e: { "log-1": 5 } });
  next.ack({ "log-1": { recovered: true, offset: 5 } });
  next.hear("log-1", 6);
  // The next session failed: the program never received its messages.
  next.keeper.end();
  const third = new Session(memory);
  assert.deepEqual(third.sub(), { e: { "log-1": 5 } });
  third.keeper.end();
  first.hear("log-2", 1);
  first.keeper.end();
  // No loop is left.
  first.hear("log-2", 2);
  assert.deepEqual(new Session(memory).sub(), { e: { "log-1": 5, "log-2": 1 } });
});

Deno.test("a third session begins at the positions of the session that outlives the old one", () => {
  const { memory, first } = begun();
  const next = new Session(memory);
  next.sub();
  next.ack();
  first.keeper.end();
  next.hear("log-1", 7);
  next.keeper.end();
  assert.deepEqual(new Session(memory).sub(), { e: { "log-1": 7 } });
});

Deno.test("a session without a SUB so far begins at the positions of the broken one", () => {
  const { memory, first } = begun();
  const next = new Session(memory);
  first.keeper.end();
  assert.deepEqual(next.sub(), { e: { "log-1": 5 } });
});

Deno.test("messages before the ACK, or of an ended pattern, are no positions", () => {
  const { memory, first } = begun();
  first.keeper.sent(encodeUnsub({ room_id: PATTERN, request_id: 9 }));
  first.hear("log-1", 6);
  assert.deepEqual(first.sub(), {});
  first.hear("log-1", 7);
  first.ack();
  first.hear("other", 7);
  first.keeper.end();
  assert.deepEqual(new Session(memory).sub(), {});
});

Deno.test("a SUB of an active subscription requests the epoch only; another log ends a position", () => {
  const { memory, first } = begun();
  assert.deepEqual(first.sub(), {});
  first.ack();
  const signal = gapSignal("log-1", "epoch-changed");
  first.keeper.received(encodeMsg(writeEnvelope({ room_id: "log-1", signal })));
  first.hear("log-2", 3);
  first.keeper.end();
  assert.deepEqual(new Session(memory).sub(), { e: { "log-2": 3 } });
});

Deno.test("positions are limited to a frame of the Shield, and to the 1,000 most recent ones", () => {
  const { memory, first } = begun();
  for (let at = 0; at < 2_000; at++) first.hear(`log-${at}`, 1);
  first.keeper.end();
  const many = new Session(memory);
  const { e } = many.sub() as { e: Record<string, number> };
  assert.deepEqual([Object.keys(e).length, "log-1999" in e, "log-999" in e], [1_000, true, false]);
  many.keeper.end();
  const small = new Session(memory);
  small.keeper.received(encodeWelcome({ max_frame_bytes: 4_096 }));
  const names = Object.keys((small.sub() as { e: Record<string, number> }).e);
  assert.ok(names.length > 50 && names.length < 100 && names.includes("log-1999"));
});

Deno.test("unreadable frames are left to the SDK", () => {
  const { first } = begun();
  const torn = new Uint8Array([0x04, 0x1a, 0x70]);
  assert.deepEqual(first.keeper.received(torn), { frames: [torn] });
});
