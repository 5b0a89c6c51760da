/**
 * The gates: steps that run in parallel, each with its time at its end. All steps run even if one fails.
 *
 * `deno task ok`, the quick gate, takes less than a minute. It checks that the checkout is well formed. It runs no
 * tests, and needs no network once the packages are cached.
 *
 * `deno task verify`, the slow gate: documents and their examples, reasons without a test, known vulnerabilities of
 * dependencies, garbage of the message path, size of the SDK, container files, workflows, and the Python SDK's checks.
 * `deno task test:all` checks the contents of a release.
 */
import { runDeno } from "./checkout/programs.ts";
import { isGenerated, listFiles, ROOT } from "./checkout/source_files.ts";

/** One step of a gate: a name for people, and the arguments of a `deno` call. */
export interface Step {
  readonly name: string;
  readonly args: readonly string[];
  /** Working directory of the step; absent: the current one. */
  readonly cwd?: string;
}

/** The result of a step. `output` is everything that it wrote to stdout and stderr. */
interface StepResult {
  readonly name: string;
  readonly ok: boolean;
  readonly duration_ms: number;
  readonly output: string;
}

/** The functions and settings that `runSteps` needs. */
interface StepRunner {
  readonly execute: (step: Step) => Promise<{ ok: boolean; output: string }>;
  readonly print: (line: string) => void;
  readonly now: () => number;
  /** Maximum number of concurrent steps. */
  readonly parallel: number;
}

const seconds = (duration_ms: number) => `${(duration_ms / 1000).toFixed(1)} s`;

/** Runs a step as a process of the same deno. */
export async function executeStep(
  { args, cwd = "." }: Step,
): Promise<{ ok: boolean; output: string }> {
  const { ok, stdout, stderr } = await runDeno(args, { cwd });
  return { ok, output: stdout + stderr };
}

async function runStep(step: Step, runner: StepRunner): Promise<StepResult> {
  const started_ms = runner.now();
  const { ok, output } = await runner.execute(step).catch((error) => ({
    ok: false,
    output: `could not run: ${error}\n`,
  }));
  const duration_ms = runner.now() - started_ms;
  runner.print(`${ok ? "ok  " : "FAIL"}  ${step.name.padEnd(24)} ${seconds(duration_ms)}`);
  const loud = output.split("\n").filter((line) => !ok || line.startsWith("NOTE "));
  for (const line of loud) if (line.trim() !== "") runner.print(`      ${line}`);
  return { name: step.name, ok, duration_ms, output };
}

/**
 * Runs every step in the given order, at most `parallel` concurrently. The whole output of a step is printed only if it
 * failed; for a step that passed, the lines that begin with `NOTE `.
 */
export async function runSteps(steps: readonly Step[], runner: StepRunner): Promise<StepResult[]> {
  const results: StepResult[] = [];
  const waiting = [...steps];
  const lane = async (): Promise<void> => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      results.push(await runStep(step, runner));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, runner.parallel) }, lane));
  return results;
}

/** The last line of a gate: `.ci/run` reads the number of failed steps from it. */
export function verdict(gate: string, results: readonly StepResult[], total_ms: number): string {
  const failed = results.filter((result) => !result.ok).map((result) => result.name);
  if (failed.length === 0) return `${gate}: all ${results.length} steps ok in ${seconds(total_ms)}`;
  return `${gate}: FAILED ${failed.length} of ${results.length} steps in ${seconds(total_ms)}: ${
    failed.join(", ")
  }`;
}

/** Runs a whole gate as a program. Prints the steps, and exits 1 if one failed. */
async function runGate(gate: string, steps: readonly Step[]): Promise<void> {
  const started_ms = performance.now();
  const results = await runSteps(steps, {
    execute: executeStep,
    print: (line) => console.log(line),
    now: () => performance.now(),
    parallel: navigator.hardwareConcurrency,
  });
  console.log(verdict(gate, results, performance.now() - started_ms));
  if (results.some((result) => !result.ok)) Deno.exit(1);
}

const program = (path: string, ...allow: string[]) => [
  ...["run", "--allow-read", ...allow],
  `tasks/${path}`,
];
const task = (...words: string[]) => ["task", "--quiet", ...words];
const RUN = "--allow-run";
const WRITE = "--allow-write";
/** The environment variables that the TypeScript compiler reads. */
const TYPES = "--allow-env=TSC_*,NODE_*,VSCODE_*";

/** The steps of `deno task ok`, longest first, so that two cores are busy until the end. */
const QUICK: Readonly<Record<string, readonly string[]>> = {
  "types": program("test/check_types.ts", "--allow-write", "--allow-run", "--allow-env"),
  "generated files": ["task", "--quiet", "gen", "--check"],
  "rules": program("rules/rules.ts", TYPES),
  "lint": ["lint"],
  "buf lint": ["run", "-A", "@bufbuild/buf", "lint"],
  "format": ["fmt", "--check"],
};

/** The steps of `deno task verify`, longest first. */
const SLOW: Readonly<Record<string, readonly string[]>> = {
  "garbage of hot leaves": task("bench", "leaves"),
  "Python": task("test:python", "--checks"),
  "containers": program("deploy/deploy.ts", RUN, WRITE, "--allow-env=LOG_TOKENS,LOG_STREAM"),
  "documents as a site": task("docs:site", "--check"),
  "workflows": program("workflows/workflows.ts", RUN, "--allow-write=.arqon", "--allow-env=CI"),
  // The `ts` blocks of docstrings, and of the listed pages.
  "examples type-check": ["check", "--quiet", "--doc-only", "."],
  "documents and reasons": [...program("rules/rules.ts", TYPES), "documents", "reasons"],
  "bundle size": program("rules/bundle_size.ts", RUN, "--allow-env"),
  // A registry that does not support such requests is not a finding.
  "dependency audit": ["audit", "--ignore-registry-errors"],
};

if (import.meta.main) {
  const gate = Deno.args[0] === "verify" ? "verify" : "ok";
  const chosen = gate === "ok" ? QUICK : SLOW;
  const pages = (await listFiles([".md"])).filter((path) => !isGenerated(path));
  const steps = Object.entries(chosen).map(([name, args]): Step => ({
    name,
    args: args.includes("--doc-only") ? [...args, ...pages] : args,
    cwd: name === "buf lint" ? `${ROOT}proto` : ROOT,
  }));
  await runGate(gate, steps);
}
