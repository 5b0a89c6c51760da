/**
 * The process of `arq serve` and of the development bus, like the `main.ts` of each server: files, clock,
 * random numbers and signals. It is loaded only when a bus runs in this process. The other files of `serve/`
 * run the bus.
 */
import { type ConfigDefaults, ConfigError } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { randomPool } from "../../shared/ids.ts";
import type { Logger } from "../../shared/logs/log.ts";
import {
  clientConfig,
  endInLog,
  endWith,
  flushStderr,
  logUnhandled,
  readConfigFile,
  stopWithin,
  tlsFiles,
  writeStderr,
} from "../../shared/process/process.ts";
import { onHangup } from "../../shared/process/live_process.ts";
import { VERSION as version } from "../../shared/version.ts";
import { startWatchdog } from "../../shared/watchdog/watchdog.ts";
import { usageError, whyOf } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";
import type { DevProcess } from "./dev_bus.ts";
import { serve, type Serving } from "./serve.ts";

const NO_ISSUER = "[[auth.issuers]] is missing: without an issuer every token is refused";
const ISSUER_HINT = "arq init writes a configuration with one; docs/security.md shows others";

/** The bytes of a configuration file. Rejects with a usage error, or when a signal stopped the command. */
export async function readConfigBytes({ files, signal }: Io, file: string): Promise<Uint8Array> {
  try {
    return await files.read(file);
  } catch (error) {
    signal.throwIfAborted();
    throw unreadable(file, error);
  }
}

/** The same for a program that signals end anyway. */
function readConfigBytesNow(file: string): Uint8Array {
  try {
    return Deno.readFileSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
}

const unreadable = (file: string, error: unknown) =>
  usageError(`cannot read ${file}: ${whyOf(error)}`);

/** Checks a configuration. Throws a usage error when it cannot be used. */
function usableConfig(bytes: Uint8Array, file: string, defaults: ConfigDefaults): Config {
  try {
    return clientConfig(bytes, file, defaults);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw usageError("the configuration is wrong", error.message.replaceAll("\n", "\n     "));
  }
}

/** The differences between the programs in which a bus runs. */
export interface ProcessOptions {
  /** Name of the program, for sentences on stderr. */
  readonly program: string;
  /** Resolves when the bus has to drain; the logger is for the reason. */
  readonly stopping: (log: Logger) => Promise<unknown>;
  /** The bytes of the configuration file, if there is one. */
  readonly config?: Uint8Array;
  /** Writes a log line; absent: to stderr. */
  readonly writeLog?: (line: string) => void;
  /** The file with the log lines; absent: none. */
  readonly log_file?: string;
}

export { flushStderr };

/** The functions of this process, for a development bus. */
export function busProcess(
  { program, stopping, config, writeLog, log_file }: ProcessOptions,
): DevProcess {
  return {
    pid: Deno.pid,
    now: Date.now,
    monotonic_ms: () => performance.now(),
    random: randomPool((bytes) => crypto.getRandomValues(bytes)),
    readTextFile: (path) => Deno.readTextFileSync(path),
    readFile: (path) => Deno.readFileSync(path),
    tls: tlsFiles,
    loadConfig: (file, defaults) =>
      usableConfig(config ?? readConfigBytesNow(file), file, defaults),
    readConfig: readConfigFile,
    writeLog: writeLog ?? writeStderr,
    cores: navigator.hardwareConcurrency,
    watch: (watched) => startWatchdog({ ...watched, log_file }),
    begin(log) {
      logUnhandled(log);
      return stopping(log);
    },
    exit(exit_code, sentence) {
      // Nobody may be reading stderr, so the log gets the sentence too.
      writeLog?.(`${program}: ${sentence}\n`);
      return endWith(program, exit_code, sentence);
    },
    stopWithin: (timeout_ms) => stopWithin(program, timeout_ms),
  };
}

/** A function for `stopping` that resolves when the signal aborts, and logs the start of the drain. */
export function stoppedBy(signal: AbortSignal): (log: Logger) => Promise<void> {
  return (log) =>
    new Promise((resolve) => {
      const stop = () => {
        log.info("draining");
        resolve();
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
    });
}

/**
 * Runs a configuration's bus until `signal` aborts and everything has drained. Its paths begin in `folder`.
 * Rejects with a usage error when the file cannot be used, and when the start fails.
 */
export async function serveFile(
  { file, bytes, folder, signal, onReady }: {
    readonly file: string;
    readonly bytes: Uint8Array;
    readonly folder: string;
    readonly signal: AbortSignal;
    readonly onReady: (serving: Serving) => Promise<void>;
  },
): Promise<void> {
  // `deno task` has changed the folder.
  Deno.chdir(folder);
  const process = busProcess({ program: "arq", stopping: stoppedBy(signal), config: bytes });
  const config: Config = process.loadConfig(file, {});
  if (config.auth.issuers.length === 0) throw usageError(`${file}: ${NO_ISSUER}`, ISSUER_HINT);
  const serving = serve({
    given: { file, config, read: () => readConfigFile(file) },
    process: {
      ...process,
      onHangup,
      begin(log) {
        if (config.log.format === "json") endInLog(log);
        return process.begin(log);
      },
    },
    service_name: "arqon",
    async onReady(serving, log) {
      log.info("ready", {
        version,
        ...serving,
        spine: config.nats === undefined ? "embedded" : "nats",
      });
      await onReady(serving);
    },
  });
  await serving.finally(flushStderr);
}
