/**
 * The compose stack of `arq dev up`: the commands for Docker, its services as Docker lists them, and their ports. A
 * service without a health check in Docker is checked over HTTP.
 */
import { fileURLToPath } from "node:url";
import { startChild } from "../../shared/process/deno_command.ts";
import { inColumns, linesText } from "../terminal/columns.ts";

/** The effect of a Docker command on the stack. */
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
/** Time in which Docker must answer. */
const DOCKER_MS = 15_000;

/** The arguments of `docker` for an action. `file` is the absolute path of the compose file. */
export function composeArguments(file: string, action: ComposeAction): string[] {
  return ["compose", "--file", file, ...ACTIONS[action]];
}

/** The command that runs `docker`, through the shell, since our permissions do not name `docker`. */
export function dockerCommand(
  args: readonly string[],
  os: string = Deno.build.os,
): readonly [program: string, args: string[]] {
  return os === "windows"
    ? ["docker", [...args]]
    : ["sh", ["-c", 'exec docker "$@"', "sh", ...args]];
}

function docker(args: readonly string[], options: Omit<Deno.CommandOptions, "args">) {
  const [program, list] = dockerCommand(args);
  return startChild(program, { ...options, args: list });
}

/** The exit code of a shell that does not find the program. */
const NOT_FOUND = 127;

/** Why Docker cannot start the stack, in words; undefined when it can. */
export async function dockerProblem(signal: AbortSignal): Promise<string | undefined> {
  const code = async (...args: string[]) => {
    const late = AbortSignal.any([signal, AbortSignal.timeout(DOCKER_MS)]);
    const silent = { stdin: "null", stdout: "null", stderr: "null", signal: late } as const;
    return (await docker(args, silent).status).code;
  };
  try {
    if (await code("--version") === NOT_FOUND) return "Docker is not installed";
    const info = await code("info", "--format", "{{.ServerVersion}}");
    if (info !== 0) return "the Docker daemon does not answer";
    return await code("compose", "version") === 0 ? undefined : "Docker has no compose plugin";
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Deno.errors.NotFound) return "Docker is not installed";
    if (error instanceof Deno.errors.NotCapable) return "Docker may not be started from here";
    throw error;
  }
}

/** Variables for the compose file, in addition to the environment. */
export type ComposeVariables = Readonly<Record<string, string>>;

/**
 * Runs `docker` in the foreground with our streams and resolves with its exit code. With `is_quiet` its output goes to
 * stderr, which reserves stdout for us; `signal` ends a command that follows.
 */
export async function runDocker(
  args: readonly string[],
  { env = {}, is_quiet = false, signal }: {
    env?: ComposeVariables;
    is_quiet?: boolean;
    signal?: AbortSignal;
  } = {},
): Promise<number> {
  const stdout = is_quiet ? "piped" : "inherit";
  // The terminal sends docker its own Ctrl-C, which ends it. A SIGTERM reaches only us.
  const child = docker(args, { env, stdout });
  const end = () => child.kill("SIGTERM");
  signal?.addEventListener("abort", end, { once: true });
  if (is_quiet) await child.stdout.pipeTo(Deno.stderr.writable, { preventClose: true });
  const { code } = await child.status;
  signal?.removeEventListener("abort", end);
  return code;
}

/** Path of the compose file in the checkout of our sources; undefined where there is no checkout. */
export async function ownComposeFile(): Promise<string | undefined> {
  if (!import.meta.url.startsWith("file:")) return undefined;
  const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
  try {
    // A package has the compose file too, but no sources for its images.
    await Deno.stat(at("deploy/docker/shield.Dockerfile"));
    const file = at("compose.yaml");
    return (await Deno.stat(file)).isFile ? file : undefined;
  } catch {
    return undefined;
  }
}

/** One service of the stack. */
export interface StackService {
  readonly service: string;
  /** Docker's word (`running`, `exited`, `created`, …), or `missing`: it has no container. */
  readonly state: string;
  readonly exit_code?: number;
  /**
   * Health: `healthy`, `unhealthy`, `starting`; `unreachable` for a running service that does not answer; `none` when
   * unknown.
   */
  readonly health: string;
  /** Source of the health: Docker's health check, or our request to its port. */
  readonly by?: "docker" | "http";
  /** Published ports on this machine, by the port in the container. */
  readonly ports: Readonly<Record<string, number>>;
}

/** Most services of a stack; one with more is not ours. */
const SERVICES_MAX = 100;
const PROBE_MS = 1_500;

type Fields = Readonly<Record<string, unknown>>;

