/**
 * One target in a separate process: feeds it in batches and prints its progress and memory after each, on stdout.
 * `run.ts` checks that it reports in time.
 */
import { turn } from "../../shared/testing/pace.ts";
import { feed, FuzzFailure } from "./feed.ts";
import { makeTarget } from "./targets.ts";

/** The job. */
export interface ChildJob {
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  readonly runs: number;
  /** Inputs between two reports. */
  readonly batch: number;
}

/** One line of its output. */
export type ChildReport =
  | {
    readonly type: "batch";
    readonly next: number;
    readonly taken: number;
    readonly refused: number;
    readonly bytes: number;
    readonly slowest_ms: number;
    readonly slowest: number;
    /** After a garbage collection: JavaScript's heap and external memory. */
    readonly held_bytes: number;
  }
  | {
    readonly type: "failure";
    readonly place: number;
    readonly base64: string;
    readonly text: string;
  };

/** The runtime frees external memory between turns, as in a server. */
async function held(): Promise<number> {
  const { gc } = globalThis as unknown as { gc(): void };
  for (let turns = 0; turns < 2; turns++) {
    gc();
    await turn();
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

function say(report: ChildReport): void {
  const line = new TextEncoder().encode(`${JSON.stringify(report)}\n`);
  for (let at = 0; at < line.length;) at += Deno.stdout.writeSync(line.subarray(at));
}

if (import.meta.main) {
  const job = JSON.parse(Deno.args[0] ?? "") as ChildJob;
  const target = await makeTarget(job.target);
  const end = job.from + job.runs;
  try {
    for (let next = job.from; next < end;) {
      const runs = Math.min(job.batch, end - next);
      const fed = await feed(target, { seed: job.seed, from: next, runs });
      next += runs;
      say({ type: "batch", next, ...fed, held_bytes: await held() });
    }
  } catch (error) {
    if (!(error instanceof FuzzFailure)) throw error;
    const { place, bytes, cause } = error;
    const text = cause instanceof Error ? cause.stack ?? cause.message : error.message;
    say({ type: "failure", place, base64: bytes.toBase64(), text: text.slice(0, 4_000) });
    Deno.exit(1);
  }
}
