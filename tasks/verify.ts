/**
 * `deno task verify`: the slow gate. Documents and their examples, reasons without a test, known
 * vulnerabilities of dependencies, garbage of the message path, size of the SDK, container files,
 * binaries, everything that a release uploads, workflows, the Python SDK's checks, and the coverage floor.
 * `deno task ok` is the quick one.
 */
import { isGenerated, listFiles, ROOT } from "./checkout/source_files.ts";
import { runGate, type Step } from "./checkout/steps.ts";

/**
 * The steps, longest first. `pages` are the Markdown files; the `ts` blocks in them and in docstrings are
 * type-checked.
 */
function steps(pages: readonly string[]): Step[] {
  const rule = (file: string, ...allow: string[]) => ["run", ...allow, `tasks/${file}`];
  const tool = ["--allow-read", "--allow-run"];
  return [
    {
      name: "coverage floor",
      args: rule(
        "rules/coverage.ts",
        ...tool,
        "--allow-write",
        "--allow-env=TSC_*,NODE_*,VSCODE_*,TMPDIR,TMP,TEMP",
      ),
      cwd: ROOT,
    },
    {
      name: "examples type-check",
      args: ["check", "--quiet", "--doc-only", ".", ...pages],
      cwd: ROOT,
    },
    { name: "Python", args: ["task", "--quiet", "test:python", "--checks"], cwd: ROOT },
    { name: "documents as a site", args: ["task", "--quiet", "docs:site", "--check"], cwd: ROOT },
    {
      name: "containers",
      args: rule("deploy/deploy.ts", ...tool, "--allow-write", "--allow-env=LOG_TOKENS,LOG_STREAM"),
      cwd: ROOT,
    },
    {
      name: "binaries",
      args: ["task", "--quiet", "compile", "--target", "x86_64-unknown-linux-gnu"],
      cwd: ROOT,
    },
    { name: "release dry run", args: ["task", "--quiet", "release:dry-run"], cwd: ROOT },
    {
      name: "workflows",
      args: rule("workflows/workflows.ts", ...tool, "--allow-write=.arqon", "--allow-env=CI"),
      cwd: ROOT,
    },
    {
      name: "bundle size",
      args: rule("rules/bundle_size.ts", ...tool, "--allow-env"),
      cwd: ROOT,
    },
    { name: "garbage of hot leaves", args: rule("rules/leaves.ts", ...tool), cwd: ROOT },
    { name: "documents", args: rule("rules/docs.ts", "--allow-read"), cwd: ROOT },
    { name: "reasons are tested", args: rule("rules/reasons.ts", "--allow-read"), cwd: ROOT },
    { name: "dependency audit", args: rule("rules/audit.ts", ...tool), cwd: ROOT },
  ];
}

if (import.meta.main) {
  const pages = (await listFiles([".md"])).filter((path) => !isGenerated(path));
  await runGate("verify", steps(pages));
}