function portsOf(publishers: unknown): Record<string, number> {
  const found: Record<string, number> = {};
  for (const one of Array.isArray(publishers) ? publishers as Fields[] : []) {
    const { TargetPort: target, PublishedPort: published, Protocol: protocol = "tcp" } = one ?? {};
    const is_port = Number.isSafeInteger(published) && Number(published) > 0;
    if (is_port && protocol === "tcp") found[String(target)] = Number(published);
  }
  return found;
}

function parseService(value: unknown): StackService | undefined {
  const { Service, State, Health, ExitCode, Publishers } = (value ?? {}) as Fields;
  if (typeof Service !== "string" || typeof State !== "string") return undefined;
  const has_health = typeof Health === "string" && Health !== "";
  const is_over = State === "exited" && Number.isSafeInteger(ExitCode);
  return {
    service: Service,
    state: State,
    ...(is_over ? { exit_code: Number(ExitCode) } : {}),
    health: has_health ? Health : "none",
    ...(has_health ? { by: "docker" as const } : {}),
    ports: portsOf(Publishers),
  };
}

function parsedOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The services that `docker compose ps --format json` lists: one list, or (since 2.21) lines. */
export function parseServices(text: string): StackService[] {
  const whole = parsedOrNothing(text);
  const values = Array.isArray(whole) ? whole : text.split("\n").map(parsedOrNothing);
  const found = values.map(parseService).filter((service) => service !== undefined);
  return found.slice(0, SERVICES_MAX);
}

/** The listed services, and a missing one for each other name in `names`, sorted by name. */
export function withMissing(
  services: readonly StackService[],
  names: readonly string[],
): StackService[] {
  const there = new Set(services.map(({ service }) => service));
  const missing = names.filter((name) => name !== "" && !there.has(name))
    .map((service) => ({ service, state: "missing", health: "none", ports: {} }));
  return [...services, ...missing].toSorted((one, other) => one.service < other.service ? -1 : 1);
}

/** A service with its health from a request to its port, if Docker has no health check for it. */
async function probed(service: StackService, signal: AbortSignal): Promise<StackService> {
  const [port] = Object.values(service.ports);
  if (service.state !== "running" || service.health !== "none" || port === undefined) {
    return service;
  }
  let health = "unreachable";
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]),
    });
    await response.body?.cancel();
    health = response.status < 500 ? "healthy" : "unhealthy";
  } catch {
    signal.throwIfAborted();
  }
  return { ...service, health, by: "http" };
}

/** All services in the stack of a compose file; undefined when Docker does not tell. */
export async function readStack(
  file: string,
  signal: AbortSignal,
  env: ComposeVariables = {},
): Promise<StackService[] | undefined> {
  const late = AbortSignal.any([signal, AbortSignal.timeout(DOCKER_MS)]);
  const ask = async (action: "status" | "services") => {
    const streams = { stdin: "null", stdout: "piped", stderr: "inherit" } as const;
    const options = { env, ...streams, signal: late };
    const { success, stdout } = await docker(composeArguments(file, action), options).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  };
  try {
    const [services, names = ""] = await Promise.all([ask("status"), ask("services")]);
    if (services === undefined) return undefined;
    const all = withMissing(parseServices(services), names.split(/\s+/).slice(0, SERVICES_MAX));
    return await Promise.all(all.map((service) => probed(service, signal)));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
      return undefined;
    }
    throw error;
  }
}

/** The ports of the bus and of its monitoring; 0: not published. */
export interface StackPorts {
  readonly port: number;
  readonly ops_port: number;
  readonly admin_port: number;
}

/** The published ports of the Shield; a port that Docker does not tell is taken from `wanted`. */
export function shieldPorts(services: readonly StackService[], wanted: StackPorts): StackPorts {
  const ports = services.find(({ service }) => service === "shield")?.ports ?? {};
  return {
    port: ports["4000"] ?? wanted.port,
    ops_port: ports["4001"] ?? wanted.ops_port,
    admin_port: ports["4002"] ?? wanted.admin_port,
  };
}

/** A table of services for people, indented by two characters. */
export function stackText(services: readonly StackService[]): string {
  const rows = services.map(({ service, state, exit_code, health, ports }) => [
    service,
    exit_code === undefined ? state : `${state} (${exit_code})`,
    health === "none" ? "" : health,
    Object.values(ports).map((port) => `127.0.0.1:${port}`).join(" "),
  ]);
  return linesText(inColumns([["service", "state", "health", "address"], ...rows]), "  ");
}
