/**
 * The ways by which the receivers of the show of deltas hear: the SDK with and without deltas, by rooms and by a
 * pattern, with filters, with frames and connections that are lost; and clients by hand with decoders of others.
 */
import { decode } from "@ably/vcdiff-decoder";
import { applyDelta } from "fossil-delta";
import { askDeltas, encodeSub, findData, Opcode, readRouted, WireReader } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import type { SubscribeOptions, WebSocketConstructor } from "@arqon/sdk";
import { deltaSocket } from "@arqon/sdk/delta";
import { ask, openBinary, openText } from "../peers/raw_client.ts";
import type { RawClient } from "../peers/raw_client.ts";
import { LATEST_ROOM, OLDEST_ROOM, SHOW_ROOMS } from "./feed.ts";
import type { Shown } from "./feed.ts";
import type { Receiver, ReceiverKind } from "./receiver.ts";

const PATTERN = "show-*";
const SLOW = ["slow, and closed", "slow, the oldest left out", "slow, the newest of each key"];
/** How long a client waits on a machine that does other things. */
export const PATIENT = { request_timeout_ms: 120_000, handshake_timeout_ms: 60_000 };

/** What a receiver needs to hear. */
export interface Place {
  readonly url: string;
  readonly token: string;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** A way to hear: `open` resolves once the receiver hears, with what ends it. */
export interface Way extends ReceiverKind {
  /** It stops reading at times, and is then closed, or messages are left out for it. */
  readonly slow?: "closed" | "left out";
  open(place: Place, receiver: Receiver): Promise<() => Promise<void>>;
}

/** The rooms that are a slow reader's alone: what is left out for it, and what closes it. */
export function ballastOf(name: string): { readonly left_out: string; readonly closing: string } {
  const number = SLOW.indexOf(name);
  return { left_out: `ballast-${number}`, closing: `weight-${number}` };
}

/** How often a socket loses a frame with messages, and how often its connection is lost with one. */
interface Losses {
  readonly frames: number;
  readonly connections: number;
}

/** The platform's WebSocket, which loses some of what comes. */
function losingSocket(random: () => number, { frames, connections }: Losses): WebSocketConstructor {
  class Losing extends WebSocket {
    override set onmessage(hear: ((event: MessageEvent) => void) | null) {
      super.onmessage = hear === null ? null : (event) => {
        const opcode = new Uint8Array(event.data as ArrayBuffer)[0];
        if (opcode === Opcode.MSG || opcode === Opcode.BATCH) {
          if (random() < frames) return;
          if (random() < connections) return super.close(4_900);
        }
        hear.call(this, event);
      };
    }
  }
  return Losing as unknown as WebSocketConstructor;
}

interface SdkWay {
  readonly rooms: readonly string[];
  readonly options?: SubscribeOptions;
  readonly losses?: Losses;
  /** `null`: without deltas. */
  readonly bytes?: number | null;
  /** Ends its loops and begins them again, once after about so many messages. */
  readonly away?: number;
  /** Rooms of which it hears what nobody looks at. */
  readonly ballast?: readonly string[];
}

async function openSdk(
  { url, token, random }: Place,
  receiver: Receiver,
  { rooms, options = {}, losses, bytes, away, ballast = [] }: SdkWay,
): Promise<() => Promise<void>> {
  const inner = losses === undefined
    ? WebSocket as unknown as WebSocketConstructor
    : losingSocket(random, losses);
  const webSocket = bytes === null
    ? inner
    : deltaSocket(inner, bytes === undefined ? {} : { bytes });
  const backoff = { base_ms: 1, max_ms: 20 };
  const bus = await connect({ url, token, webSocket, backoff, ...PATIENT });
  let has_ended = false;
  const ready: Promise<void>[] = [];
  const follow = async (room: string) => {
    while (!has_ended) {
      using loop = bus.room(room).subscribe({ ...options, buffer: 16_384 });
      ready.push(loop.ready);
      for await (const { room, type, data, headers, signal } of loop) {
        if (ballast.includes(room)) continue;
        if (signal !== undefined) receiver.gap(room, signal.reason);
        else receiver.hear(room, type, data, headers.n);
        if (away !== undefined && random() < 1 / away) break;
      }
    }
  };
  const loops = [...rooms, ...ballast].map((room) =>
    follow(room).catch((error) => {
      if (!has_ended) receiver.wrong ??= error;
    })
  );
  await Promise.all(ready);
  return async () => {
    has_ended = true;
    await bus.close();
    await Promise.all(loops);
  };
}

interface Kept {
  readonly number: number;
  readonly data: Uint8Array;
}

interface SaidDelta {
  readonly slot: number;
  readonly number: number;
  readonly base?: number;
}

/** Data by a decoder of somebody else; all that was sent is kept. */
function unfolded(
  kept: Map<string, Kept>,
  room: string,
  { slot, number, base = 0 }: SaidDelta,
  data: Uint8Array,
): Uint8Array {
  const key = `${room} ${slot}`;
  const held = kept.get(key);
  if (base !== 0 && held?.number !== base) throw new Error(`${base} of ${key} is not there`);
  const whole = base === 0 || held === undefined
    ? data
    : data[0] === 0xd6
    ? new Uint8Array(decode(data, held.data))
    : applyDelta(held.data, data) as Uint8Array;
  kept.set(key, { number, data: whole });
  return whole;
}

/** Reads what comes from now on, however long nothing does. */
function reading(
  { socket }: RawClient,
  receiver: Receiver,
  hear: (frame: Uint8Array | string) => void,
) {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  let has_ended = false;
  socket.onmessage = ({ data }) => {
    try {
      hear(typeof data === "string" ? data : new Uint8Array(data));
    } catch (error) {
      receiver.wrong ??= error;
    }
  };
  socket.onclose = ({ code, reason }) => {
    if (!has_ended) receiver.wrong ??= new Error(`the connection ended: ${code} ${reason}`);
    resolve();
  };
  return async () => {
    has_ended = true;
    socket.close();
    await over;
  };
}

async function openJson({ url, token }: Place, receiver: Receiver) {
  const client = await openText(url, token);
  await ask(client, { op: "sub", room: PATTERN, delta: true, delta_bytes: 16_777_216 });
  const kept = new Map<string, Kept>();
  return reading(client, receiver, (frame) => {
    const { op, room, type, delta, data, headers, signal } = JSON.parse(String(frame));
    if (op !== "msg") return;
    if (signal !== undefined) return receiver.gap(room, signal.reason);
    const bytes = new TextEncoder().encode(delta === undefined ? JSON.stringify(data) : data);
    const whole = delta === undefined ? bytes : unfolded(kept, room, delta, bytes);
    receiver.hear(room, type, whole, headers?.n);
  });
}

async function openFrames({ url, token }: Place, receiver: Receiver) {
  const client = await openBinary(url, token);
  const sub = encodeSub({ room_id: PATTERN, request_id: 1, batch: true });
  client.send(askDeltas(sub, { delta_bytes: 16_777_216, vcdiff: true }));
  await client.frame();
  const kept = new Map<string, Kept>();
  const hear = (envelope: Uint8Array) => {
    const { room_id, event, signal, headers } = readRouted(envelope);
    if (event === undefined) return receiver.gap(room_id, signal?.reason);
    const delta = findData(envelope)?.delta;
    const whole = delta === undefined ? event.data : unfolded(kept, room_id, delta, event.data);
    receiver.hear(room_id, event.type, whole.slice(), headers.n);
  };
  return reading(client, receiver, (frame) => {
    if (typeof frame === "string") return;
    if (frame[0] === Opcode.MSG) hear(frame.subarray(1));
    if (frame[0] !== Opcode.BATCH) return;
    const reader = new WireReader(frame.subarray(1));
    while (reader.pos < reader.end) hear(reader.view());
  });
}

const inShow = ({ room }: Shown) => room.startsWith("show-");
const sdk = (name: string, how: SdkWay, more: Partial<Way> = {}): Way => ({
  ...{ name, wants: inShow, misses: "nothing" },
  open: (place, receiver) => openSdk(place, receiver, how),
  ...more,
});
/** One that stops reading at times; what it then misses is its room's `slow_reader`. */
const slow = (name: string, rooms: string[], more: Partial<Way>): Way =>
  sdk(name, { rooms, ballast: Object.values(ballastOf(name)) }, { slow: "left out", ...more });
const part = { filter: 'headers["part"] != "1"' };
const inPart = (shown: Shown) => inShow(shown) && shown.part !== "1";
const key = { filter: 'headers["x-key"] == "k2"' };

/** All of them. */
export const WAYS: readonly Way[] = [
  sdk("whole messages", { rooms: SHOW_ROOMS, bytes: null }),
  sdk("deltas, by rooms", { rooms: SHOW_ROOMS }),
  sdk("deltas, by a pattern", { rooms: [PATTERN] }),
  sdk("deltas, by a pattern, of 10,000 bytes", { rooms: [PATTERN], bytes: 10_000 }),
  sdk("two of three, by a pattern", { rooms: [PATTERN], options: part }, { wants: inPart }),
  sdk("one key, by rooms", { rooms: SHOW_ROOMS, options: key }, {
    wants: (shown) => inShow(shown) && shown.key === "k2",
  }),
  sdk("frames are lost, by a pattern", {
    ...{ rooms: [PATTERN], losses: { frames: 1 / 60, connections: 0 } },
  }, { misses: "anything" }),
  sdk("frames are lost, by rooms with a filter", {
    ...{ rooms: SHOW_ROOMS, options: part, losses: { frames: 1 / 60, connections: 0 } },
  }, { misses: "anything", wants: inPart }),
  sdk("frames and connections are lost", {
    ...{ rooms: [PATTERN], losses: { frames: 1 / 80, connections: 1 / 300 } },
  }, { misses: "anything" }),
  sdk("away at times", { rooms: SHOW_ROOMS, away: 200 }, { misses: "anything" }),
  { name: "JSON, by a pattern", wants: inShow, misses: "nothing", open: openJson },
  { name: "frames by hand, by a pattern", wants: inShow, misses: "nothing", open: openFrames },
  slow(SLOW[0]!, [PATTERN], { misses: "told", slow: "closed" }),
  slow(SLOW[1]!, [OLDEST_ROOM], {
    ...{ misses: "told", wants: ({ room }) => room === OLDEST_ROOM },
  }),
  slow(SLOW[2]!, [LATEST_ROOM], {
    ...{ misses: "older", wants: ({ room }) => room === LATEST_ROOM },
  }),
];
