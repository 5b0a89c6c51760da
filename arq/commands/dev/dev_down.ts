/**
 * `arq dev down`, `reset`, `logs` and `status`: show and end what `arq dev up` has started in this folder; `reset` also
 * deletes its state.
 */
import { dirname, join } from "node:path";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT } from "../../bus/dev_bus.ts";
import { runShell } from "../../doctor/system.ts";
import { sure } from "../../terminal/input.ts";
import { CommandError, EXIT, failed, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, note, sleep } from "../../terminal/io.ts";
import {
  announcementOf,
  type DevFiles,
  devFiles,
  type DevRecord,
  isAlive,
  olderLog,
  readLog,
  readRecord,
} from "../../serve/background.ts";
import {
  type ComposeAction,
  composeArguments,
  dockerProblem,
  readStack,
  runDocker,
  type StackService,
  stackText,
} from "../../serve/stack.ts";
import type { DevBusReady } from "../../serve/dev_bus.ts";
import { parsePrivateKey, signToken } from "../../bus/token.ts";
import { exchange } from "../../bus/admin.ts";
import { removeContext } from "../../bus/stack_context.ts";
import { busHere } from "./dev.ts";
import type { Flags } from "../../program/flags.ts";
import { readContexts } from "../../bus/contexts.ts";
import { removeIfThere } from "../../terminal/disk_files.ts";

const REQUEST_MS = 5_000;
/** Time for a drain: the default of `[server] drain_timeout_ms`, 30 s, and a reserve. */
const DRAIN_MS = 45_000;
const KILLED_MS = 10_000;
const LOOK_MS = 50;
const TOKEN_SECONDS = 60;

/** Asks the bus for a drain over its admin API. Only the bus with our key and this node id obeys. */
async function askToDrain(io: Io, bus: DevBusReady): Promise<boolean> {
  const own = { issuer: DEV_ISSUER, audience: DEV_AUDIENCE, tenant: DEV_TENANT };
  const claims = { ...own, user: "arq-dev", role: "admin", ttl_seconds: TOKEN_SECONDS } as const;
  try {
    const key = new TextDecoder().decode(await io.files.read(bus.key_file));
    const token = await signToken(parsePrivateKey(key, bus.key_file), claims, io.now());
    const body = JSON.stringify({ node_id: bus.node_id });
    const request = { method: "POST", path: "/v1/drain", body } as const;
    const { admin_url } = bus;
    return (await exchange(io, { admin_url, token }, request, REQUEST_MS)).response.ok;
  } catch {
    io.signal.throwIfAborted();
    return false;
  }
}

