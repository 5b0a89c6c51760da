/**
 * Process handling for the `main.ts` of every server: arguments, the config file, log lines to stderr, stop signals,
 * exit codes. Only a `main.ts`, `arq/serve/serve_main.ts` and the dev bus may import more than the exit codes; nothing
 * else reads files, arguments or signals.
 */
import { parseArgs } from "node:util";
import {
  ConfigError,
  configText,
  parseConfig,
  requireFileSize,
  unreadable,
} from "../config/load.ts";
import { parseAside } from "./parse_aside.ts";
import type { ConfigDefaults } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { denoProblem } from "../deno_versions.ts";
import { askedFiles, fileProblem, filesByTrial, placeholder } from "./asked_files.ts";
import { LineQueue } from "../logs/line_queue.ts";
import type { Logger } from "../logs/log.ts";

/** Exit code: the process could not start. */
export const EXIT_FAILED = 1;
/** Exit code: the process ended for lack of memory, and should be restarted. The value is EX_TEMPFAIL of sysexits.h. */
export const EXIT_RESTART = 75;
/** Exit code: wrong arguments or configuration. */
export const EXIT_USAGE = 2;

/** The text of any thrown value, without a stack trace. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const lines = new LineQueue(Deno.stderr);
let is_ending = false;
/** How long the end of the process waits for the reader of its log, in ms. */
const FLUSH_MS = 1_000;

/**
 * Writes one log line in the background; false if it is dropped. A closed or slow reader of the log must not stop a
 * server.
 */
export function writeStderr(line: string): boolean {
  if (!is_ending) return lines.write(line);
  // Nothing runs after this. If older lines are queued, their reader is stalled.
  if (lines.is_idle) writeLast(new TextEncoder().encode(line));
  return lines.is_idle;
}

function writeLast(bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
  } catch {
    // The failure cannot be reported anywhere.
  }
}

/** Resolves when all log lines are written, with a timeout for a stalled reader. */
export const flushStderr = (): Promise<void> => lines.flush(FLUSH_MS);

let collected: Logger | undefined;

/** Makes `stopWith` write its text as a line of this log from now on: a collector of JSON lines rejects others. */
export function endInLog(log: Logger): void {
  collected = log;
}

/** As `stopWith`, after the earlier lines are written: for a process that already has a log. */
export async function endWith(program: string, code: number, text: string): Promise<never> {
  await flushStderr();
  return stopWith(program, code, text);
}

/** Runs a server to its end, and exits: with 0, with 2 for an invalid configuration, otherwise with 1. */
export async function exitAfter(program: string, run: () => Promise<void>): Promise<never> {
  try {
    await run();
  } catch (error) {
    const code = error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED;
    await endWith(program, code, textOf(error));
  }
  await flushStderr();
  Deno.exit(0);
}

/** Ends the process with a text for people, never a stack trace. */
export function stopWith(program: string, code: number, text: string): never {
  is_ending = true;
  if (collected === undefined) writeStderr(`${program}: ${text}\n`);
  else collected[code === 0 ? "info" : "error"](text, { exit_code: code });
  Deno.exit(code);
}

/** A program's name, `--help` text and version. */
export interface ProgramText {
  readonly program: string;
  readonly help: string;
  readonly version: string;
}

/** The value of `--config`. Exits for `--help`, `--version` and wrong arguments. */
export function configArgument(text: ProgramText): string {
  return programArguments(text, []).config;
}

