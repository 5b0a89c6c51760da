/** A client behind a proxy that stops for a while, and messages that are published until the bus leaves some out. */
import assert from "node:assert/strict";
import { encodePub, encodeSub, type PlainEnvelope, writeEnvelope } from "@arqon/proto";
import { openBinary } from "../peers/raw_client.ts";
import { proxied } from "./tcp_proxy.ts";
import { sampleAt } from "./server_state.ts";
import type { TestBus } from "./test_bus.ts";

/** Lines of `[limits]` with which a slow reader is noticed early. */
export const SLOW_LIMITS = `
#constant limits.slow_reader_bytes = 1_048_576
bytes_per_second = 1_000_000_000
`;

/** What the bus does with slow readers, as its metric names it. */
export type SlowAction = "dropped" | "conflated" | "disconnected";

/** Of each message. */
export const BODY_BYTES = 60_000;
/** Messages of which the latest counts, by their keys. */
const KEYS = 5;
/** Messages that are sent before their answers are read. */
export const TOGETHER = 20;
/** More than the kernel and two proxied sockets take. */
const MESSAGES_MAX = 5_000;
const LEFT_OUT_MIN = 20;

/** Publishes numbered messages until the bus has done that with some for a client that does not read. */
export async function publishUntil(
  bus: TestBus,
  room_id: string,
  action: SlowAction,
): Promise<number> {
  using publisher = await openBinary(bus.url, bus.token);
  const data = new Uint8Array(BODY_BYTES);
  const done = () => sampleAt(bus.ops_url, `shield_slow_reader_total{action="${action}"}`);
  const before = await done();
  const enough = action === "disconnected" ? 1 : LEFT_OUT_MIN;
  for (let sent = 0;;) {
    for (let step = 0; step < TOGETHER; step++) {
      const event = { type: "t", data };
      const headers = { "x-key": String(++sent % KEYS) };
      const message_id = `${room_id}.${sent}`;
      publisher.send(
        encodePub(writeEnvelope({ room_id, event, headers, message_id, request_id: sent })),
      );
    }
    for (let step = 0; step < TOGETHER; step++) {
      const answer = await publisher.frame();
      assert(answer.kind === "ack" && answer.ack.code === 0);
    }
    if (await done() >= before + enough) return sent;
    assert(sent < MESSAGES_MAX, `${sent} messages, and nothing was ${action}`);
  }
}

/** The number of such a message. */
export const numberOf = (message_id: string): number => Number(message_id.split(".")[1]);

/** What a slow reader has received. */
export interface Slow {
  readonly sent: number;
  readonly got: ReadonlySet<number>;
  /** In order; 0: a GAP. */
  readonly received: readonly number[];
}

/** A client that does not read for a while: what it received when it read again, until the end or the last one. */
export async function slow(
  bus: TestBus,
  room_id: string,
  action: SlowAction,
  user: string,
): Promise<Slow> {
  const { proxy, url } = proxied(bus);
  await using _proxy = proxy;
  using reader = await openBinary(url, await bus.tokenFor({ user }));
  reader.send(encodeSub({ room_id, request_id: 1, batch: action === "dropped" }));
  assert.equal((await reader.frame()).kind, "ack");
  proxy.pause();
  const sent = await publishUntil(bus, room_id, action);
  proxy.resume();
  const received: number[] = [];
  const note = ({ event, signal, message_id }: PlainEnvelope) => {
    if (event !== undefined) received.push(numberOf(message_id));
    else if (signal?.kind === "GAP") {
      assert.equal(signal.reason, "slow-consumer");
      received.push(0);
    }
  };
  // The latest message of a key replaces an older one, so the last number need not come last.
  const isWhole = () =>
    Array.from({ length: KEYS }, (_, at) => sent - at).every((one) => received.includes(one));
  while (!isWhole()) {
    const frame = await reader.frame().catch(() => undefined);
    if (frame === undefined) break;
    if (frame.kind === "msg") note(frame.envelope);
    if (frame.kind === "batch") frame.envelopes.forEach(note);
  }
  return { sent, received, got: new Set(received.filter((one) => one > 0)) };
}
