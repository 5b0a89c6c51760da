/**
 * `deno task test:python [--checks]`: checks and tests the Python SDK in its own virtual environment below `.arqon`. It
 * runs ruff, mypy, pyright and the check of generated code (with `--checks` only these), then pytest against the real
 * bus, and the verification suite. `deno task test` has only the SDK's pytest. A failed check counts as a failed test.
 * Without Python the task is skipped with a message; in CI that is a failure.
 */
import { finish, show } from "./run_tests.ts";
import { makeVenv, PYTHON, venvBin } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";
import { type Followed, followTests } from "./test_process.ts";
import { addTotals, type TestTotals } from "./test_summary.ts";

const VENV = `${ROOT}.arqon/python`;
const BIN = venvBin(VENV);
const CONFIG = "sdk/python/pyproject.toml";
/**
 * The tests that compare us with other implementations: our reader of frames with one in Python, our verdicts on tokens
 * with PyJWT's, our readers of payloads with Google's and Go's, times of schedules with cronsim's, and metered modules,
 * recorded calls of policies and rooms with reducers with another engine.
 */
const VERIFICATION = [
  "tests/verification/frames_by_wsproto.py",
  "tests/verification/tokens_by_pyjwt.py",
  "tests/verification/payloads_by_upb.py",
  "tests/verification/modules_by_wasmtime.py",
  "tests/verification/calls_by_wasmtime.py",
  "tests/verification/rooms_by_wasmtime.py",
  "tests/verification/schedules_by_cronsim.py",
];
const SDK_TESTS = "sdk/python/tests";
const EXAMPLES = ["examples", "tests/examples"];
/** Packages for the examples, in addition to the SDK. `tests/external/map_test.ts` also uses this environment. */
const EXAMPLES_NEED = ["-r", "examples/map/python/requirements.txt"];

/** The totals of a pytest run, from its last line: "76 passed, 1 failed in 28.1s". */
export function pytestTotals(output: string): TestTotals | undefined {
  const line = output.split("\n").findLast((text) =>
    /\b(passed|failed|errors?)\b.* in /.test(text)
  );
  if (line === undefined) return undefined;
  const count = (what: RegExp) => Number(what.exec(line)?.[1] ?? 0);
  return {
    passed: count(/(\d+) passed/),
    failed: count(/(\d+) failed/) + count(/(\d+) errors?\b/),
  };
}

/** Destination of the output, as it arrives. */
type Print = (text: string) => void;

/** Runs a command in a folder of the checkout, and prints and keeps its output. */
async function run(
  print: Print,
  command: string,
  args: readonly string[],
  folder = "",
): Promise<Followed> {
  const cwd = `${ROOT}${folder}`;
  const env = { MYPYPATH: `${ROOT}sdk/python/tests` };
  const program = {
    name: command,
    command: [command, ...args],
    cwd,
    env,
    stderr: "piped",
  } as const;
  try {
    return await followTests(program, print);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { success: false, output: `${command} is not there` };
  }
}

/** The options by which a type checker checks the package for another system, with a cache for each. */
function forSystem(name: "win32" | "darwin"): readonly string[] {
  return ["--platform", name, "--cache-dir", `.mypy_cache/${name}`, "src/arqon"];
}

/** The last lines of a failed check that are repeated at the end. */
const PROBLEM_LINES = 30;

