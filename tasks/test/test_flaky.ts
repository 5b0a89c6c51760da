/**
 * `deno task test:flaky [--times N] [--load] FILE…`: runs each file N times, each time in a `deno test` of its own, and
 * says how often it failed. With `--load` as many busy loops as the machine has cores run beside it. Exits 1 when a run
 * failed. It mends nothing, and tells no flaky test from a broken one: that is the reader's.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../checkout/source_files.ts";
import { runTests, show } from "./run_tests.ts";
import { readReport } from "./test_summary.ts";

const TIMES = 10;
const USAGE = `usage: deno task test:flaky [--times ${TIMES}] [--load] FILE…
Runs each file of tests that many times, with --load beside a busy loop for each core.`;
const UNNAMED = "no test: the file does not load, or its process ended";
/** Lives in a thread of this process, so that it ends with it. */
const BUSY_LOOP = "data:application/javascript,for (;;);";

/** One run of a file. */
export interface FlakyRun {
  /** Of its tests together. */
  readonly seconds: number;
  readonly is_failed: boolean;
  /** Names of the tests that failed. */
  readonly failed: readonly string[];
}

const HEAD = "  runs  failed   rate  slowest  file";

/** The lines of one file: its row, and below it each test that failed, the most frequent first. */
export function flakyRow(file: string, runs: readonly FlakyRun[]): string {
  const failures = runs.filter(({ is_failed }) => is_failed);
  const counts = new Map<string, number>();
  for (const { failed } of failures) {
    for (const name of failed.length > 0 ? failed : [UNNAMED]) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  const slowest = Math.max(...runs.map(({ seconds }) => seconds));
  const row = [
    `${runs.length}`.padStart(6),
    `${failures.length}`.padStart(8),
    `${(100 * failures.length / runs.length).toFixed(0)} %`.padStart(7),
    `${slowest.toFixed(1)} s`.padStart(9),
    `  ${file}`,
  ];
  const names = [...counts].toSorted(([, one], [, other]) => other - one);
  return [row.join(""), ...names.map(([name, count]) => `${count}`.padStart(14) + ` x ${name}`)]
    .join("\n");
}

async function runOnce(file: string): Promise<FlakyRun> {
  let output = "";
  let report = "";
  const { failed } = await runTests([file], {
    print: (text) => void (output += text),
    onReport: (text) => void (report = text),
  });
  if (failed > 0) show(output);
  const files = readReport(report);
  return {
    seconds: files.reduce((sum, { seconds }) => sum + seconds, 0),
    is_failed: failed > 0,
    failed: files.flatMap((one) => one.failed),
  };
}

async function runAll(files: readonly string[], times: number): Promise<boolean> {
  const rows: string[] = [];
  let is_failed = false;
  for (const file of files) {
    const runs: FlakyRun[] = [];
    while (runs.length < times) {
      const run = await runOnce(file);
      runs.push(run);
      is_failed ||= run.is_failed;
      show(run.is_failed ? "F" : ".");
    }
    rows.push(flakyRow(file, runs));
    show(`\n${rows.at(-1)}\n`);
  }
  show(`\n${HEAD}\n${rows.join("\n")}\n`);
  return is_failed;
}

/** What was asked for; undefined when the arguments say nothing that can be done. */
async function readArguments(args: readonly string[]) {
  const { values, positionals: files } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { times: { type: "string", default: `${TIMES}` }, load: { type: "boolean" } },
  });
  if (!/^[1-9]\d*$/.test(values.times)) throw new Error(`--times ${values.times} is no number`);
  if (files.length === 0) throw new Error("no file given");
  for (const file of files) {
    const found = await Deno.stat(resolve(ROOT, file)).catch(() => undefined);
    if (found?.isFile !== true) throw new Error(`${file} is no file`);
  }
  return { files, times: Number(values.times), is_loaded: values.load === true };
}

if (import.meta.main) {
  const asked = await readArguments(Deno.args).catch((error: Error) => {
    console.error(`${error.message}\n${USAGE}`);
    Deno.exit(2);
  });
  const loops = asked.is_loaded ? navigator.hardwareConcurrency : 0;
  const load = Array.from({ length: loops }, () => new Worker(BUSY_LOOP, { type: "module" }));
  const is_failed = await runAll(asked.files, asked.times);
  for (const loop of load) loop.terminate();
  Deno.exit(is_failed ? 1 : 0);
}