/** The values of `--config`, which is required, and of more flags. Exits as `configArgument` does. */
export function programArguments<Flag extends string>(
  { program, help, version }: ProgramText,
  flags: readonly Flag[],
): { config: string } & Partial<Record<Flag, string>> {
  try {
    const more = flags.map((flag) => [flag, { type: "string" }] as const);
    const { values } = parseArgs({
      args: Deno.args,
      options: {
        ...Object.fromEntries(more),
        config: { type: "string" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    });
    if (values.help === true || values.version === true) {
      console.log(values.help === true ? help : `${program} ${version}`);
      Deno.exit(0);
    }
    const problem = denoProblem();
    if (problem !== undefined) stopWith(program, EXIT_FAILED, problem);
    if (values.config !== undefined) {
      return values as { config: string } & Partial<Record<Flag, string>>;
    }
  } catch (error) {
    stopWith(program, EXIT_USAGE, `${textOf(error)}\n\n${help}`);
  }
  stopWith(program, EXIT_USAGE, `--config FILE is missing\n\n${help}`);
}

/**
 * The checked configuration of a server for clients. Throws a ConfigError, also if it sets more connections than this
 * process may open files.
 */
export function clientConfig(bytes: Uint8Array, file: string, defaults: ConfigDefaults): Config {
  const text = configText(bytes, file);
  const config = parseConfig(text, { file, defaults });
  const needed = askedFiles(text, config.limits.connections_per_process);
  const path = needed === undefined ? undefined : placeholder();
  const open = path === undefined ? undefined : () => Deno.openSync(path);
  const problem = needed && open && fileProblem(needed, filesByTrial(needed.files, open));
  if (problem) throw new ConfigError(file, [problem]);
  return config;
}

/** As `loadConfigFile`, for a running process, which continues meanwhile: rejects with an Error with the problem. */
export async function readConfigFile(file: string, defaults: ConfigDefaults = {}): Promise<Config> {
  let bytes: Uint8Array;
  try {
    // A pipe would block the whole process until its writer writes.
    const { isFile, size } = Deno.statSync(file);
    if (!isFile) throw new Error("it is no file that can be read again");
    requireFileSize(size, file);
    bytes = Deno.readFileSync(file);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new Error(`cannot read ${file}: ${textOf(error)}`);
  }
  return await parseAside(bytes, { file, defaults });
}

/** The checked configuration of a file. Exits if it is unreadable or invalid; `serves_clients`: as `clientConfig`. */
export function loadConfigFile(
  program: string,
  file: string,
  defaults: ConfigDefaults = {},
  serves_clients = false,
): Config {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(file);
  } catch (error) {
    stopWith(program, EXIT_USAGE, `cannot read ${file}: ${textOf(error)}`);
  }
  try {
    return serves_clients
      ? clientConfig(bytes, file, defaults)
      : parseConfig(configText(bytes, file), { file, defaults });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    stopWith(program, EXIT_USAGE, `the configuration is wrong\n${error.message}`);
  }
}

/**
 * The certificate and key of the client listener as PEM texts; undefined for plain HTTP. Throws a
 * ConfigError that names the key and the file when one cannot be read.
 */
export function tlsFiles({ server }: Config): { cert: string; key: string } | undefined {
  const { tls_cert, tls_key } = server;
  if (tls_cert === undefined || tls_key === undefined) return undefined;
  const read = (key: string, path: string) => {
    try {
      return Deno.readTextFileSync(path);
    } catch (cause) {
      throw unreadable(`server.${key}`, path, cause);
    }
  };
  return { cert: read("tls_cert", tls_cert), key: read("tls_key", tls_key) };
}

/** Resolves at the first SIGINT or SIGTERM. At a second one, `onAgain` is called and the process ends at once. */
export function stopSignal(
  program: string,
  log: Logger,
  onAgain: () => void = () => {},
): Promise<Deno.Signal> {
  return new Promise((resolve) => {
    let is_requested = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => {
        if (is_requested) {
          onAgain();
          return void endWith(program, EXIT_FAILED, `${signal} again: stopped without draining`);
        }
        is_requested = true;
        log.info("draining", { signal });
        resolve(signal);
      });
    }
  });
}

/**
 * As `stopSignal`, for a process that a supervisor has started. The supervisor's end, detected as the end of stdin,
 * also resolves it. A second signal has no effect: a terminal and a service manager signal both processes, and only the
 * supervisor decides to skip a drain.
 */
export function childStopSignal(log: Logger): Promise<string> {
  return new Promise((resolve) => {
    const stop = (reason: string) => {
      log.info("draining", { signal: reason });
      resolve(reason);
    };
    let is_requested = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => {
        if (!is_requested) stop(signal);
        is_requested = true;
      });
    }
    // Either way the supervisor has ended.
    Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {}).then(() => {
      if (!is_requested) stop("the supervisor has ended");
      is_requested = true;
    });
  });
}

/**
 * Calls `end` if the process is asked to stop before it serves; call the returned function once it serves. A starting
 * process has no clients: there is nothing to drain, and the start is abandoned.
 */
export function whileStarting(stopping: Promise<unknown>, end: () => void): () => void {
  let is_starting = true;
  stopping.then(() => is_starting && end());
  return () => {
    is_starting = false;
  };
}

/** As `whileStarting`, for a program that only has to exit then. */
export function exitWhileStarting(stopping: Promise<unknown>, log: Logger): () => void {
  return whileStarting(stopping, () => {
    log.info("stopped before it was ready");
    void flushStderr().then(() => Deno.exit(0));
  });
}

/**
 * Exits as failed if the process has not ended within `timeout_ms`, so that a supervisor need not kill it during a
 * stuck drain.
 */
export function stopWithin(program: string, timeout_ms: number): void {
  const text = `not done with draining after [server] drain_timeout_ms (${timeout_ms})`;
  Deno.unrefTimer(setTimeout(() => void endWith(program, EXIT_FAILED, text), timeout_ms));
}

/** Logs uncaught errors and keeps the process running: such an error is a bug in one callback. */
export function logUnhandled(log: Logger): void {
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    log.error("uncaught error", { error: event.error });
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.error("unhandled rejection", { error: event.reason });
  });
}
