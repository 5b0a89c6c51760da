/**
 * `arq dev up`: starts a development bus in the background. Where Docker works, it is the compose stack, else the
 * embedded bus, which is another process of this program. `dev_down.ts` ends it.
 */
import { join, resolve } from "node:path";
import { VERSION } from "../../../shared/version.ts";
import { contextToken } from "../../bus/target.ts";
import { type Context, readContexts } from "../../bus/contexts.ts";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { CommandError, EXIT, failed } from "../../terminal/exit.ts";
import { replaceWhole } from "../../terminal/whole_file.ts";
import { writeBelow } from "../../terminal/input.ts";
import { type Ended, type Io, note, print } from "../../terminal/io.ts";
import {
  announcementOf,
  type DevFiles,
  devFiles,
  type DevRecord,
  isAlive,
  readRecord,
  writeRecord,
} from "../../serve/background.ts";
import {
  composeArguments,
  type ComposeVariables,
  dockerProblem,
  ownComposeFile,
  readStack,
  runDocker,
  shieldPorts,
  type StackPorts,
  type StackService,
  stackText,
} from "../../serve/stack.ts";
import { leaveContext, refuseOtherStack } from "../../bus/stack_context.ts";
import type { Flags } from "../../program/flags.ts";
import { fileURLToPath } from "node:url";
import { denoCommand, SERVER_FLAGS, startChild } from "../../../shared/process/deno_command.ts";
import type { DevBusOptions, DevBusReady } from "../../serve/dev_bus.ts";
import { readyLine, readyText } from "../../serve/ready_text.ts";
import { busHere, busOptions, makeStateFolder } from "./dev.ts";
import { awaitedLater } from "../../../shared/awaited_later.ts";
import { removeIfThere } from "../../terminal/disk_files.ts";

/** A compose file that Docker can start. */
interface StackFile {
  readonly file: string;
  /** True for the compose file that comes with `arq`; only one stack of it can run on a machine. */
  readonly is_ours: boolean;
}

const JWKS_NAME = "arqon-jwks.json";

/** Writes the files of the stack, where there is no checkout. Returns the compose file. */
async function writeStack(io: Io, { stack_dir }: DevFiles): Promise<string> {
  const { STACK_FILE, stackFiles } = await import("../../serve/stack_files.ts");
  for (const [path, text] of stackFiles(VERSION)) {
    await writeBelow(io, join(stack_dir, path), text);
  }
  return join(stack_dir, STACK_FILE);
}

/** The compose file to start, or the reason why there is none. */
async function stackFile(
  io: Io,
  flags: Flags,
  files: DevFiles,
): Promise<StackFile | { readonly why: string }> {
  if (flags.compose === undefined) {
    const why = await dockerProblem(io.signal);
    if (why !== undefined) return { why };
    return { file: await ownComposeFile() ?? await writeStack(io, files), is_ours: true };
  }
  const file = resolve(io.cwd, flags.compose);
  if (await io.files.state(file) === undefined) throw new CommandError(`there is no ${file}`);
  const why = await dockerProblem(io.signal);
  if (why === undefined) return { file, is_ours: false };
  const hint = "start or install Docker, or use the embedded bus: arq dev up --embedded";
  throw failed(why, hint);
}

/** A port on which nobody listens and that is not in `taken`. */
function freePort(taken: ReadonlySet<number>): number {
  while (true) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    if (!taken.has(listener.addr.port)) return listener.addr.port;
  }
}

/** The ports for the stack. A second `up` keeps the ports of a running stack. */
async function wantedPorts(io: Io, flags: Flags, file: string): Promise<StackPorts> {
  // `leaveContext` reports contexts that cannot be read.
  const all = await readContexts(io).catch(() => undefined);
  const before = all?.contexts.find(({ compose, folder }) => compose === file && folder === io.cwd);
  const taken = new Set<number>();
  const chosen = (port: number | undefined, address: string | undefined, usual: number) => {
    const known = port ?? (address === undefined ? usual : Number(new URL(address).port));
    const found = known === 0 ? freePort(taken) : known;
    taken.add(found);
    return found;
  };
  return {
    port: chosen(flags.port, before?.url, 4000),
    ops_port: chosen(flags.opsPort, before?.ops_url, 4001),
    admin_port: chosen(flags.adminPort, before?.admin_url, 4002),
  };
}

/** Makes this folder's development key. The container's user can read only the public part. */
async function issuerOf({ state_dir, issuer_dir }: DevFiles): Promise<string> {
  const { devKey } = await import("../../serve/dev_bus.ts");
  const { key_file, jwks_file } = await devKey(state_dir);
  await Deno.mkdir(issuer_dir, { recursive: true });
  const jwks = join(issuer_dir, JWKS_NAME);
  await replaceWhole(jwks, await Deno.readTextFile(jwks_file), 0o644);
  if (Deno.build.os !== "windows") {
    await Deno.chmod(issuer_dir, 0o755);
    await Deno.chmod(jwks, 0o644);
  }
  return key_file;
}

