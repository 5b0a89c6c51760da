/**
 * `arq serve` and `arq dev`: Shield and Brain in this process, from a configuration or as the development bus. The
 * development bus runs in the foreground, or in the background when `arq dev up` starts it with `--background`.
 */
import { resolve } from "node:path";
import { findDevBus } from "../../bus/dev_bus.ts";
import type { Place } from "../../../shared/listeners/port_check.ts";
import { CommandError, EXIT, failed, usageError, whyOf } from "../../terminal/exit.ts";
import { type Ended, type Io, note, print, resolvePath } from "../../terminal/io.ts";
import { devFiles, openLog, takeLock, writeRecord } from "../../serve/background.ts";
import type { DevFiles } from "../../serve/background.ts";
import type { DevBusOptions, DevBusReady } from "../../serve/dev_bus.ts";
import type { ProcessOptions } from "../../serve/serve_main.ts";
import { readyLine, readyText } from "../../serve/ready_text.ts";
import { requireFiles, startProblem } from "../../serve/start_problem.ts";
import type { Flags } from "../../program/flags.ts";
import { INIT_FILES } from "../../init/templates.ts";
import { removeIfThere } from "../../terminal/disk_files.ts";

const PORT_OPTIONS: Readonly<Record<string, string>> = {
  server: "--port",
  ops: "--ops-port",
  admin: "--admin-port",
};
/** Time for the system to tell which program has a port. */
const ASK_MS = 1_500;
/** Attempts to take the lock. A process that checks whether a bus is alive holds it for a moment. */
const LOCK_TRIES = 40;
const LOCK_PAUSE_MS = 50;

/** The bus that the options describe. Relative paths begin in the caller's folder. */
export function busOptions({ cwd }: Io, flags: Flags, files: DevFiles): DevBusOptions {
  const { port, opsPort, adminPort, dataDir, config, nats } = flags;
  return {
    state_dir: files.state_dir,
    ...(port === undefined ? {} : { port }),
    ...(opsPort === undefined ? {} : { ops_port: opsPort }),
    ...(adminPort === undefined ? {} : { admin_port: adminPort }),
    ...(dataDir === undefined ? {} : { data_dir: resolve(cwd, dataDir) }),
    ...(config === undefined ? {} : { config_file: resolve(cwd, config) }),
    ...(nats === undefined ? {} : { nats_url: nats }),
  };
}

/** Makes the state folder if it does not exist. */
export async function makeStateFolder(io: Io, { folder }: DevFiles): Promise<void> {
  try {
    await io.files.makeDirectory(folder);
  } catch (error) {
    const why = whyOf(error);
    const hint = "run it in a folder that you may write to";
    throw failed(`cannot make ${folder}: ${why}`, hint);
  }
}

/** The bus that is announced in exactly this state folder; undefined when there is none. */
export function busHere(io: Io, { state_dir }: DevFiles): Promise<DevBusReady | undefined> {
  return findDevBus({ ...io, state_dirs: [state_dir] }) as Promise<DevBusReady | undefined>;
}

async function serveHere(
  io: Io,
  options: DevBusOptions,
  log: Pick<ProcessOptions, "writeLog" | "log_file">,
  onReady: (ready: DevBusReady) => Promise<void>,
): Promise<void> {
  const [{ busProcess, flushStderr, readConfigBytes, stoppedBy }, { serveDev }] = await Promise.all(
    [import("../../serve/serve_main.ts"), import("../../serve/dev_bus.ts")],
  );
  const { config_file } = options;
  const config = config_file === undefined ? undefined : await readConfigBytes(io, config_file);
  const process = busProcess({
    program: "arq",
    stopping: stoppedBy(io.signal),
    ...log,
    ...(config !== undefined && { config }),
  });
  try {
    await serveDev(options, process, onReady);
  } catch (error) {
    const fix = (places: readonly Place[]) => {
      const options = places.map(({ table }) => `${PORT_OPTIONS[table]} N`).join(" ");
      const others = places.length === 1 ? "another" : "others";
      return `stop it, or choose ${others}: ${options} (0 picks a free one)`;
    };
    throw await startProblem(error, fix, AbortSignal.timeout(ASK_MS));
  } finally {
    await flushStderr();
  }
}

/** Takes the lock, which this process then holds until it ends. */
async function lockFor(files: DevFiles): Promise<Deno.FsFile> {
  for (let tries = LOCK_TRIES; tries > 0; tries--) {
    const lock = await takeLock(files);
    if (lock !== undefined) return lock;
    await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE_MS));
  }
  throw new CommandError(`a development bus of ${files.state_dir} runs already`);
}

async function runInBackground(io: Io, flags: Flags, files: DevFiles): Promise<void> {
  using _lock = await lockFor(files);
  await writeRecord(files, { kind: "embedded", pid: Deno.pid, started_ms: io.now() });
  const log = { writeLog: openLog(files.log), log_file: files.log };
  const options = busOptions(io, flags, files);
  try {
    await serveHere(io, options, log, (ready) => print(io.stdout, readyLine(ready)));
  } finally {
    await removeIfThere(files.record);
  }
}

/** Runs the bus until the first signal and drains it. Returns 0 when it has drained. */
export async function dev(io: Io, flags: Flags): Promise<Ended> {
  await requireFiles(io.signal);
  const files = devFiles(io.cwd);
  await makeStateFolder(io, files);
  if (flags.background === true) {
    await runInBackground(io, flags, files);
    return EXIT.ok;
  }
  await serveHere(io, busOptions(io, flags, files), {}, async (ready) => {
    const has_durable = flags.config === undefined;
    const text = { arq: io.arq, end: "Ctrl-C ends it.", has_durable };
    await print(io.stdout, flags.json === true ? readyLine(ready) : readyText(ready, text));
  });
}

/** The config.toml of this folder, as `arq init` writes it. Reports on stderr which file is used. */
async function configHere(io: Io): Promise<string> {
  const path = resolvePath(io.cwd, INIT_FILES.config);
  // A file that cannot be inspected counts as absent.
  if ((await io.files.state(path).catch(() => undefined)) === undefined) {
    throw usageError(
      `which configuration? There is no ${INIT_FILES.config} in ${io.cwd}`,
      "give --config FILE; arq init writes one",
    );
  }
  await note(io, `no --config, using ${path}`);
  return INIT_FILES.config;
}

/** Runs the bus until the first signal and drains it. Returns 0 when it has drained. Logs go to stderr. */
export async function serveCommand(io: Io, flags: Flags): Promise<Ended> {
  await requireFiles(io.signal);
  const file = flags.config ?? await configHere(io);
  const { readConfigBytes, serveFile } = await import("../../serve/serve_main.ts");
  const { cwd, signal } = io;
  const path = resolvePath(cwd, file);
  const bytes = await readConfigBytes(io, path);
  try {
    await serveFile({
      file: path,
      bytes,
      folder: cwd,
      signal,
      async onReady(serving) {
        if (flags.json === true) await print(io.stdout, `${JSON.stringify(serving)}\n`);
      },
    });
  } catch (error) {
    const fix = (places: readonly Place[]) => {
      const keys = places.map(({ table }) => `[${table}] port`).join(", ");
      return `stop it, or set ${keys} in ${file}; 0 picks a free one`;
    };
    throw await startProblem(error, fix, AbortSignal.timeout(ASK_MS));
  }
}
