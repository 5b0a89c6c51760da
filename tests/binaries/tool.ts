/**
 * An `arq` as users have it, outside of the checkout: a compiled one, or npm's package in a folder of its own. Starts
 * it and returns its result; callers know what it should do.
 */
import { join } from "node:path";

/** One way to start `arq`. */
export interface Tool extends AsyncDisposable {
  /** Program and first arguments. */
  readonly command: readonly string[];
  /** Its folder; no test ever writes below it. */
  readonly folder: string;
}

/** The result of a command. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const is_windows = Deno.build.os === "windows";
const NPM = is_windows ? "npm.cmd" : "npm";
/** Timeout of one command; far more than any needs, except for a package manager with a slow registry. */
const COMMAND_MS = 600_000;

/**
 * Nothing may be downloaded after the installation: attempts reach a port where nobody listens. Deno's cache begins
 * empty, and the user's own configuration is not touched.
 */
export function offline(state_dir: string): Record<string, string> {
  return {
    DENO_DIR: join(state_dir, "deno"),
    XDG_CONFIG_HOME: join(state_dir, "config"),
    APPDATA: join(state_dir, "config"),
    HTTP_PROXY: "http://127.0.0.1:9",
    HTTPS_PROXY: "http://127.0.0.1:9",
    NO_PROXY: "127.0.0.1,localhost",
    NO_COLOR: "1",
  };
}

/** Runs it to its end. */
export async function run(
  command: readonly string[],
  options: { readonly cwd: string; readonly env?: Record<string, string> },
): Promise<Ran> {
  const [program = "", ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    ...options,
    stdin: "null",
    signal: AbortSignal.timeout(COMMAND_MS),
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The compiled `arq` of a folder. */
export async function compiledTool(folder: string): Promise<Tool> {
  const path = await Deno.realPath(join(folder, is_windows ? "arq.exe" : "arq"));
  return { command: [path], folder, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** npm's package, installed from its tarball into an empty folder, which is removed with its scope. */
export async function installedTool(tarball: string): Promise<Tool> {
  const path = await Deno.realPath(tarball);
  const folder = await Deno.makeTempDir({ prefix: "arqon-npm-" });
  const remove = () => Deno.remove(folder, { recursive: true });
  try {
    await Deno.writeTextFile(join(folder, "package.json"), '{ "private": true }\n');
    const args = ["install", "--no-audit", "--no-fund", "--prefer-offline", path];
    const { code, stdout, stderr } = await run([NPM, ...args], { cwd: folder });
    if (code !== 0) throw new Error(`npm install: ${stderr}`);
    // npm's warning about scripts that it did not run would appear for every user.
    if (/install scripts/.test(stdout + stderr)) throw new Error(`npm install: ${stderr}`);
    const launcher = join(folder, "node_modules", "arqon", "bin", "arq.mjs");
    return { command: ["node", launcher], folder, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
