/**
 * Runs targets, each in a child process, and judges: no input is handled wrongly, none hangs or kills the process, and
 * memory does not grow. `targets.ts` has the inputs.
 */
import type { ChildJob, ChildReport } from "./child.ts";

/** The options for one target. */
export interface TargetRun {
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  readonly runs: number;
  /** A batch that takes longer counts as hanging, in ms. */
  readonly watch_ms: number;
  /** Called periodically with the number of processed inputs. */
  readonly onProgress?: (done: number) => void;
}

/** Its outcome. */
export interface TargetResult {
  readonly target: string;
  readonly done: number;
  readonly taken: number;
  readonly refused: number;
  readonly duration_ms: number;
  readonly slowest_ms: number;
  /** Growth of memory from the first quarter to the end, in bytes for each 1,000 inputs. */
  readonly slope_bytes: number;
  /** The problem, and how to reproduce it; undefined: none. */
  readonly problem: string | undefined;
  /** The input that was handled wrongly. */
  readonly input: Uint8Array | undefined;
}

/** Reports of one child; more would only add lines. */
const BATCHES = 64;
/** Caches and compiled code settle; larger growth is a leak. */
const GROWTH_BYTES = 16 * 1_048_576;
/** Maximum batch, so that a hang is found within `watch_ms` and located soon. */
const BATCH_MAX = 5_000;
const CHILD = new URL("./child.ts", import.meta.url).pathname;

type Batch = Extract<ChildReport, { type: "batch" }>;

interface Ended {
  readonly batches: readonly Batch[];
  readonly failure: Extract<ChildReport, { type: "failure" }> | undefined;
  readonly hung: boolean;
  readonly code: number;
  readonly stderr: string;
}

async function runChild(
  job: ChildJob,
  { watch_ms, onProgress }: Pick<TargetRun, "watch_ms" | "onProgress">,
): Promise<Ended> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--no-check", "--allow-read", "--v8-flags=--expose-gc"],
      ...[CHILD, JSON.stringify(job)],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  const batches: Batch[] = [];
  let failure: Ended["failure"];
  let hung = false;
  const watch = () =>
    setTimeout(() => {
      hung = true;
      child.kill("SIGKILL");
    }, watch_ms);
  let timer = watch();
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    clearTimeout(timer);
    timer = watch();
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const report = JSON.parse(line) as ChildReport;
      if (report.type === "failure") failure = report;
      else batches.push(report);
    }
    onProgress?.((batches.at(-1)?.next ?? job.from) - job.from);
  }
  const { code } = await child.status;
  clearTimeout(timer);
  return { batches, failure, hung, code, stderr: (await errors).slice(-2_000) };
}

/** The first input from which a child does not return, one by one from its last report. */
async function placeOfHang(job: ChildJob, run: TargetRun, from: number): Promise<number> {
  const runs = job.from + job.runs - from;
  const { batches } = await runChild({ ...job, from, runs, batch: 1 }, { watch_ms: run.watch_ms });
  return batches.at(-1)?.next ?? from;
}

/** Growth in bytes from the first quarter to the end: initial loading and caching is no leak. */
export function growthOf(held: readonly number[]): number {
  const quarter = Math.floor(held.length / 4);
  const early = held.slice(quarter, quarter * 2);
  const late = held.slice(-Math.max(1, quarter));
  if (early.length === 0) return 0;
  const mean = (list: readonly number[]) => list.reduce((sum, one) => sum + one, 0) / list.length;
  return mean(late) - mean(early);
}

async function problemOf(
  { batches, failure, hung, code, stderr }: Ended,
  job: ChildJob,
  run: TargetRun,
): Promise<string | undefined> {
  const { target, seed } = run;
  const again = (place: number) =>
    `deno task fuzz --target ${target} --seed ${seed} --from ${place} --runs 1`;
  if (failure !== undefined) return `${failure.text}\n${again(failure.place)}`;
  const next = batches.at(-1)?.next ?? job.from;
  if (hung) {
    const place = await placeOfHang(job, run, next);
    return `no answer within ${run.watch_ms} ms\n${again(place)}`;
  }
  if (code !== 0) {
    const place = await placeOfHang(job, run, next);
    return `the process ended with ${code}: ${stderr}\n${again(place)}`;
  }
  const growth = growthOf(batches.map(({ held_bytes }) => held_bytes));
  if (growth <= GROWTH_BYTES) return undefined;
  return `it holds ${Math.round(growth / 1_024)} KiB more at the end than early on`;
}

/** Runs one target to its end, or to the first input that it handles wrongly. */
export async function runTarget(run: TargetRun): Promise<TargetResult> {
  const { target, seed, from, runs } = run;
  const batch = Math.min(BATCH_MAX, Math.max(1, Math.ceil(runs / BATCHES)));
  const job = { target, seed, from, runs, batch };
  const began_ms = performance.now();
  const ended = await runChild(job, run);
  const duration_ms = performance.now() - began_ms;
  const { batches, failure } = ended;
  const sum = (read: (one: Batch) => number) => batches.reduce((all, one) => all + read(one), 0);
  const done = (batches.at(-1)?.next ?? from) - from;
  const growth = growthOf(batches.map(({ held_bytes }) => held_bytes));
  return {
    target,
    done,
    taken: sum((one) => one.taken),
    refused: sum((one) => one.refused),
    duration_ms,
    slowest_ms: Math.max(0, ...batches.map(({ slowest_ms }) => slowest_ms)),
    slope_bytes: done === 0 ? 0 : growth / (done / 1_000),
    problem: await problemOf(ended, job, run),
    input: failure === undefined ? undefined : Uint8Array.fromBase64(failure.base64),
  };
}
