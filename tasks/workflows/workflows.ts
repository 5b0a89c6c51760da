/**
 * Checks .github/ with actionlint (and shellcheck for its scripts), zizmor and our own rules: pins have their version,
 * tasks exist, jobs have time limits. None of them uses the network, so they do not see whether a pinned commit has the
 * version beside it. Our own parse no YAML; they look at lines, in the way our workflows are written. Tools that cannot
 * be installed are a note on a developer's machine, and a failure in CI.
 */
import { ROOT } from "../checkout/source_files.ts";
import { exitWith, type Violation } from "../checkout/violation.ts";
import { run } from "../checkout/programs.ts";
import { type Tools, workflowTools } from "./workflows_tools.ts";

/**
 * The complaints of the tools about the workflows of a folder, with paths below the root; "" when there are
 * none.
 */
export async function lintWorkflows(folder: string, tools: Tools): Promise<string> {
  const files: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (/\.ya?ml$/.test(name)) files.push(`${folder}/${name}`);
  }
  files.sort();
  const { actionlint, shellcheck, zizmor } = tools;
  const lint = ["-no-color", "-shellcheck", shellcheck, "-pyflakes", "", ...files];
  const audit = ["--offline", "--no-progress", "--color=never", "--persona=pedantic", "--quiet"];
  const ran = await Promise.all([
    run(actionlint, lint),
    run(zizmor, [...audit, "--strict-collection", "--", ...files]),
  ]);
  return ran.filter((one) => one?.ok !== true).map((one) => `${one?.text ?? "a tool is gone"}\n`)
    .join("");
}

const PINNED = /^[\w.-]+(\/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;

function lineProblems(line: string, tasks: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  const action = /^\s*(?:- )?uses: (.*)$/.exec(line)?.[1]?.trim();
  if (
    action !== undefined && !/^\.\/[\w.\/-]+( # zizmor: .*)?$/.test(action) && !PINNED.test(action)
  ) {
    problems.push(`"${action}": pin a commit and name its version: owner/name@<40 hex> # v1.2.3`);
  }
  if (/registry-url:|\bregistry\.npmjs\.org\b/.test(line)) {
    problems.push("name no registry of npm: its default is the one that is meant");
  }
  for (const [, name = ""] of line.matchAll(/\bdeno task ([\w:-]+)/g)) {
    if (!tasks.has(name)) problems.push(`deno.json has no task "${name}"`);
  }
  return problems;
}

/** The jobs without a time limit. A job that calls another workflow cannot have one. */
function endless(path: string, lines: readonly string[]): Violation[] {
  const first = lines.indexOf("jobs:");
  if (first < 0) return [];
  const starts = lines.flatMap((line, index) =>
    index > first && /^ {2}[\w-]+:$/.test(line) ? [index] : []
  );
  return starts.flatMap((start, index) => {
    const body = lines.slice(start, starts[index + 1]);
    const runs = body.some((line) => /^ {4}runs-on:/.test(line));
    const limited = body.some((line) => /^ {4}timeout-minutes: \d+$/.test(line));
    return runs && !limited
      ? [{ path, line: start + 1, message: "give the job timeout-minutes" }]
      : [];
  });
}

/** The violations of our own rules in one workflow; `tasks` are the names of those in deno.json. */
export function checkWorkflow(path: string, text: string, tasks: ReadonlySet<string>): Violation[] {
  const lines = text.split("\n");
  const problems = lines.flatMap((line, index) => {
    // A comment line may say anything; a version after a pin is not on a comment line.
    if (line.trimStart().startsWith("#")) return [];
    return lineProblems(line, tasks).map((message) => ({ path, line: index + 1, message }));
  });
  return [...problems, ...endless(path, lines)];
}

async function tools(): Promise<Tools | undefined> {
  try {
    return await workflowTools();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const help = "they need Python 3.10 with venv and Go 1.26";
    if (Deno.env.get("CI") === undefined) {
      console.log(`NOTE actionlint and zizmor cannot be installed, ${help}: ${why}`);
      return undefined;
    }
    console.error(`actionlint and zizmor cannot be installed, ${help}: ${why}`);
    Deno.exit(1);
  }
}

if (import.meta.main) {
  const found = await tools();
  const text = found === undefined ? "" : await lintWorkflows(`${ROOT}.github/workflows`, found);
  if (text !== "") console.error(text);
  const tasks = new Set(Object.keys(JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)).tasks));
  const names = [...Deno.readDirSync(`${ROOT}.github/workflows`)].map(({ name }) => name);
  const violations = names.sort().flatMap((name) => {
    const path = `.github/workflows/${name}`;
    return checkWorkflow(path, Deno.readTextFileSync(ROOT + path), tasks);
  });
  exitWith(violations, `${names.length} workflows`);
  if (text !== "") Deno.exit(1);
}
