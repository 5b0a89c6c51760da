/**
 * Counts the garbage of messages in a server of its own process, by V8's own count between two full
 * collections. The young generation is large enough to keep everything until it is counted.
 */
import type { BareOptions } from "../load/targets/bare_server.ts";
import { type Program, startProgram } from "../measure/line_program.ts";
import type { Wire, WireSpec } from "../load/targets/target.ts";
import { usagesOf } from "../measure/usage.ts";
import { ARQON_WIRE } from "../load/wires/wire_arqon.ts";
import { RAW_WIRE } from "../load/wires/wire_raw.ts";
import { ROOT } from "../measure/scenario.ts";
import { busProgram } from "../measure/targets.ts";
import { medianOf } from "../measure/statistics.ts";
import { openCrowd } from "./echo_crowd.ts";
import { type HeapReading, openHeap } from "./heap.ts";

/** A server whose garbage is counted. */
export interface GarbageServer {
  readonly title: string;
  readonly wire: Wire;
  start(flags: readonly string[], v8_flags: readonly string[]): Program;
  /** The wire for the line that the server prints when it is ready. */
  specOf(ready: Record<string, string>): WireSpec;
}

/** The load for the server. */
export interface GarbageLoad {
  readonly messages: number;
  readonly connections: number;
  readonly body_bytes: number;
}

/** The garbage of one message. */
export interface Garbage {
  readonly objects_bytes: number;
  readonly contents_bytes: number;
}

/** The memory of a process after full collections. */
export interface Rest {
  readonly messages: number;
  readonly heap_bytes: number;
  readonly contents_bytes: number;
  readonly rss_bytes: number;
}

/** The results for one server. */
export interface Measured {
  readonly garbage: Garbage;
  /** The memory after a tenth of the messages, and at the end. */
  readonly rests: readonly [Rest, Rest];
}

/** Messages between two collections, few enough for their garbage to fit the young generation. */
const CHUNK = 10_000;
const YOUNG_MB = 128;
/** Least share of the set-aside bytes that is in use unless something was collected. */
const USED_SHARE = 0.75;
/** Messages that are under way on each connection. */
const WINDOW = 32;

/** The module that is loaded before a server's program. */
const PROBE = `${ROOT}/bench/garbage/probe.ts`;

/** The whole bus as `startBus` starts it: no policy, no journal, embedded Spine. */
export const ARQON_SERVER: GarbageServer = {
  title: "ArqonBus (embedded)",
  wire: ARQON_WIRE,
  start(flags, v8_flags) {
    const v8 = `--v8-flags=${["--no-wasm-lazy-compilation", ...v8_flags].join(",")}`;
    return busProgram([...flags, v8, "--unstable-worker-options", "--unstable-net"]);
  },
  specOf: ({ url = "", token = "" }) => ({ protocol: "arqon", url, tokens: [token] }),
};

/** Deno's own WebSocket server, which only echoes. */
export const DENO_SERVER: GarbageServer = {
  title: "bare Deno",
  wire: RAW_WIRE,
  start(flags, v8_flags) {
    const options: BareOptions = { kind: "deno" };
    const v8 = v8_flags.length === 0 ? [] : [`--v8-flags=${v8_flags.join(",")}`];
    return startProgram("bench/load/targets/bare_server.ts", {
      flags: [
        ...flags,
        ...v8,
        "--ignore-env",
        "--allow-net=127.0.0.1",
      ],
      args: [JSON.stringify(options)],
    });
  },
  specOf: ({ url = "" }) => ({ protocol: "raw", url, tokens: [""] }),
};

/** The garbage of one message between two readings; undefined when some of it was collected already. */
function garbageOf(
  before: HeapReading,
  after: HeapReading,
  messages: number,
): Garbage | undefined {
  const objects_bytes = after.heap_bytes - before.heap_bytes;
  const ever_bytes = after.ever_bytes - before.ever_bytes;
  if (objects_bytes < ever_bytes * USED_SHARE) return undefined;
  return {
    objects_bytes: objects_bytes / messages,
    contents_bytes: (after.contents_bytes - before.contents_bytes) / messages,
  };
}

/** A server under load whose heap can be read. */
async function open(server: GarbageServer, load: GarbageLoad) {
  await using opening = new AsyncDisposableStack();
  const young = [`--min-semi-space-size=${YOUNG_MB}`, `--max-semi-space-size=${YOUNG_MB}`];
  const program = opening.use(server.start([`--preload=${PROBE}`], ["--expose-gc", ...young]));
  const { probe } = await program.hear<{ probe: number }>();
  const spec = server.specOf(await program.hear());
  const heap = opening.use(await openHeap(probe));
  const crowd = opening.use(await openCrowd(server.wire, spec, { ...load, window: WINDOW }));
  const opened = opening.move();
  return {
    heap,
    crowd,
    async rest(messages: number): Promise<Rest> {
      // Finalizers of one collection free what the next one collects.
      for (let times = 0; times < 3; times++) await heap.collect();
      const { heap_bytes, contents_bytes } = await heap.read();
      const [usage] = await usagesOf([[program.pid]]);
      return { messages, heap_bytes, contents_bytes, rss_bytes: usage!.rss_bytes };
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** The median of the chunks. Throws when most chunks were collected before they were counted. */
function middleOf(chunks: readonly (Garbage | undefined)[]): Garbage {
  const counted = chunks.filter((one) => one !== undefined);
  if (counted.length <= chunks.length / 2) {
    throw new Error(`only ${counted.length} of ${chunks.length} chunks were not collected`);
  }
  const objects_bytes = medianOf(counted, "objects_bytes");
  return { objects_bytes, contents_bytes: medianOf(counted, "contents_bytes") };
}

/** Runs the load on a server. The first tenth does not count, since the engine still optimises. */
export async function measureGarbage(server: GarbageServer, load: GarbageLoad): Promise<Measured> {
  await using running = await open(server, load);
  const { heap, crowd } = running;
  const { messages } = load;
  const chunks: (Garbage | undefined)[] = [];
  let first: Rest | undefined;
  for (let sent = 0; sent < messages;) {
    const chunk = Math.min(CHUNK, messages - sent);
    const before = await heap.collect();
    await crowd.exchange(chunk);
    const after = await heap.read();
    sent += chunk;
    if (first !== undefined) chunks.push(garbageOf(before, after, chunk));
    else if (sent >= messages / 10) first = await running.rest(sent);
  }
  const last = await running.rest(messages);
  return { garbage: middleOf(chunks), rests: [first ?? last, last] };
}
