/** A check of traffic over all its threads: hands out what is read, and adds up what they have counted. */
import { CommandError } from "../terminal/exit.ts";
import {
  addTraffic,
  type CandidateSchema,
  emptyTraffic,
  type TrafficEvent,
  type TrafficTally,
} from "./schema_checker.ts";
import type { JournalCounts, TrafficMail, TrafficNews } from "./schema_thread.ts";
import type { ReplaySelection } from "../replay/selection.ts";

/** Traffic in pieces: lines of a journal, or events of rooms. */
export type TrafficPiece =
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly events: readonly TrafficEvent[] };

/** What a check needs. */
export interface TrafficRunOptions {
  readonly pieces: AsyncIterable<TrafficPiece>;
  readonly candidate: CandidateSchema;
  readonly selection: Omit<ReplaySelection, "policy">;
  readonly threads: number;
  /** When it is aborted, no more pieces are read; what was read is counted. */
  readonly signal: AbortSignal;
  /** Called with the number of events that are checked so far. */
  readonly onProgress: (checked: number) => void;
}

/** What a check has found. */
export interface TrafficResult {
  readonly tally: TrafficTally;
  readonly journal: JournalCounts;
}

/** Pieces that a thread has at a time. */
const AHEAD = 2;

type Told = Extract<TrafficNews, { kind: "tally" }>;

interface Lane {
  readonly thread: Worker;
  checked: number;
  readonly told: PromiseWithResolvers<Told>;
}

function startThread(number: number): Worker {
  return new Worker(new URL("./schema_thread.ts", import.meta.url), {
    type: "module",
    name: `traffic-${number}`,
    deno: { permissions: "none" },
  });
}

/** Runs a check to its end, or to the signal. Throws a `CommandError` when the candidate cannot be used. */
export async function checkTraffic(options: TrafficRunOptions): Promise<TrafficResult> {
  const { pieces, candidate, selection, signal, onProgress } = options;
  const free: Lane[] = [];
  let wake = () => {};
  let failed: { readonly error: unknown } | undefined;
  const fail = (error: unknown) => {
    failed ??= { error };
    for (const { told } of lanes) told.reject(error);
    wake();
  };
  const hear = (lane: Lane, news: TrafficNews) => {
    if (news.kind === "problem") return fail(new CommandError(`the candidate: ${news.problem}`));
    if (news.kind === "tally") return lane.told.resolve(news);
    lane.checked = news.checked;
    free.push(lane);
    onProgress(lanes.reduce((sum, { checked }) => sum + checked, 0));
    wake();
  };
  const post = ({ thread }: Lane, mail: TrafficMail, moved: Transferable[] = []) =>
    thread.postMessage(mail, moved);
  const lanes = Array.from({ length: options.threads }, (_, number): Lane => {
    const lane = { thread: startThread(number), checked: 0, told: Promise.withResolvers<Told>() };
    lane.told.promise.catch(() => {});
    lane.thread.onmessage = ({ data }: MessageEvent<TrafficNews>) => hear(lane, data);
    lane.thread.onerror = (event) => {
      event.preventDefault();
      fail(new Error(`a thread of the check has died: ${event.message}`));
    };
    post(lane, { kind: "start", candidate, selection });
    return lane;
  });
  for (let ahead = 0; ahead < AHEAD; ahead++) free.push(...lanes);
  const stop = () => wake();
  signal.addEventListener("abort", stop);
  const freeLane = async (): Promise<Lane | undefined> => {
    while (failed === undefined && !signal.aborted) {
      const lane = free.shift();
      if (lane !== undefined) return lane;
      await new Promise<void>((resolve) => (wake = resolve));
    }
    if (failed !== undefined) throw failed.error;
    return undefined;
  };
  try {
    await handOut(pieces, freeLane, post, signal);
    for (const lane of lanes) post(lane, { kind: "finish" });
    const told = await Promise.all(lanes.map(({ told }) => told.promise));
    return sumOf(told);
  } finally {
    signal.removeEventListener("abort", stop);
    for (const { thread } of lanes) thread.terminate();
  }
}

async function handOut(
  pieces: AsyncIterable<TrafficPiece>,
  freeLane: () => Promise<Lane | undefined>,
  post: (lane: Lane, mail: TrafficMail, moved?: Transferable[]) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const piece of pieces) {
      const lane = await freeLane();
      if (lane === undefined) return;
      if ("bytes" in piece) post(lane, { kind: "lines", ...piece }, [piece.bytes.buffer]);
      else post(lane, { kind: "events", ...piece });
    }
  } catch (error) {
    // A stream that the signal has ended is an end like another.
    if (!signal.aborted) throw error;
  }
}

function sumOf(told: readonly Told[]): TrafficResult {
  const tally = emptyTraffic();
  const journal: JournalCounts = { lines: 0, bad_lines: 0, holes: 0, outside: 0 };
  for (const one of told) {
    addTraffic(tally, one.tally);
    for (const name of ["lines", "bad_lines", "holes", "outside"] as const) {
      journal[name] += one.journal[name];
    }
  }
  tally.events.sort((one, other) => one.time_ms - other.time_ms);
  return { tally, journal };
}
