/**
 * Replaces the program `docker` where it is not installed: `compose up, ps, logs, down, config` on real processes
 * (`programs.ts`), with the messages and exit codes of Docker Compose 2. A service without a program on this machine
 * stays `created`; nothing is reported healthy without a check.
 */
import { connect } from "node:net";
import { ensureDevKeys } from "../../deploy/docker/dev_keys.ts";
import { becomes, until } from "../../shared/testing/until.ts";
import { readModel, type Service } from "./model.ts";
import { PROGRAMS, type Started } from "./programs.ts";

const HEALTHY_MS = 90_000;
const ENDED_MS = 60_000;

const dir = Deno.env.get("STAND_IN_DIR") ?? "";
const state_file = `${dir}/state.json`;
const volumes_dir = `${dir}/volumes`;

/** Includes the ports published by `up`; later calls may have other variables. */
type State = Record<string, Started & { readonly ports: [target: number, published: number][] }>;

function readState(): State | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(state_file));
  } catch {
    return undefined;
  }
}

/** A zombie process counts as ended. */
function lives(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

function ping(url: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(url.port), url.hostname, () => socket.write("PING\r\n"));
    socket.once("data", (data) => (socket.destroy(), resolve(String(data).startsWith("+PONG"))));
    socket.once("error", () => resolve(false));
  });
}

async function isHealthy({ health_url }: Started): Promise<boolean> {
  const url = new URL(health_url);
  if (url.protocol === "tcp:") return await ping(url);
  try {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

async function end(pid: number): Promise<void> {
  if (!lives(pid)) return;
  Deno.kill(pid, "SIGTERM");
  if (!await becomes(() => !lives(pid), ENDED_MS)) Deno.kill(pid, "SIGKILL");
  await until("a killed process has ended", () => !lives(pid));
}

/** 0 when everything started is healthy. */
async function up(services: readonly Service[]): Promise<number> {
  Deno.mkdirSync(volumes_dir, { recursive: true });
  const [keys, issuer] = ["keys", "issuer"].map((name) => `${volumes_dir}/${name}`);
  for (const path of [keys, issuer]) Deno.mkdirSync(path ?? "", { recursive: true });
  await ensureDevKeys(keys ?? "", issuer ?? "");
  const state: State = readState() ?? {};
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const service = services.find((one) => one.name === name);
    const before = state[name];
    if (service === undefined) continue;
    if (before !== undefined && lives(before.pid)) {
      if (String(before.ports) === String([...service.ports])) continue;
      // Another port means another container.
      await end(before.pid);
    }
    const names = Object.values(state).flatMap((one) => one.names);
    const started = await program(service, { dir, names });
    state[name] = { ...started, ports: [...service.ports] };
    Deno.writeTextFileSync(state_file, JSON.stringify(state));
    let is_healthy = false;
    await becomes(async () => {
      is_healthy = await isHealthy(started);
      return is_healthy || !lives(started.pid);
    }, HEALTHY_MS);
    if (!is_healthy) {
      console.error(`container arqon-${name}-1 is unhealthy`);
      console.error(Deno.readTextFileSync(`${dir}/${name}.log`));
      return 1;
    }
  }
  return 0;
}

/** One line per container, as Docker Compose prints them. */
async function ps(services: readonly Service[]): Promise<void> {
  const state = readState();
  if (state === undefined) return;
  for (const { name, is_checked } of services) {
    const started = state[name];
    const is_running = started !== undefined && lives(started.pid);
    const is_over = name === "keys" || (started !== undefined && !is_running);
    const Health = is_running && is_checked
      ? await isHealthy(started) ? "healthy" : "unhealthy"
      : "";
    const publishers = (started?.ports ?? []).map(([TargetPort, PublishedPort]) => ({
      URL: "127.0.0.1",
      TargetPort,
      PublishedPort,
      Protocol: "tcp",
    }));
    console.log(JSON.stringify({
      Name: `arqon-${name}-1`,
      Service: name,
      Project: "arqon",
      State: is_running ? "running" : is_over ? "exited" : "created",
      Health,
      ExitCode: is_over && name !== "keys" ? 137 : 0,
      Publishers: is_running ? publishers : [],
    }));
  }
}

async function down(has_volumes: boolean): Promise<void> {
  const started = Object.values(readState() ?? {}).toReversed();
  for (const { pid } of started) await end(pid);
  if (started.length > 0) Deno.removeSync(state_file);
  if (has_volumes) Deno.removeSync(volumes_dir, { recursive: true });
}

function logs(services: readonly Service[]): void {
  for (const { name } of services) {
    try {
      const text = Deno.readTextFileSync(`${dir}/${name}.log`);
      for (const line of text.trimEnd().split("\n")) console.log(`${name}-1  | ${line}`);
    } catch {
      // It has printed nothing.
    }
  }
}

async function compose(args: readonly string[]): Promise<number> {
  const [flag, file = "", action, ...options] = args;
  if (args[0] === "version") return 0;
  if (flag !== "--file") throw new Error(`docker compose ${args.join(" ")}: not in this stand-in`);
  const services = readModel(file, Deno.env.toObject(), volumes_dir);
  if (action === "up") return await up(services);
  if (action === "ps") await ps(services);
  else if (action === "down") await down(options.includes("--volumes"));
  else if (action === "logs") logs(services);
  else if (action === "config") console.log(services.map(({ name }) => name).join("\n"));
  else throw new Error(`docker compose ${action}: not in this stand-in`);
  return 0;
}

const [first, ...rest] = Deno.args;
if (first === "compose") Deno.exit(await compose(rest));
if (first === "--version") console.log("Docker version 28.0.0, a stand-in");
if (first === "info") console.log("28.0.0");
