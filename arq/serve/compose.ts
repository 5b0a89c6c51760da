/**
 * The commands for Docker by which `arq dev up` runs the compose stack. Making them is pure; this file also
 * runs them and finds out whether Docker works.
 */
import { fileURLToPath } from "node:url";

/** What a command for Docker does with the stack. */
export type ComposeAction = "up" | "down" | "reset" | "logs" | "follow" | "status" | "services";

const ACTIONS: Readonly<Record<ComposeAction, readonly string[]>> = {
  up: ["up", "--detach", "--wait"],
  down: ["down"],
  reset: ["down", "--volumes", "--remove-orphans"],
  logs: ["logs"],
  follow: ["logs", "--follow"],
  // Containers that have ended are listed too.
  status: ["ps", "--all", "--format", "json"],
  services: ["config", "--services"],
};
/** Time in which Docker must say whether it works. */
const PROBE_MS = 15_000;

/** The arguments of `docker` for an action. `file` is the absolute path of the compose file. */
export function composeArguments(file: string, action: ComposeAction): string[] {
  return ["compose", "--file", file, ...ACTIONS[action]];
}

/**
 * The command that runs `docker` with these arguments. It goes through the shell, since our permissions do
 * not name `docker`.
 */
export function dockerCommand(
  args: readonly string[],
  os: string = Deno.build.os,
): readonly [program: string, args: string[]] {
  return os === "windows"
    ? ["docker", [...args]]
    : ["sh", ["-c", 'exec docker "$@"', "sh", ...args]];
}

/** Why Docker cannot start the stack, in words; undefined when it can. */
export async function dockerProblem(signal: AbortSignal): Promise<string | undefined> {
  const works = async (args: readonly string[]) => {
    const [program, list] = dockerCommand(args);
    const { success, code } = await new Deno.Command(program, {
      args: list,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]),
    }).output();
    return { success, is_missing: code === 127 };
  };
  try {
    const { is_missing } = await works(["--version"]);
    if (is_missing) return "Docker is not installed";
    const info = await works(["info", "--format", "{{.ServerVersion}}"]);
    if (!info.success) return "the Docker daemon does not answer";
    const compose = await works(["compose", "version"]);
    return compose.success ? undefined : "Docker has no compose plugin";
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Deno.errors.NotFound) return "Docker is not installed";
    if (error instanceof Deno.errors.NotCapable) return "Docker may not be started from here";
    throw error;
  }
}

/** Variables for the compose file, added to the environment that `docker` has. */
export type ComposeVariables = Readonly<Record<string, string>>;

/**
 * Runs `docker` in the foreground with our streams and resolves with its exit code. With `is_quiet` its
 * output goes to stderr, so that stdout is ours; `signal` ends a command that follows.
 */
export async function runDocker(
  args: readonly string[],
  { env = {}, is_quiet = false, signal }: {
    env?: ComposeVariables;
    is_quiet?: boolean;
    signal?: AbortSignal;
  } = {},
): Promise<number> {
  const [program, list] = dockerCommand(args);
  const stdout = is_quiet ? "piped" : "inherit";
  // The terminal sends docker its own Ctrl-C, which ends it. A SIGTERM comes only to us.
  const child = new Deno.Command(program, { args: list, env, stdout }).spawn();
  const end = () => child.kill("SIGTERM");
  signal?.addEventListener("abort", end, { once: true });
  if (is_quiet) await child.stdout.pipeTo(Deno.stderr.writable, { preventClose: true });
  const { code } = await child.status;
  signal?.removeEventListener("abort", end);
  return code;
}

/** The output and the exit code of `docker` with these arguments. */
export async function readDocker(
  args: readonly string[],
  env: ComposeVariables,
  signal: AbortSignal,
): Promise<[code: number, text: string]> {
  const [program, list] = dockerCommand(args);
  const options = { args: list, env, stdin: "null", stderr: "inherit", signal } as const;
  const { code, stdout } = await new Deno.Command(program, options).output();
  return [code, new TextDecoder().decode(stdout)];
}

/** Path of the compose file in the checkout of our sources; undefined where there is no checkout. */
export async function ownComposeFile(): Promise<string | undefined> {
  if (!import.meta.url.startsWith("file:")) return undefined;
  const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
  try {
    // A package has the compose file too, but nothing from which its images could be built.
    await Deno.stat(at("deploy/docker/shield.Dockerfile"));
    const file = at("compose.yaml");
    return (await Deno.stat(file)).isFile ? file : undefined;
  } catch {
    return undefined;
  }
}