function variables(ports: StackPorts, { issuer_dir }: DevFiles): ComposeVariables {
  return {
    ARQON_ISSUER_DIR: issuer_dir,
    ARQON_PORT: String(ports.port),
    ARQON_OPS_PORT: String(ports.ops_port),
    ARQON_ADMIN_PORT: String(ports.admin_port),
  };
}

function stackReadyText(services: readonly StackService[], context: Context): string {
  const { name, url, admin_url, ops_url, key } = context;
  const key_text = key === undefined
    ? "  tokens   none: the context has no key\n"
    : `  key      ${key}\n`;
  return `
ArqonBus runs in Docker.

  URL      ${url}
  ops      ${ops_url}/health/ready  ${ops_url}/metrics
  admin    ${admin_url}
  console  ${admin_url}/console/
${key_text}
${stackText(services)}
In this folder, commands take it (context ${name}):

  arq status
  arq sub lobby
  arq pub lobby '{"hello":"world"}'
  arq auth gen --role admin

It runs in the background: arq dev logs shows its output, arq dev down stops it.
`;
}

async function tellStack(
  io: Io,
  file: string,
  services: readonly StackService[],
  context: Context | undefined,
  is_json: boolean,
): Promise<void> {
  if (!is_json) {
    const text = context === undefined
      ? `\nArqonBus runs in Docker.\n\n${stackText(services)}`
      : stackReadyText(services, context);
    return await print(io.stdout, text);
  }
  const token = context?.key === undefined ? null : await contextToken(io, context, "user");
  const { url = null, ops_url = null, admin_url = null, name = null } = context ?? {};
  const ready = {
    url,
    ops_url,
    admin_url,
    token,
    tenant: DEV_TENANT,
    kind: "compose",
    file,
    context: name,
  };
  await print(io.stdout, `${JSON.stringify(ready)}\n`);
}

/** Starts the stack and waits until Docker calls it healthy. Returns 0 when it is. */
async function startStack(
  io: Io,
  { file, is_ours }: StackFile,
  flags: Flags & { readonly json?: boolean },
  files: DevFiles,
): Promise<Ended> {
  if (is_ours) await refuseOtherStack(io, io.cwd);
  const wanted = await wantedPorts(io, flags, file);
  const key = await issuerOf(files);
  // Written before the start, so that a partly started stack can be taken down too.
  await writeRecord(files, { kind: "compose", file, started_ms: io.now() });
  const env = variables(wanted, files);
  const code = await runDocker(composeArguments(file, "up"), {
    env,
    is_quiet: flags.json === true,
  });
  io.signal.throwIfAborted();
  const services = await readStack(file, io.signal, env) ?? [];
  const is_up = code === 0 ||
    services.some(({ service, state }) => service === "shield" && state === "running");
  // A partly started stack gets one too: its running services can be used.
  const context = is_up
    ? await leaveContext(io, { folder: io.cwd, file, ports: shieldPorts(services, wanted), key })
    : undefined;
  if (code !== 0) {
    if (services.length > 0) await print(io.stderr, stackText(services));
    const hint = "arq dev logs shows its output, arq dev down stops the running services; " +
      "arq dev up --embedded needs no Docker";
    throw failed(`docker compose ended with ${code}`, hint);
  }
  await tellStack(io, file, services, context, flags.json === true);
}

/** Files and folders that a bus reads and writes. Paths are absolute, without a slash at the end. */
interface BusPlaces extends Pick<DevBusOptions, "state_dir" | "data_dir" | "config_file"> {
  /** Folder of the sources, where the policies' threads and the console are read. */
  readonly root: string;
}

/**
 * The flags of `deno run` for a bus, with no more permissions than it needs: the network, the sources to read, its own
 * state to write, and `commands` to run. New policies are first compiled in a child process of `deno`.
 */
export function busFlags(
  { root, state_dir, data_dir, config_file }: BusPlaces,
  commands: readonly string[],
): string[] {
  const write = [state_dir, ...(data_dir === undefined ? [] : [data_dir])];
  // A configuration may name key and certificate files anywhere, so with one all files may be read.
  const read = config_file === undefined
    ? `--allow-read=${[root, ...write].join(",")}`
    : "--allow-read";
  return [
    ...SERVER_FLAGS,
    `--allow-run=${commands.join(",")}`,
    "--allow-net",
    // For the free space of a disk, which the error of a full disk reports.
    "--allow-sys=statfs",
    // Packages read environment variables while they load; this gives them none.
    "--ignore-env",
    read,
    `--allow-write=${write.join(",")}`,
  ];
}

const READY_MS = 60_000;
const HOW_TO_STOP =
  "It runs in the background: arq dev logs shows its output, arq dev down stops it.";

