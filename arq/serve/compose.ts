/**
 * The compose stack that `arq dev up` starts where Docker works: its command lines, which are pure, and
 * whether Docker works.
 */
import { fileURLToPath } from "node:url";

/** What is done to the stack. */
export type ComposeAction = "up" | "down" | "reset" | "logs" | "follow" | "status" | "services";

const ACTIONS: Readonly<Record<ComposeAction, readonly string[]>> = {
  up: ["up", "--detach", "--wait"],
  down: ["down"],
  reset: ["down", "--volumes", "--remove-orphans"],
  logs: ["logs"],
  follow: ["logs", "--follow"],
  // Those that ended, too.
  status: ["ps", "--all", "--format", "json"],
  services: ["config", "--services"],
};
/** A daemon that does not answer must not hold a command up. */
const PROBE_MS = 15_000;

/** Arguments of `docker`. `file` is the compose file's absolute path. */
export function composeArguments(file: string, action: ComposeAction): string[] {
  return ["compose", "--file", file, ...ACTIONS[action]];
}

/** `docker` with these arguments. By way of the shell: it is not named in the permissions. */
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

/** Variables of the compose file, on top of the environment that `docker` has anyway. */
export type ComposeVariables = Readonly<Record<string, string>>;

/**
 * Runs `docker` in the foreground with our streams; its exit code. With `is_quiet` what it prints goes to
 * stderr, so that stdout is ours; `signal` ends what follows.
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
  // It gets the terminal's Ctrl-C itself, and ends by it; a SIGTERM is for us alone.
  const child = new Deno.Command(program, { args: list, env, stdout }).spawn();
  const end = () => child.kill("SIGTERM");
  signal?.addEventListener("abort", end, { once: true });
  if (is_quiet) await child.stdout.pipeTo(Deno.stderr.writable, { preventClose: true });
  const { code } = await child.status;
  signal?.removeEventListener("abort", end);
  return code;
}

/** What `docker` prints with these arguments, and its exit code. */
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

/** The compose file of the checkout that our sources are in; undefined where they are in none. */
export async function ownComposeFile(): Promise<string | undefined> {
  if (!import.meta.url.startsWith("file:")) return undefined;
  const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
  try {
    // A package has the compose file too, but nothing that its images could be built of.
    await Deno.stat(at("deploy/docker/shield.Dockerfile"));
    const file = at("compose.yaml");
    return (await Deno.stat(file)).isFile ? file : undefined;
  } catch {
    return undefined;
  }
}
