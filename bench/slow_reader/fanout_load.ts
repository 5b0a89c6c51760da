/**
 * One publisher and many readers of a room, in client processes of their own, on a bus that runs already. It
 * does not know what is measured.
 */
import { encodePub, writeEnvelope } from "@arqon/proto";
import { STAMP, STAMP_BYTES } from "./fanout_readers.ts";
import type { ReadersOrder, ReadersReport } from "./fanout_readers.ts";
import { startProgram } from "../measure/line_program.ts";
import { delaysOf, sumOf } from "../measure/statistics.ts";
import { connectSocket } from "../measure/socket.ts";

/** Time limit in ms, reached only when something hangs or messages are lost. */
const PATIENCE_MS = 60_000;
const ASK_MS = 20;
const TICK_MS = 1;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const unixMs = () => performance.timeOrigin + performance.now();

/** What all readers received. */
export interface FanoutResult {
  readonly received: number;
  readonly frames: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** The readers of a room, in several processes. */
export interface Readers extends AsyncDisposable {
  readonly connections: number;
  /** Resolves when they have received so many messages since the last `take`; rejects when they never do. */
  until(received: number): Promise<void>;
  /** What they have received since the last `take`. */
  take(): Promise<FanoutResult>;
}

/** Starts one client process, which answers line by line. */
async function startProcess(order: ReadersOrder) {
  const program = startProgram("bench/slow_reader/fanout_readers.ts", { flags: ["--allow-net"] });
  const ask = async <T>(word: unknown): Promise<T> => {
    await program.say(word);
    return await program.hear<T>();
  };
  await ask(order);
  return {
    count: () => ask<{ received: number }>("count"),
    report: () => ask<ReadersReport>("report"),
    end: () => program[Symbol.asyncDispose](),
  };
}

/** Starts readers. Resolves when all of them hear the room. */
export async function startReaders(order: ReadersOrder, processes: number): Promise<Readers> {
  const shares = Array.from(
    { length: processes },
    (_, at) => Math.floor((order.connections + at) / processes),
  );
  const started = await Promise.all(
    shares.map((connections) => startProcess({ ...order, connections })),
  );
  const count = async () => {
    const counts = await Promise.all(started.map((one) => one.count()));
    return sumOf(counts, "received");
  };
  return {
    connections: order.connections,
    async until(received) {
      const deadline_ms = performance.now() + PATIENCE_MS;
      for (;;) {
        const missing = received - await count();
        if (missing <= 0) return;
        if (performance.now() > deadline_ms) {
          throw new Error(`${missing} of ${received} messages never came`);
        }
        await pause(ASK_MS);
      }
    },
    async take() {
      const reports = await Promise.all(started.map((one) => one.report()));
      const latencies_ms = reports.flatMap((one) => one.latencies_ms);
      const frames = sumOf(reports, "frames");
      return { received: latencies_ms.length, frames, ...delaysOf(latencies_ms) };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(started.map((one) => one.end()));
    },
  };
}

/** A message whose data begins with its due time in Unix ms. */
export function stamped(room_id: string, due_ms: number, size_bytes: number): Uint8Array {
  const data = new Uint8Array(Math.max(STAMP_BYTES, size_bytes));
  const view = new DataView(data.buffer);
  view.setUint32(0, STAMP);
  view.setFloat64(4, due_ms);
  const event = { type: "bench", data, content_type: "", schema_id: "" };
  return encodePub(writeEnvelope({ room_id, event }));
}

/** One load: `burst` messages at once, so often that there are `rate` messages per second. */
export interface FanoutLoad {
  readonly rate: number;
  readonly burst: number;
  readonly messages: number;
  readonly size_bytes: number;
}

/** A connection that publishes. */
export interface Publisher extends Disposable {
  send(frame: Uint8Array): void;
  /** Sends each message when it is due, whatever the outcome of those before. */
  run(room_id: string, load: FanoutLoad): Promise<void>;
}

/** Connects a publisher. */
export async function openPublisher(url: string, token: string): Promise<Publisher> {
  const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
  return {
    send: (frame) => socket.send(frame),
    async run(room_id, { rate, burst, messages, size_bytes }) {
      const start_ms = unixMs() + 10;
      for (let sent = 0; sent < messages;) {
        const due_ms = start_ms + sent * 1_000 / rate;
        while (due_ms > unixMs()) await pause(TICK_MS);
        for (let at = 0; at < burst && sent < messages; at++, sent++) {
          socket.send(stamped(room_id, due_ms, size_bytes));
        }
      }
    },
    [Symbol.dispose]: () => socket.close(),
  };
}
