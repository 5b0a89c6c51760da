/**
 * Runs programs to their end, and installs third-party programs once below `.arqon/cache`: it knows only Deno, Go and
 * Python.
 */
import { ROOT } from "./source_files.ts";

const IS_WINDOWS = Deno.build.os === "windows";
/** The extension of a program's file name. */
export const EXE = IS_WINDOWS ? ".exe" : "";
const CACHE = `${ROOT}.arqon/cache`;

/** The exit of a program, and its output. */
export interface Ran {
  readonly ok: boolean;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both outputs, trimmed. */
  readonly text: string;
}

/** The options of a program, beside its arguments. */
export interface RunOptions {
  /** Its working directory; absent: the checkout. */
  readonly cwd?: string;
  /** Variables in addition to those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its standard input; absent: nothing. */
  readonly stdin?: string;
}

/** Runs a program to its end; undefined if the program does not exist. */
export async function run(
  program: string,
  args: readonly string[],
  { cwd = ROOT, env = {}, stdin }: RunOptions = {},
): Promise<Ran | undefined> {
  try {
    const child = new Deno.Command(program, {
      args: [...args],
      cwd,
      env,
      stdout: "piped",
      stderr: "piped",
      stdin: stdin === undefined ? "null" : "piped",
    }).spawn();
    // A program may end before it has read its whole input.
    const fed = stdin === undefined
      ? undefined
      : new Blob([stdin]).stream().pipeTo(child.stdin).catch(() => {});
    const [output] = await Promise.all([child.output(), fed]);
    const [stdout = "", stderr = ""] = [output.stdout, output.stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    return {
      ok: output.success,
      code: output.code,
      stdout,
      stderr,
      text: `${stdout}${stderr}`.trim(),
    };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Runs a program that must succeed. Throws an Error with its whole output if it fails. */
export async function must(
  program: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<Ran> {
  const ran = await run(program, args, options);
  if (ran === undefined) throw new Error(`${program} is not there`);
  if (!ran.ok) throw new Error(`${program} ${args.join(" ")} failed:\n${ran.text}`);
  return ran;
}

/** Runs this Deno, as `must` does. */
export const deno = (args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  must(Deno.execPath(), args, { ...options, env: { NO_COLOR: "1", ...options.env } });

/** Runs this Deno to its end, whether it succeeds or fails. */
export async function runDeno(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const env = { NO_COLOR: "1", ...options.env };
  return (await run(Deno.execPath(), args, { ...options, env }))!;
}

/** The last line of an output that is not empty, where package managers print the reason. */
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

/** Makes the folder of `.arqon/cache/NAME`, and calls `act` under a lock between processes for that name. */
async function alone<T>(name: string, act: (path: string) => Promise<T>): Promise<T> {
  const path = `${CACHE}/${name}`;
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  // The system releases the lock with the process, so a killed run leaves nothing to clean up.
  using lock = await Deno.open(`${path}.lock`, { create: true, write: true });
  await lock.lock(true);
  return await act(path);
}

/**
 * The path `.arqon/cache/NAME`. The first call runs `install` with an empty folder; it returns the part of the folder
 * to keep. Rejects with the error of `install`, and then nothing is kept.
 */
export async function installed(
  name: string,
  install: (folder: string) => Promise<string>,
): Promise<string> {
  if (await isThere(`${CACHE}/${name}`)) return `${CACHE}/${name}`;
  return await alone(name, async (path) => {
    if (await isThere(path)) return path;
    const folder = await Deno.makeTempDir({ dir: CACHE, prefix: "install-" });
    try {
      await Deno.rename(await install(folder), path);
    } finally {
      await Deno.remove(folder, { recursive: true }).catch((error) => {
        // The whole folder was kept.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
    return path;
  });
}

/** Builds a program by `go install` into the folder. The reason of a failure; undefined on success. */
export async function goInstall(
  folder: string,
  args: readonly string[],
): Promise<string | undefined> {
  const built = await run("go", ["install", ...args], { env: { GOBIN: folder } });
  if (built === undefined) return "Go is not there";
  return built.ok ? undefined : `go install: ${lastLine(built.text)}`;
}

/** The path of a program of a Go module with a version; `built` is its name. */
export function goProgram(name: string, module: string, built: string): Promise<string> {
  return installed(name, async (folder) => {
    const problem = await goInstall(folder, [module]);
    if (problem === undefined) return `${folder}/${built}${EXE}`;
    throw new Error(
      `${name} could not be installed: ${problem}\n` +
        "It needs Go 1.26 or newer (https://go.dev/dl) and Go's module proxy.",
    );
  });
}

/** The name of Python's program. */
export const PYTHON = IS_WINDOWS ? "python" : "python3";

/** The folder of programs in a virtual environment. */
export const venvBin = (venv: string): string => `${venv}/${IS_WINDOWS ? "Scripts" : "bin"}`;

/** Creates a virtual environment in the folder, with these packages. Resolves with the folder of its programs. */
export async function makeVenv(venv: string, packages: readonly string[]): Promise<string> {
  const advice = "It needs Python 3.10 or newer with venv (Debian: python3 python3-venv) and PyPI.";
  try {
    await must(PYTHON, ["-m", "venv", venv]);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    await must(`${venvBin(venv)}/python`, [...pip, ...packages]);
    return venvBin(venv);
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new Error(`${packages.join(", ")} could not be installed: ${why}\n${advice}`);
  }
}

/** The folder of programs of these packages from PyPI, in a virtual environment with that name. */
export function pythonPackages(name: string, packages: readonly string[]): Promise<string> {
  return alone(name, async (venv) => {
    const mark = `${venv}/installed.txt`;
    if (await Deno.readTextFile(mark).catch(() => "") === packages.join("\n")) return venvBin(venv);
    const bin = await makeVenv(venv, packages);
    await Deno.writeTextFile(mark, packages.join("\n"));
    return bin;
  });
}
