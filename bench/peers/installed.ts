/**
 * Finds the programs that a peer needs, or installs them once below `.arqon/cache`. Calls in parallel wait
 * for each other. The peer's own file says which program it is and how it is installed.
 */
import { ROOT } from "../measure/scenario.ts";
import { TargetUnavailable } from "../load/targets/target.ts";

/** The exit of a command and its output. */
export interface Ran {
  readonly ok: boolean;
  /** Standard output and standard error. */
  readonly text: string;
}

/** Runs a command to its end; undefined when there is no such program. */
export async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ran | undefined> {
  try {
    const command = new Deno.Command(program, { args: [...args], env, stdin: "null" });
    const { success, stdout, stderr } = await command.output();
    const decoder = new TextDecoder();
    return { ok: success, text: `${decoder.decode(stdout)}${decoder.decode(stderr)}`.trim() };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The last line of an output that is not empty, which is where package managers give the reason. */
export function lastLine(text: string): string {
  return text.split("\n").findLast((line) => line.trim() !== "")?.trim() ?? "";
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * The path `.arqon/cache/NAME`. The first time, `install` gets an empty folder, and returns what in it is to
 * be kept. Rejects with the error of `install`, and then nothing is kept.
 */
export async function installed(
  name: string,
  install: (folder: string) => Promise<string>,
): Promise<string> {
  const cache = `${ROOT}/.arqon/cache`;
  const path = `${cache}/${name}`;
  if (await isThere(path)) return path;
  await Deno.mkdir(cache, { recursive: true });
  // The system ends the lock with the process, so a killed run leaves nothing to clean up.
  using lock = await Deno.open(`${cache}/${name}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await isThere(path)) return path;
  const folder = await Deno.makeTempDir({ dir: cache, prefix: "install-" });
  try {
    await Deno.rename(await install(folder), path);
  } finally {
    await Deno.remove(folder, { recursive: true }).catch((error) => {
      // The whole folder was kept.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  return path;
}

const NPM_HINT = "it needs Node 18 or newer with npm (Debian: apt-get install nodejs npm)";

/** The path `.arqon/cache/NAME` with an npm package, which is installed there the first time. */
export function installedFromNpm(pinned: string, name: string): Promise<string> {
  return installed(name, async (folder) => {
    const options = [`--prefix=${folder}`, "--no-audit", "--no-fund", "--ignore-scripts"];
    const ran = await run("npm", ["install", ...options, pinned]);
    if (ran === undefined) throw new TargetUnavailable(`npm is not there: ${NPM_HINT}`);
    if (ran.ok) return folder;
    throw new TargetUnavailable(
      `npm install ${pinned} failed (${lastLine(ran.text)}): ${NPM_HINT}`,
    );
  });
}
