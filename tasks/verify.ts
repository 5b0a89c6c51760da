/**
 * `deno task verify`: the slow gate. Documents and their examples, reasons without a test, known
 * vulnerabilities of dependencies, garbage of the message path, size of the SDK, container files,
 * binaries, everything that a release uploads, workflows, the Python SDK's checks, and the coverage floor.
 * `deno task ok` is the quick one.
 */
import { isGenerated, listFiles, ROOT } from "./checkout/source_files.ts";
import { runGate, type Step } from "./checkout/steps.ts";

const program = (path: string, ...allow: string[]) => [
  ...["run", "--allow-read", ...allow],
  `tasks/${path}`,
];
const task = (...words: string[]) => ["task", "--quiet", ...words];
const RUN = "--allow-run";
const WRITE = "--allow-write";
/** The variables that the TypeScript compiler reads. */
const TYPES = "--allow-env=TSC_*,NODE_*,VSCODE_*";
const COVERAGE_ENV = "--allow-env=TSC_*,NODE_*,VSCODE_*,TMPDIR,TMP,TEMP";

/** The steps, longest first. */
const STEPS: Readonly<Record<string, readonly string[]>> = {
  "coverage floor": program("rules/coverage.ts", RUN, WRITE, COVERAGE_ENV),
  // The `ts` blocks of docstrings, and of the pages that are added.
  "examples type-check": ["check", "--quiet", "--doc-only", "."],
  "Python": task("test:python", "--checks"),
  "documents as a site": task("docs:site", "--check"),
  "containers": program("deploy/deploy.ts", RUN, WRITE, "--allow-env=LOG_TOKENS,LOG_STREAM"),
  "binaries": task("compile", "--target", "x86_64-unknown-linux-gnu"),
  "release dry run": task("release:dry-run"),
  "workflows": program("workflows/workflows.ts", RUN, "--allow-write=.arqon", "--allow-env=CI"),
  "bundle size": program("rules/bundle_size.ts", RUN, "--allow-env"),
  "garbage of hot leaves": task("bench", "leaves"),
  "documents and reasons": [...program("rules/rules.ts", TYPES), "documents", "reasons"],
  "dependency audit": program("rules/audit.ts", RUN),
};

if (import.meta.main) {
  const pages = (await listFiles([".md"])).filter((path) => !isGenerated(path));
  const steps = Object.entries(STEPS).map(([name, args]): Step => (
    { name, args: args.includes("--doc-only") ? [...args, ...pages] : args, cwd: ROOT }
  ));
  await runGate("verify", steps);
}
