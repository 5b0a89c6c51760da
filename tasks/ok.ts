/**
 * `deno task ok`: the quick gate, which takes less than a minute. It checks that the checkout is well formed. It runs
 * no tests, and needs no network once the packages are cached. `deno task verify` is the slow gate.
 */
import { ROOT } from "./checkout/source_files.ts";
import { runGate, type Step } from "./checkout/steps.ts";

/** The environment variables that the TypeScript compiler reads. */
const TYPES = "--allow-env=TSC_*,NODE_*,VSCODE_*";
const program = (path: string, ...allow: string[]) => ["run", "--allow-read", ...allow, path];

/** The steps, longest first, so that two cores are busy until the end. */
const STEPS: Readonly<Record<string, readonly string[]>> = {
  "types": program("tasks/test/check_types.ts", "--allow-write", "--allow-run", "--allow-env"),
  "generated files": ["task", "--quiet", "gen", "--check"],
  "rules": program("tasks/rules/rules.ts", TYPES),
  "lint": ["lint"],
  "buf lint": ["run", "-A", "@bufbuild/buf", "lint"],
  "format": ["fmt", "--check"],
};

if (import.meta.main) {
  const steps = Object.entries(STEPS).map(([name, args]): Step => ({
    name,
    args,
    cwd: name === "buf lint" ? `${ROOT}proto` : ROOT,
  }));
  await runGate("ok", steps);
}
