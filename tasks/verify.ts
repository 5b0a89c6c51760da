/**
 * `deno task verify`: the slow gate. Documents and their examples, reasons without a test, known vulnerabilities of
 * dependencies, garbage of the message path, size of the SDK, container files, workflows, and the Python SDK's checks.
 * `deno task ok` is the quick gate; `deno task test:all` checks the contents of a release.
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
/** The environment variables that the TypeScript compiler reads. */
const TYPES = "--allow-env=TSC_*,NODE_*,VSCODE_*";

/** The steps, longest first. */
const STEPS: Readonly<Record<string, readonly string[]>> = {
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
  const pages = (await listFiles([".md"])).filter((path) => !isGenerated(path));
  const steps = Object.entries(STEPS).map(([name, args]): Step => (
    { name, args: args.includes("--doc-only") ? [...args, ...pages] : args, cwd: ROOT }
  ));
  await runGate("verify", steps);
}
