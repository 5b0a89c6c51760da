/**
 * `arq dev logs` and `arq dev status`: show the log and the state of what `arq dev up` has started in this
 * folder.
 */
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { pause } from "../../rooms/flow.ts";
import { type Io, print } from "../../terminal/io.ts";
import { announcementOf, devFiles, isAlive, readRecord } from "../../serve/background.ts";
import type { DevFiles, DevRecord } from "../../serve/background.ts";
import { composeArguments, dockerProblem, runDocker } from "../../serve/compose.ts";
import { readLog } from "../../serve/dev_log.ts";
import { readStack, type StackService, stackText } from "../../serve/stack.ts";
import { readContexts } from "../../bus/contexts.ts";
import { busHere } from "./dev.ts";
import type { Flags } from "../../program/flags.ts";

const LOOK_MS = 250;
const HINT = "arq dev up starts a bus in the background";

async function requireDocker(io: Io): Promise<void> {
  const why = await dockerProblem(io.signal);
  if (why !== undefined) throw new CommandError(why, EXIT.failure, "start Docker");
}

/** Turns each line into `{"line": text}`. */
async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const [decoder, encoder] = [new TextDecoder(), new TextEncoder()];
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    const text = lines.map((line) => `${JSON.stringify({ line })}\n`).join("");
    yield encoder.encode(text);
  }
}

/** Prints the log; with `--follow` until the bus ends or Ctrl-C. */
export async function devLogs(
  io: Io,
  { follow = false, json = false }: Flags,
): Promise<number> {
  const files = devFiles(io.cwd);
  const record = await readRecord(files);
  if (record?.kind === "compose") {
    if (json) throw usageError("--json is not for the compose stack: Docker prints its logs");
    await requireDocker(io);
    const task = composeArguments(record.file, follow ? "follow" : "logs");
    const code = await runDocker(task, { signal: io.signal });
    io.signal.throwIfAborted();
    return code === 0 ? EXIT.ok : EXIT.failure;
  }
  const again = async () => {
    if (!follow || !await isAlive(files)) return false;
    await pause(LOOK_MS, io.signal);
    io.signal.throwIfAborted();
    return true;
  };
  try {
    const log = readLog(files.log, again);
    for await (const bytes of json ? jsonLines(log) : log) await io.stdout.write(bytes);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new CommandError(`there is no log in ${files.folder}`, EXIT.failure, HINT);
  }
  return EXIT.ok;
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
  /** The services of a compose stack. */
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
export async function devStatus(io: Io, { json = false }: Flags): Promise<number> {
  const files = devFiles(io.cwd);
  const state = await stateOf(io, files, await readRecord(files));
  const services = state.services === undefined ? "" : stackText(state.services);
  await print(io.stdout, json ? `${JSON.stringify(state)}\n` : `${sentence(state)}\n${services}`);
  return state.running ? EXIT.ok : EXIT.failure;
}
