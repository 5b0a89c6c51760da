/**
 * Runs `deno test` with the permissions that the tests need, shows its output as it comes, and ends with the
 * line `N passed, N failed`.
 */
import { tmpdir } from "node:os";
import { ensureNatsServer } from "../nats_server.ts";
import { ROOT } from "../checkout/source_files.ts";
import { followTests } from "./test_process.ts";
import { formatSlowest, formatTotals, readTotals, type TestTotals } from "./test_summary.ts";

/**
 * Test files that run at the same time. A file that starts servers waits for them, and for clocks, for more
 * than half of its time: one file for each core would leave the cores idle.
 */
const FILES_PER_CORE = 3;
/** A file may start a cluster, which takes most of a gigabyte. */
const FILES_MAX = 8;

/**
 * The permissions of the tests. They talk only to servers on this machine, write to the checkout's cache and
 * to the folder for temporary files, touch one source file so that the development bus restarts, and start
 * nats-server and our own programs. The variables are those that the TypeScript compiler reads.
 */
function permissions(): string[] {
  const writable = [`${ROOT}.arqon`, tmpdir(), `${ROOT}shield/main.ts`];
  return [
    "--no-prompt",
    // 192.0.2.1 belongs to nobody (RFC 5737), so a listener cannot be opened there.
    "--allow-net=127.0.0.0/8,localhost,[::1],0.0.0.0,192.0.2.1",
    "--allow-read",
    `--allow-write=${writable.join(",")}`,
    "--allow-run",
    "--unstable-worker-options",
    "--unstable-net",
    // A test of a read-only folder asks whether it runs as root, who may write everywhere.
    "--allow-sys=uid",
    "--allow-env=CI,TSC_*,NODE_*,VSCODE_*",
    // Other variables that packages ask for do not exist.
    "--ignore-env",
  ];
}

/** Writes text to stdout now. */
export function show(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

/** What else there is to a run. */
export interface RunOptions {
  /** Makes sure that there is a nats-server, unless it is false. */
  readonly with_nats?: boolean;
  /** Gets what the tests say, as it comes. */
  readonly print?: (text: string) => void;
  /** Gets the report, in JUnit's format. */
  readonly onReport?: (report: string) => void;
}

/** Runs the tests; `args` go to `deno test` unchanged. Says in the end which files took longest. */
export async function runTests(
  args: readonly string[],
  {
    with_nats = true,
    print = show,
    onReport = (report) => print(formatSlowest(report)),
  }: RunOptions = {},
): Promise<TestTotals> {
  try {
    if (with_nats) await ensureNatsServer();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return { passed: 0, failed: 1 };
  }
  const report = await Deno.makeTempFile({ prefix: "arqon_tests_", suffix: ".xml" });
  try {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["test", "--parallel", ...permissions(), `--junit-path=${report}`, ...args],
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      env: {
        DENO_JOBS: String(Math.min(FILES_MAX, FILES_PER_CORE * navigator.hardwareConcurrency)),
        ...Deno.stdout.isTerminal() ? { FORCE_COLOR: "1" } : {},
      },
    }).spawn();
    const { output, success } = await followTests(
      { name: "deno test", child, kept: child.stdout },
      print,
    );
    onReport(await Deno.readTextFile(report));
    return readTotals(output, success);
  } finally {
    await Deno.remove(report);
  }
}

/** Prints the totals as the last line and exits 1 when a test failed. */
export function finish(totals: TestTotals): void {
  console.log(formatTotals(totals));
  if (totals.failed > 0) Deno.exit(1);
}
