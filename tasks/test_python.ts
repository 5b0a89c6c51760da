/**
 * `deno task test:python`: the Python SDK in a virtual environment of its own below `.arqon`: ruff,
 * mypy, pyright, generated code, then pytest against the real bus, and the verification suite. The last
 * line is `N passed, N failed`; a check that fails counts as one.
 */
import { ROOT } from "./source_files.ts";

const VENV = `${ROOT}.arqon/python`;
const BIN = `${VENV}/bin`;
const CONFIG = "sdk/python/pyproject.toml";
const SUITE = "tests/verification/epoch2_suite.py";

/** Totals of a pytest run from its last line: "76 passed, 1 failed in 28.1s". */
export function pytestTotals(output: string): { passed: number; failed: number } | undefined {
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

interface Ran {
  readonly success: boolean;
  readonly output: string;
}

/** Runs a command in a folder of the checkout, showing and keeping what it prints. */
async function run(command: string, args: readonly string[], folder = ""): Promise<Ran> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(command, {
      args: [...args],
      cwd: `${ROOT}${folder}`,
      env: { MYPYPATH: `${ROOT}sdk/python/tests` },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { success: false, output: `${command} is not there` };
  }
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    Deno.stdout.writeSync(new TextEncoder().encode(text));
    output += text;
  }
  return { success: (await child.status).success, output };
}

/** Makes the environment; undefined when that is done, else what is missing. */
async function install(): Promise<string | undefined> {
  const made = await run("python3", ["-m", "venv", VENV]);
  if (!made.success) {
    return "python3 with venv is missing: install Python 3.10 or newer (Debian: python3 python3-venv)";
  }
  const pip = ["install", "--quiet", "--disable-pip-version-check", "-e", "sdk/python[dev]"];
  const installed = await run(`${BIN}/pip`, pip);
  return installed.success ? undefined : "pip could not install sdk/python[dev]";
}

/** What is checked before the tests: a name, a command, the folder it runs in. */
const CHECKS: readonly (readonly [string, string, readonly string[], string])[] = [
  ["ruff", "ruff", ["check", "."], "sdk/python"],
  ["ruff format", "ruff", ["format", "--check", "--quiet", "."], "sdk/python"],
  ["mypy", "mypy", [], "sdk/python"],
  ["pyright", "pyright", ["-p", ".", "--pythonpath", `${BIN}/python`], "sdk/python"],
  ["generated code", "python", ["generate.py", "--check"], "sdk/python"],
  ["ruff, suite", "ruff", ["check", "--config", CONFIG, "tests/verification"], ""],
  ["mypy, suite", "mypy", ["--config-file", CONFIG, SUITE], ""],
];

if (import.meta.main) {
  let passed = 0;
  let failed = 0;
  const problem = await install();
  if (problem === undefined) {
    for (const [name, command, args, folder] of CHECKS) {
      console.log(`\n== ${name}`);
      if (!(await run(`${BIN}/${command}`, args, folder)).success) failed++;
    }
    console.log("\n== pytest");
    const pytest = ["-m", "pytest", "-q", "-c", CONFIG, "--rootdir=.", "sdk/python/tests", SUITE];
    const { success, output } = await run(`${BIN}/python`, pytest);
    const totals = pytestTotals(output) ?? { passed: 0, failed: 0 };
    passed += totals.passed;
    failed += success ? totals.failed : Math.max(1, totals.failed);
  } else {
    console.error(problem);
    failed++;
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  Deno.exit(failed === 0 ? 0 : 1);
}
