/**
 * `deno task ok`: the quick gate, below a minute. It says whether the checkout is well formed; it
 * runs no tests and needs no network once the packages are there. `deno task verify` is the slow
 * one.
 */
import { ROOT } from "./checkout/source_files.ts";
import { runGate, type Step } from "./checkout/steps.ts";

/** The steps, the longest first so that two cores are busy to the end. */
const STEPS: readonly Step[] = [
  { name: "types", args: ["check", "--quiet", "--frozen"], cwd: ROOT },
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
  { name: "lint", args: ["lint"], cwd: ROOT },
  { name: "buf lint", args: ["run", "-A", "@bufbuild/buf", "lint"], cwd: `${ROOT}proto` },
  { name: "format", args: ["fmt", "--check"], cwd: ROOT },
];

if (import.meta.main) await runGate("ok", STEPS);
