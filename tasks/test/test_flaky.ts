/**
 * `deno task test:flaky [--times N] [--load] FILE…`: runs each file N times, each time in a separate `deno test`, and
 * prints the number of failures. With `--load`, one busy loop per core runs in parallel. Exits 1 if a run failed. It
 * fixes nothing, and does not distinguish a flaky test from a broken one: that is the reader's task.
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
/** Runs in a thread of this process, so that it ends with the process. */
const BUSY_LOOP = "data:application/javascript,for (;;);";

/** Runs a file this many times; the number of failures, with each failed test, the most frequent first. */
async function runFile(file: string, times: number): Promise<boolean> {
  let failures = 0;
  const counts = new Map<string, number>();
  for (let run = 0; run < times; run++) {
    let output = "";
    let names: readonly string[] = [];
    const { failed } = await runTests([file], {
      print: (text) => void (output += text),
      onReport: (report) => void (names = readReport(report).flatMap((one) => one.failed)),
    });
    show(failed > 0 ? `${output}F` : ".");
    if (failed === 0) continue;
    failures++;
    for (const name of names.length > 0 ? names : [UNNAMED]) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  show(`\n${failures} of ${times} runs failed: ${file}\n`);
  for (const [name, count] of [...counts].toSorted(([, one], [, other]) => other - one)) {
    show(`  ${count} x ${name}\n`);
  }
  return failures > 0;
}

/** The parsed arguments; undefined if they are invalid. */
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
  const args = await readArguments(Deno.args).catch((error: Error) => {
    console.error(`${error.message}\n${USAGE}`);
    Deno.exit(2);
  });
  const loops = args.is_loaded ? navigator.hardwareConcurrency : 0;
  const load = Array.from({ length: loops }, () => new Worker(BUSY_LOOP, { type: "module" }));
  let is_failed = false;
  for (const file of args.files) is_failed = await runFile(file, args.times) || is_failed;
  for (const loop of load) loop.terminate();
  Deno.exit(is_failed ? 1 : 0);
}
