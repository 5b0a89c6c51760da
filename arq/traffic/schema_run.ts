/** A check of traffic over all its threads: hands out the input, and adds up the counts. */
import { CommandError } from "../terminal/exit.ts";
import { addTraffic, emptyTraffic } from "./schema_checker.ts";
import type { CandidateSchema, TrafficEvent, TrafficTally } from "./schema_checker.ts";
import type { JournalCounts, TrafficMail, TrafficNews } from "./schema_thread.ts";
import { Lanes } from "../replay/lanes.ts";
import type { ReplaySelection } from "../replay/selection.ts";

/** Traffic in pieces: lines of a journal, or events of rooms. */
export type TrafficPiece =
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly events: readonly TrafficEvent[] };

interface TrafficRunOptions {
  readonly pieces: AsyncIterable<TrafficPiece>;
  readonly candidate: CandidateSchema;
  readonly selection: Omit<ReplaySelection, "policy">;
  readonly threads: number;
  /** After the abort no more chunks are read; the results so far are counted. */
  readonly signal: AbortSignal;
  /** Called with the number of events checked so far. */
  readonly onProgress: (checked: number) => void;
}

interface TrafficResult {
  readonly tally: TrafficTally;
  readonly journal: JournalCounts;
}

type Tally = Extract<TrafficNews, { kind: "tally" }>;

function startThread(number: number): Worker {
  return new Worker(new URL("./schema_thread.ts", import.meta.url), {
    type: "module",
    name: `traffic-${number}`,
    deno: { permissions: "none" },
  });
}

/** Runs a check to its end, or to the signal. Throws a `CommandError` when the candidate cannot be used. */
export async function checkTraffic(options: TrafficRunOptions): Promise<TrafficResult> {
  const { pieces, candidate, selection, threads, signal, onProgress } = options;
  const lanes = new Lanes<TrafficMail, TrafficNews, Tally>({
    threads,
    start: startThread,
    first: { kind: "start", candidate, selection },
    last: { kind: "finish" },
    receive: (lane, news) => {
      if (news.kind === "ready") return lane.ready();
      if (news.kind === "tally") return lane.finish(news);
      if (news.kind === "done") return lane.done(news.checked);
      lanes.fail(new CommandError(`the candidate: ${news.problem}`));
    },
    signal,
    onProgress,
  });
  return sumOf(
    await lanes.run(pieces, (lane, piece) => {
      if ("bytes" in piece) lane.post({ kind: "lines", ...piece }, [piece.bytes.buffer]);
      else lane.post({ kind: "events", ...piece });
    }),
  );
}

function sumOf(results: readonly Tally[]): TrafficResult {
  const tally = emptyTraffic();
  const journal: JournalCounts = { lines: 0, bad_lines: 0, holes: 0, outside: 0 };
  for (const one of results) {
    addTraffic(tally, one.tally);
    for (const name of ["lines", "bad_lines", "holes", "outside"] as const) {
      journal[name] += one.journal[name];
    }
  }
  tally.events.sort((one, other) => one.time_ms - other.time_ms);
  return { tally, journal };
}