/** Program and arguments of the embedded bus. A compiled `arq` already has its flags and permissions. */
export function backgroundCommand(
  io: Io,
  flags: Flags,
  files: DevFiles,
  standalone: boolean = Deno.build.standalone,
): { command: string; args: string[] } {
  const options = busOptions(io, { dataDir: files.data_dir, ...flags }, files);
  const own = [
    ...["dev", "--background"],
    ...option("--port", options.port),
    ...option("--ops-port", options.ops_port),
    ...option("--admin-port", options.admin_port),
    ...option("--data-dir", options.data_dir),
    ...option("--config", options.config_file),
    ...option("--nats", options.nats_url),
  ];
  if (standalone) return { command: Deno.execPath(), args: own };
  const root = fileURLToPath(new URL("../../..", import.meta.url)).replace(/[\\/]$/, "");
  const command = denoCommand();
  // Windows has no shell that reports the limit of open files.
  const commands = Deno.build.os === "windows" ? [command] : [command, "sh"];
  const main = new URL("../../main.ts", import.meta.url).href;
  return { command, args: ["run", ...busFlags({ ...options, root }, commands), main, ...own] };
}

const option = (name: string, value: string | number | undefined) =>
  value === undefined ? [] : [name, String(value)];

/** The first line that the bus prints, once it is ready or has failed. */
async function firstLine(stdout: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  for await (const chunk of stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes("\n")) break;
  }
  return text;
}

/** Starts the embedded bus and waits until it is ready. An error repeats the bus's own message. */
async function startEmbedded(io: Io, flags: Flags, files: DevFiles): Promise<DevBusReady> {
  const { command, args } = backgroundCommand(io, flags, files);
  const child = startChild(command, {
    args,
    cwd: io.cwd,
    // The bus must not use the caller's INIT_CWD as its own folder.
    env: { INIT_CWD: io.cwd },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  });
  const late = AbortSignal.any([io.signal, AbortSignal.timeout(READY_MS)]);
  const kill = () => child.kill("SIGKILL");
  late.addEventListener("abort", kill, { once: true });
  const errors = awaitedLater(new Response(child.stderr).text());
  const line = await firstLine(child.stdout);
  late.removeEventListener("abort", kill);
  if (line.includes("\n")) {
    child.unref();
    const ready = await announcementOf(files, child.pid);
    if (ready !== undefined) return ready;
  }
  const { code } = await child.status;
  io.signal.throwIfAborted();
  const text = (await errors).trim();
  if (late.aborted) throw new CommandError(`the bus was not ready after ${READY_MS / 1_000} s`);
  const [first = "", ...hint] = text.replace(/^arq: /, "").split("\n").map((one) => one.trim());
  const sentence = first === "" ? `the bus ended with ${code}; see ${files.log}` : first;
  throw new CommandError(sentence, code, hint.length === 0 ? undefined : hint.join(" "));
}

async function tellReady(io: Io, ready: DevBusReady, flags: Flags): Promise<Ended> {
  const text = { arq: io.arq, end: HOW_TO_STOP, has_durable: flags.config === undefined };
  await print(io.stdout, flags.json === true ? readyLine(ready) : readyText(ready, text));
}

/** The bus that already runs in this folder, in the foreground or background; undefined when none runs. */
async function runningBus(
  io: Io,
  files: DevFiles,
  record: DevRecord | undefined,
): Promise<DevBusReady | undefined> {
  if (record?.kind === "embedded") {
    const is_alive = await isAlive(files);
    const ready = is_alive ? await announcementOf(files, record.pid) : undefined;
    if (ready !== undefined) return ready;
    // A killed bus leaves this file.
    if (!is_alive) await removeIfThere(join(files.folder, `${record.pid}.json`));
    if (!is_alive) return await busHere(io, files);
    throw failed(
      `a development bus of this folder (pid ${record.pid}) is starting or draining`,
      "wait a moment; arq dev logs shows its output, arq dev down stops it",
    );
  }
  return await busHere(io, files);
}

/** Throws when a stack already runs. The record describes one bus, so a second one could never be ended. */
function refuseSecond(record: DevRecord | undefined, files: DevFiles, why: string): void {
  if (record?.kind !== "compose") return;
  throw failed(
    `the compose stack of ${record.file} was started here${why}`,
    `stop it first: arq dev down (or forget it: remove ${files.record})`,
  );
}

/** Starts the bus unless it already runs. Returns 0 when it runs. */
export async function devUp(io: Io, flags: Flags): Promise<Ended> {
  const files = devFiles(io.cwd);
  await makeStateFolder(io, files);
  const record = await readRecord(files);
  const running = await runningBus(io, files, record);
  if (running !== undefined) {
    await note(io, `it runs already: ${running.url} (pid ${running.pid})`);
    if (flags.json === true) await print(io.stdout, readyLine(running));
    return EXIT.ok;
  }
  if (flags.embedded !== true) {
    const found = await stackFile(io, flags, files);
    if ("file" in found) return await startStack(io, found, flags, files);
    refuseSecond(record, files, `, and ${found.why}`);
    await note(io, `${found.why}: this is the embedded bus, in one process`);
  }
  refuseSecond(record, files, "");
  return await tellReady(io, await startEmbedded(io, flags, files), flags);
}
