/**
 * The tenants of `deno task bench usage`, each with a kind of load of its own: many to one another, one to many,
 * large bodies, a policy, a log, and nobody says a word. How long each runs is the caller's.
 */
import { decodeServerFrame, encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { connectSocket, type LoadSocket } from "../measure/socket.ts";

/** How often a load sends what is due, in ms. */
const TICK_MS = 20;

/** One tenant and its load. */
export interface UsageLoad {
  readonly tenant: string;
  /** Rooms; each connection is in one of them and publishes there. */
  readonly rooms: number;
  readonly readers: number;
  /** Connections that publish. */
  readonly writers: number;
  readonly body_bytes: number;
  /** Messages a second while it runs, all writers together. */
  readonly rate: number;
  /** Names of rooms begin so. */
  readonly prefix: string;
}

const load = (tenant: string, more: Partial<UsageLoad>): UsageLoad => ({
  tenant,
  rooms: 10,
  readers: 10,
  writers: 10,
  body_bytes: 100,
  rate: 500,
  prefix: "room",
  ...more,
});

/** All tenants. */
export const USAGE_LOADS: readonly UsageLoad[] = [
  load("pairs", { rate: 6_000 }),
  load("crowd", { rooms: 1, readers: 60, writers: 1, rate: 240 }),
  load("large", { body_bytes: 16_384, rate: 500 }),
  load("judged", { body_bytes: 1_000, rate: 2_500 }),
  load("kept", { prefix: "kept", rate: 2_500 }),
  load("silent", { readers: 200, writers: 0, rate: 0 }),
];

/** A tenant that is connected. */
export interface OpenLoad extends Disposable {
  readonly load: UsageLoad;
  /** Messages that were received so far. */
  readonly received: number;
  /**
   * Sends at its rate for a time, after another one; gives how many messages have to be received for it.
   */
  run(pause_seconds: number, seconds: number): Promise<number>;
}

/** Opens all connections of a tenant. */
export async function openLoad(url: string, token: string, load: UsageLoad): Promise<OpenLoad> {
  const counts = { received: 0 };
  const sockets: { readonly socket: LoadSocket; readonly room: string }[] = [];
  const readers_of = new Map<string, number>();
  for (let at = 0; at < load.readers; at++) {
    const room = `${load.prefix}-${at % load.rooms}`;
    readers_of.set(room, (readers_of.get(room) ?? 0) + 1);
    sockets.push({ socket: await openReader(url, token, room, () => counts.received++), room });
  }
  const body = new Uint8Array(load.body_bytes).fill(0x61);
  return {
    load,
    get received() {
      return counts.received;
    },
    async run(pause_seconds, seconds) {
      const writers = sockets.slice(0, load.writers);
      await new Promise((resolve) => setTimeout(resolve, pause_seconds * 1_000));
      const begun_ms = performance.now();
      let [sent, expected] = [0, 0];
      for (let elapsed_ms = 0; elapsed_ms < seconds * 1_000;) {
        await new Promise((resolve) => setTimeout(resolve, TICK_MS));
        elapsed_ms = performance.now() - begun_ms;
        const due = Math.min(elapsed_ms / 1_000, seconds) * load.rate;
        for (; writers.length > 0 && sent < due; sent++) {
          const { socket, room } = writers[sent % writers.length]!;
          socket.send(publication(room, body));
          expected += readers_of.get(room) ?? 0;
        }
      }
      return expected;
    },
    [Symbol.dispose]: () => sockets.forEach(({ socket }) => socket.close()),
  };
}

async function openReader(
  url: string,
  token: string,
  room_id: string,
  onMessage: () => void,
): Promise<LoadSocket> {
  const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
  const { promise: subscribed, resolve, reject } = Promise.withResolvers<void>();
  socket.onmessage = (data) => {
    const frame = decodeServerFrame(data);
    if (frame.kind === "ack" && frame.ack.code === 0) resolve();
    if (frame.kind === "err") reject(new Error(frame.message));
  };
  socket.send(encodeSub({ room_id, request_id: 1 }));
  await subscribed;
  socket.onmessage = (frame) => {
    if (frame[0] === Opcode.MSG) onMessage();
    else if (frame[0] === Opcode.PING) {
      socket.send(new Uint8Array([Opcode.PONG, ...frame.subarray(1)]));
    }
  };
  return socket;
}

function publication(room_id: string, data: Uint8Array): Uint8Array {
  const content_type = "application/octet-stream";
  const event = { type: "bench", data, content_type, schema_id: "" };
  return encodePub(writeEnvelope({ room_id, event }));
}
