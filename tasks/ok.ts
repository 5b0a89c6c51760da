/**
 * `deno task ok`: the quick gate, which takes less than a minute. It checks that the checkout is well formed.
 * It runs no tests, and needs no network when the packages are there. `deno task verify` is the slow gate.
 */
import { ROOT } from "./checkout/source_files.ts";
import { runGate, type Step } from "./checkout/steps.ts";

/** The steps, longest first, so that two cores are busy to the end. */
const STEPS: readonly Step[] = [
  {
    name: "types",
    args: [
      "run",
      "--allow-read",
      "--allow-write",
      "--allow-run",
      "--allow-env",
      "tasks/test/check_types.ts",
    ],
    cwd: ROOT,
  },
  { name: "generated files", args: ["task", "--quiet", "gen", "--check"], cwd: ROOT },
  {
    name: "sizes and names",
    args: ["run", "--allow-read", "--allow-env=TSC_*,NODE_*,VSCODE_*", "tasks/rules/sizes.ts"],
    cwd: ROOT,
  },
  {
    name: "layers",
    args: ["run", "--allow-read", "--allow-write=.arqon", "--allow-run", "tasks/rules/layers.ts"],
    cwd: ROOT,
  },
  {
    name: "switches",
    args: ["run", "--allow-read", "--allow-env=TSC_*,NODE_*,VSCODE_*", "tasks/rules/switches.ts"],
    cwd: ROOT,
  },
  {
    name: "exports",
    args: ["run", "--allow-read", "--allow-env=TSC_*,NODE_*,VSCODE_*", "tasks/rules/exports.ts"],
    cwd: ROOT,
  },
  { name: "style", args: ["run", "--allow-read", "tasks/rules/style_rules.ts"], cwd: ROOT },
  { name: "lint", args: ["lint"], cwd: ROOT },
  { name: "buf lint", args: ["run", "-A", "@bufbuild/buf", "lint"], cwd: `${ROOT}proto` },
  { name: "format", args: ["fmt", "--check"], cwd: ROOT },
];

if (import.meta.main) await runGate("ok", STEPS);
