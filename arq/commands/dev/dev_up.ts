/**
 * `arq dev up`: starts a development bus in the background. Where Docker works, it is the compose stack
 * (`dev_stack.ts`), else the embedded bus, which is another process of this program.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { denoCommand, SERVER_FLAGS } from "../../../shared/process/deno_command.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import {
  announcementOf,
  type DevFiles,
  devFiles,
  type DevRecord,
  isAlive,
  readRecord,
  removeIfThere,
} from "../../serve/background.ts";
import type { DevBusOptions, DevBusReady } from "../../serve/dev_bus.ts";
import { readyLine, readyText } from "../../serve/ready_text.ts";
import { busHere, busOptions, makeStateFolder } from "./dev.ts";
import { stackFile, startStack } from "./dev_stack.ts";
import type { Flags } from "../../program/flags.ts";

/** Files and folders that a bus reads and writes. Paths are absolute, without a slash at the end. */
interface BusPlaces extends Pick<DevBusOptions, "state_dir" | "data_dir" | "config_file"> {
  /** Folder of our sources, where the policies' threads and the console are read. */
  readonly root: string;
}

/**
 * The flags of `deno run` for a bus, with no more permissions than it needs: the network, our sources to read,
 * its own state to write, and `commands` to run. New policies are first compiled in a child process of `deno`.
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
    // For the free space of a disk, which a full disk's error tells.
    "--allow-sys=statfs",
    // Packages read variables while they load, and find none.
    "--ignore-env",
    read,
    `--allow-write=${write.join(",")}`,
  ];
}

const READY_MS = 60_000;
const HOW_TO_STOP =
  "It goes on in the background: arq dev logs shows what it says, arq dev down ends it.";

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
  // Windows has no shell that tells the limit of open files.
  const commands = Deno.build.os === "windows" ? [command] : [command, "sh"];
  const main = new URL("../../main.ts", import.meta.url).href;
  return { command, args: ["run", ...busFlags({ ...options, root }, commands), main, ...own] };
}

const option = (name: string, value: string | number | undefined) =>
  value === undefined ? [] : [name, String(value)];

/** The first line that the bus prints, once it is ready or has ended. */
async function firstLine(stdout: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  for await (const chunk of stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes("\n")) break;
  }
  return text;
}

/**
 * Starts the embedded bus and waits until it is ready. When it cannot start, the error has the bus's own
 * words.
 */
async function startEmbedded(io: Io, flags: Flags, files: DevFiles): Promise<DevBusReady> {
  const { command, args } = backgroundCommand(io, flags, files);
  const child = new Deno.Command(command, {
    args,
    cwd: io.cwd,
    // The bus must not take the folder of our caller for its own.
    env: { INIT_CWD: io.cwd },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true,
  }).spawn();
  const late = AbortSignal.any([io.signal, AbortSignal.timeout(READY_MS)]);
  const kill = () => child.kill("SIGKILL");
  late.addEventListener("abort", kill, { once: true });
  const said = new Response(child.stderr).text();
  // It is awaited later, and told then.
  said.catch(() => {});
  const line = await firstLine(child.stdout);
  late.removeEventListener("abort", kill);
  if (line.includes("\n")) {
    child.unref();
    const ready = await announcementOf(files, child.pid);
    if (ready !== undefined) return ready;
  }
  const { code } = await child.status;
  io.signal.throwIfAborted();
  const text = (await said).trim();
  if (late.aborted) throw new CommandError(`the bus was not ready after ${READY_MS / 1_000} s`);
  const [first = "", ...hint] = text.replace(/^arq: /, "").split("\n").map((one) => one.trim());
  const sentence = first === "" ? `the bus ended with ${code}; see ${files.log}` : first;
  throw new CommandError(sentence, code, hint.length === 0 ? undefined : hint.join(" "));
}

async function tellReady(io: Io, ready: DevBusReady, flags: Flags): Promise<number> {
  const text = { arq: io.arq, end: HOW_TO_STOP, has_durable: flags.config === undefined };
  await print(io.stdout, flags.json === true ? readyLine(ready) : readyText(ready, text));
  return EXIT.ok;
}

/** The bus that runs in this folder already, whether in the background or not; undefined when none runs. */
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
    throw new CommandError(
      `a development bus of this folder (pid ${record.pid}) starts or drains just now`,
      EXIT.failure,
      "wait a moment; arq dev logs shows what it does, arq dev down ends it",
    );
  }
  return await busHere(io, files);
}

/** Throws when a stack runs already. The record holds one bus, so a forgotten stack would never be ended. */
function refuseSecond(record: DevRecord | undefined, files: DevFiles, why: string): void {
  if (record?.kind !== "compose") return;
  throw new CommandError(
    `the compose stack of ${record.file} was started here${why}`,
    EXIT.failure,
    `end it first: arq dev down (or forget it: remove ${files.record})`,
  );
}

/** Starts what does not run yet. Returns 0 when it runs. */
export async function devUp(io: Io, flags: Flags): Promise<number> {
  const files = devFiles(io.cwd);
  await makeStateFolder(io, files);
  const record = await readRecord(files);
  const running = await runningBus(io, files, record);
  if (running !== undefined) {
    await print(io.stderr, `arq: it runs already: ${running.url} (pid ${running.pid})\n`);
    if (flags.json === true) await print(io.stdout, readyLine(running));
    return EXIT.ok;
  }
  if (flags.embedded !== true) {
    const found = await stackFile(io, flags, files);
    if ("file" in found) return await startStack(io, found, flags, files);
    refuseSecond(record, files, `, and ${found.why}`);
    await print(io.stderr, `arq: ${found.why}: this is the embedded bus, in one process\n`);
  }
  refuseSecond(record, files, "");
  return await tellReady(io, await startEmbedded(io, flags, files), flags);
}