/** The checks before the tests: a name, a command, its arguments, and its working directory. */
const CHECKS: readonly (readonly [string, string, readonly string[], string])[] = [
  ["ruff", "ruff", ["check", "."], "sdk/python"],
  ["ruff format", "ruff", ["format", "--check", "--quiet", "."], "sdk/python"],
  ["mypy", "mypy", [], "sdk/python"],
  ["mypy, Windows", "mypy", forSystem("win32"), "sdk/python"],
  ["mypy, macOS", "mypy", forSystem("darwin"), "sdk/python"],
  ["pyright", "pyright", ["-p", ".", "--pythonpath", `${BIN}/python`], "sdk/python"],
  ["generated code", "python", ["generate.py", "--check"], "sdk/python"],
  ["ruff, suite", "ruff", ["check", "--config", CONFIG, "tests/verification"], ""],
  ["mypy, suite", "mypy", ["--config-file", CONFIG, ...VERIFICATION], ""],
  ["ruff, examples", "ruff", ["check", "--config", CONFIG, ...EXAMPLES], ""],
  ["ruff format, examples", "ruff", ["format", "--check", "--config", CONFIG, ...EXAMPLES], ""],
  ["mypy, examples", "mypy", ["--config-file", CONFIG, ...EXAMPLES], ""],
];

const MISSING = `${PYTHON} 3.10 or newer with venv is missing (Debian: python3 python3-venv)`;

/** Creates the environment; the totals with which a run ends if that is not possible. */
async function prepare(in_ci: boolean, print: Print): Promise<TestTotals | undefined> {
  const program = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";
  if (!(await run(print, PYTHON, ["-c", program])).success) {
    print(`${in_ci ? MISSING : `SKIPPED the tests of the Python SDK: ${MISSING}`}\n`);
    return { passed: 0, failed: in_ci ? 1 : 0 };
  }
  try {
    await makeVenv(VENV, ["-e", "sdk/python[dev]", ...EXAMPLES_NEED]);
    return undefined;
  } catch (error) {
    print(`${error instanceof Error ? error.message : error}\n`);
    return { passed: 0, failed: 1 };
  }
}

async function pytest(print: Print, paths: readonly string[]): Promise<TestTotals> {
  print("\n== pytest\n");
  const args = ["-m", "pytest", "-q", "-c", CONFIG, "--rootdir=.", ...paths];
  const { success, output } = await run(print, `${BIN}/python`, args);
  const { passed, failed } = pytestTotals(output) ?? { passed: 0, failed: 0 };
  return { passed, failed: success ? failed : Math.max(1, failed) };
}

async function runChecks(print: Print): Promise<number> {
  const problems: string[] = [];
  for (const [name, command, args, folder] of CHECKS) {
    print(`\n== ${name}\n`);
    const { success, output } = await run(print, `${BIN}/${command}`, args, folder);
    if (!success) {
      problems.push(`FAIL  ${name}\n${output.split("\n").slice(-PROBLEM_LINES).join("\n")}`);
    }
  }
  // Repeated in the form in which `.ci/run` finds failures.
  for (const problem of problems) print(`${problem}\n`);
  return problems.length;
}

/**
 * Runs deno's tests, and in parallel the SDK's own that start nats-server, or all others. Without Python these are
 * skipped; in CI that is a failure. Python's output is shown at the end: otherwise the two would be mixed.
 */
export async function besidePytest(
  marked: "nats" | "not nats",
  tests: Promise<TestTotals>,
): Promise<TestTotals> {
  let output = "";
  const print = (text: string) => output += text;
  const sdk = async () =>
    await prepare(Deno.env.has("CI"), print) ?? await pytest(print, [SDK_TESTS, "-m", marked]);
  const totals = await Promise.all([tests, sdk()]);
  show(output);
  return addTotals(totals);
}

/** `deno task test:python`: the checks, the SDK's tests, the verification suite and the examples. */
async function testPython(in_ci: boolean): Promise<TestTotals> {
  const unprepared = await prepare(in_ci, show);
  if (unprepared !== undefined) return unprepared;
  const problems = await runChecks(show);
  if (Deno.args.includes("--checks")) return { passed: CHECKS.length - problems, failed: problems };
  const { passed, failed } = await pytest(show, [SDK_TESTS, ...VERIFICATION, "tests/examples"]);
  return { passed, failed: problems + failed };
}

if (import.meta.main) finish(await testPython(Deno.env.has("CI")));