/** Sends a signal only while the process holds the lock: the pid alone might have been reused. */
async function sendSignal(io: Io, pid: number, name: "TERM" | "KILL"): Promise<void> {
  try {
    Deno.kill(pid, `SIG${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) await runShell(`kill -${name} ${pid}`, io.signal);
  }
}

async function endsWithin(io: Io, files: DevFiles, limit_ms: number): Promise<boolean> {
  const until_ms = io.monotonic_ms() + limit_ms;
  while (await isAlive(files)) {
    if (io.monotonic_ms() > until_ms) return false;
    await sleep(LOOK_MS, io.signal);
  }
  return true;
}

/** Ends the bus of the record, with a drain if possible. False when no bus runs. */
async function stopEmbedded(io: Io, files: DevFiles, pid: number): Promise<boolean> {
  if (!await isAlive(files)) return false;
  const bus = await announcementOf(files, pid);
  if (bus === undefined || !await askToDrain(io, bus)) await sendSignal(io, pid, "TERM");
  if (await endsWithin(io, files, DRAIN_MS)) return true;
  await note(io, `it has not exited; killing process ${pid}`);
  await sendSignal(io, pid, "KILL");
  if (await endsWithin(io, files, KILLED_MS)) return true;
  throw failed(`process ${pid} does not end`, `stop it manually: kill ${pid}`);
}

async function runCompose(io: Io, file: string, action: ComposeAction): Promise<void> {
  const why = await dockerProblem(io.signal);
  const hint = `start Docker; ${file} was started with it`;
  if (why !== undefined) throw failed(why, hint);
  const code = await runDocker(composeArguments(file, action));
  io.signal.throwIfAborted();
  if (code !== 0) throw new CommandError(`docker compose ended with ${code}`);
}

/** Ends what runs and describes it for people; undefined when nothing ran. */
async function stop(
  io: Io,
  files: DevFiles,
  record: DevRecord | undefined,
  action: "down" | "reset",
): Promise<string | undefined> {
  if (record === undefined) return undefined;
  if (record.kind === "compose") {
    await runCompose(io, record.file, action);
    await removeIfThere(files.record);
    await removeContext(io, io.cwd);
    return `the compose stack of ${record.file}`;
  }
  const was_alive = await stopEmbedded(io, files, record.pid);
  // A killed bus leaves its files.
  await removeIfThere(files.record);
  await removeIfThere(join(files.folder, `${record.pid}.json`));
  return was_alive ? `the embedded bus (pid ${record.pid})` : undefined;
}

/** Throws when a bus runs in a terminal's foreground, which this command must not end. */
async function refuseForeground(io: Io, files: DevFiles): Promise<void> {
  const bus = await busHere(io, files);
  if (bus === undefined) return;
  throw failed(
    `the bus on ${bus.url} (pid ${bus.pid}) was not started by arq dev up`,
    "stop it in its terminal, with Ctrl-C",
  );
}

/** The report of what was ended; its `ended` is null when nothing ran. */
const endedReport = (ended: string | undefined, text: string): Ended => {
  return { json: { ended: ended ?? null }, text: "", note: `arq: ${text}\n` };
};

/** Ends what runs. Also returns 0 when nothing runs. */
export async function devDown(io: Io): Promise<Ended> {
  const files = devFiles(io.cwd);
  const stopped = await stop(io, files, await readRecord(files), "down");
  if (stopped === undefined) await refuseForeground(io, files);
  return endedReport(stopped, `${stopped ?? "nothing"} ${stopped ? "has ended" : "runs here"}`);
}

/** Removes the files of a data folder and then the folder. Other folders stay. */
async function removeState(io: Io, files: DevFiles): Promise<void> {
  const { data_dir, issuer_dir, stack_dir, log, lock } = files;
  for (const folder of [data_dir, issuer_dir]) {
    for (const name of await io.files.list(folder)) {
      // A restore has kept the data before it in a folder.
      await removeIfThere(join(folder, name), { recursive: true });
    }
    await removeIfThere(folder);
  }
  for (const path of [log, olderLog(log), lock]) await removeIfThere(path);
  if (await io.files.state(stack_dir) !== undefined) {
    const { stackFiles } = await import("../../serve/stack_files.ts");
    await removeTree(stack_dir, [...stackFiles("").keys()]);
  }
}

/** Removes files below a folder, and the folders that are then empty. */
async function removeTree(folder: string, paths: readonly string[]): Promise<void> {
  const folders = new Set([folder]);
  for (const path of paths) {
    await removeIfThere(join(folder, path));
    for (let at = dirname(path); at !== "."; at = dirname(at)) folders.add(join(folder, at));
  }
  // The deepest folder comes first.
  for (const path of [...folders].toSorted((one, other) => other.length - one.length)) {
    await removeIfThere(path);
  }
}

/** Ends what runs and deletes its rooms, policies, bans and log. */
export async function devReset(io: Io, flags: Flags): Promise<Ended> {
  const files = devFiles(io.cwd);
  const record = await readRecord(files);
  const what = record?.kind === "compose"
    ? `Remove the volumes of ${record.file}: keys, rooms, policies and figures?`
    : `Remove all rooms, policies, bans and the log in ${files.folder}?`;
  if (flags.yes !== true && !await sure(io, what)) {
    await note(io, "nothing was removed");
    return EXIT.failure;
  }
  const stopped = await stop(io, files, record, "reset");
  if (stopped === undefined) await refuseForeground(io, files);
  await removeState(io, files);
  return endedReport(stopped, `${stopped ? `${stopped} has ended and ` : ""}its state is deleted`);
}

const FOLLOW_MS = 250;
const HINT = "arq dev up starts a bus in the background";

async function requireDocker(io: Io): Promise<void> {
  const why = await dockerProblem(io.signal);
  if (why !== undefined) throw failed(why, "start Docker");
}

/** Turns each line into `{"line": text}`. */
async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    const text = lines.map((line) => `${JSON.stringify({ line })}\n`).join("");
    yield encoder.encode(text);
  }
}

/** Prints the log; with `--follow` until the bus ends or Ctrl-C. */
export async function devLogs(io: Io, { follow = false, json = false }: Flags): Promise<Ended> {
  const files = devFiles(io.cwd);
  const record = await readRecord(files);
  if (record?.kind === "compose") {
    if (json) throw usageError("--json is not for the compose stack: Docker prints those logs");
    await requireDocker(io);
    const task = composeArguments(record.file, follow ? "follow" : "logs");
    const code = await runDocker(task, { signal: io.signal });
    io.signal.throwIfAborted();
    return code === 0 ? EXIT.ok : EXIT.failure;
  }
  const again = async () => {
    if (!follow || !await isAlive(files)) return false;
    await sleep(FOLLOW_MS, io.signal);
    return true;
  };
  try {
    const log = readLog(files.log, again);
    for await (const bytes of json ? jsonLines(log) : log) await io.stdout.write(bytes);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw failed(`there is no log in ${files.folder}`, HINT);
  }
}

/** What runs in this folder, as `--json` shows it. */
interface DevState {
  readonly running: boolean;
  readonly kind?: DevRecord["kind"] | "foreground";
  /** The compose file of a stack. */
  readonly file?: string;
  readonly pid?: number;
  /** Start of the bus in Unix ms. */
  readonly started_ms?: number;
  readonly url?: string;
  readonly ops_url?: string | undefined;
  readonly admin_url?: string | undefined;
  readonly log_file?: string;
  readonly services?: readonly StackService[];
}

async function stateOf(
  io: Io,
  files: DevFiles,
  record: DevRecord | undefined,
): Promise<DevState> {
  if (record?.kind === "compose") {
    await requireDocker(io);
    const services = await readStack(record.file, io.signal) ?? [];
    const running = services.some(({ state }) => state === "running");
    const context = (await readContexts(io)).contexts.find(({ compose, folder }) =>
      compose === record.file && folder === io.cwd
    );
    const { url, ops_url, admin_url } = context ?? {};
    const where = url === undefined ? {} : { url, ops_url, admin_url };
    return { running, ...record, ...where, services };
  }
  const is_ours = record !== undefined && await isAlive(files);
  const bus = is_ours ? await announcementOf(files, record.pid) : await busHere(io, files);
  if (bus === undefined) {
    return is_ours ? { running: true, ...record, log_file: files.log } : { running: false };
  }
  const { pid, started_ms, url, ops_url, admin_url } = bus;
  const where = { pid, started_ms, url, ops_url, admin_url };
  return is_ours
    ? { running: true, kind: record.kind, ...where, log_file: files.log }
    : { running: true, kind: "foreground", ...where };
}

function sentence({ running, kind, file, url, pid, started_ms = 0 }: DevState): string {
  if (!running) return "nothing runs here";
  if (kind === "compose") {
    return `the compose stack of ${file} runs${url === undefined ? "" : ` on ${url}`}`;
  }
  const title = kind === "foreground" ? "a bus in the foreground" : "the embedded bus";
  const where = url === undefined ? "starts or drains" : `runs on ${url}`;
  return `${title} ${where} (pid ${pid}, since ${new Date(started_ms).toISOString()})`;
}

/** Prints what runs. Returns 0 when something runs, else 1. */
export async function devStatus(io: Io): Promise<Ended> {
  const files = devFiles(io.cwd);
  const state = await stateOf(io, files, await readRecord(files));
  const services = state.services === undefined ? "" : stackText(state.services);
  return {
    json: state,
    text: `${sentence(state)}\n${services}`,
    code: state.running ? EXIT.ok : EXIT.failure,
  };
}
