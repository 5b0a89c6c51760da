/**
 * Runs `deno test` with the permissions that the tests need, streams its output, and ends with the line
 * `N passed, N failed`.
 */
import { tmpdir } from "node:os";
import { ensureNatsServer } from "../nats_server.ts";
import { ROOT } from "../checkout/source_files.ts";
import { followTests } from "./test_process.ts";
import { formatSlowest, formatTotals, readTotals, type TestTotals } from "./test_summary.ts";

/**
 * Number of concurrent test files. A file that starts servers waits for them, and for clocks, for more than half of its
 * time: one file for each core would leave the cores idle.
 */
const FILES_PER_CORE = 3;
/** A file may start a cluster, which needs almost a gigabyte. */
const FILES_MAX = 8;

/**
 * The permissions of the tests. They connect only to servers on this machine, write to the checkout's cache and to the
 * folder for temporary files, touch one source file so that the development bus restarts, and start nats-server and our
 * own programs. The TypeScript compiler reads the environment variables.
 */
function permissions(): string[] {
  const writable = [`${ROOT}.arqon`, tmpdir(), `${ROOT}shield/main.ts`];
  return [
    "--no-prompt",
    // 192.0.2.1 is reserved for documentation (RFC 5737), so a listener cannot be opened there.
    "--allow-net=127.0.0.0/8,localhost,[::1],0.0.0.0,192.0.2.1",
    "--allow-read",
    `--allow-write=${writable.join(",")}`,
    "--allow-run",
    "--unstable-worker-options",
    "--unstable-net",
    // A test of a read-only folder checks whether it runs as root, which may write everywhere.
    "--allow-sys=uid",
    "--allow-env=CI,TSC_*,NODE_*,VSCODE_*",
    // Other environment variables that packages read do not exist.
    "--ignore-env",
  ];
}

/** Writes text to stdout synchronously. */
export function show(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

/** Further options of a run. */
export interface RunOptions {
  /** Makes sure that there is a nats-server, unless it is false. */
  readonly with_nats?: boolean;
  /** Receives the output of the tests as it arrives. */
  readonly print?: (text: string) => void;
  /** Receives the report in JUnit's format. */
  readonly onReport?: (report: string) => void;
}

/** Runs the tests; `args` go to `deno test` unchanged. Prints the slowest files at the end. */
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
    const options = ["--parallel", ...permissions(), `--junit-path=${report}`];
    const { output, success } = await followTests({
      name: "deno test",
      command: [Deno.execPath(), "test", ...options, ...args],
      env: {
        DENO_JOBS: String(Math.min(FILES_MAX, FILES_PER_CORE * navigator.hardwareConcurrency)),
        ...Deno.stdout.isTerminal() ? { FORCE_COLOR: "1" } : {},
      },
    }, print);
    onReport(await Deno.readTextFile(report));
    return readTotals(output, success);
  } finally {
    await Deno.remove(report);
  }
}

/** Prints the totals as the last line, and exits 1 if a test failed. */
export function finish(totals: TestTotals): void {
  console.log(formatTotals(totals));
  if (totals.failed > 0) Deno.exit(1);
}
