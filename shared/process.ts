/**
 * What the `main.ts` of every server does with its process: arguments, the config file, log lines
 * to stderr, stop signals, exit codes. Only a `main.ts` (and the dev bus) may import this; nothing
 * else reads files, arguments or signals.
 */
import { parseArgs } from "node:util";
import { ConfigError, parseConfig } from "./config/load.ts";
import type { ConfigDefaults } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import type { Logger } from "./log.ts";

/** Could not start. */
export const EXIT_FAILED = 1;
/** Wrong arguments or configuration. */
export const EXIT_USAGE = 2;

/** The text of any thrown value, without a stack trace. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Writes one log line; a reader of the log that is gone or slow must not stop a server. */
export function writeStderr(line: string): void {
  const bytes = new TextEncoder().encode(line);
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
  } catch {
    // Nobody is left to tell.
  }
}

/** Ends the process with a text for people, never a stack trace. */
export function stopWith(program: string, code: number, text: string): never {
  writeStderr(`${program}: ${text}\n`);
  Deno.exit(code);
}

/** What a program says of itself to people: its name, `--help` text and version. */
export interface ProgramText {
  readonly program: string;
  readonly help: string;
  readonly version: string;
}

/** The value of `--config`. Exits for `--help`, `--version` and wrong arguments. */
export function configArgument({ program, help, version }: ProgramText): string {
  try {
    const { values } = parseArgs({
      args: Deno.args,
      options: {
        config: { type: "string" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    });
    if (values.help === true || values.version === true) {
      console.log(values.help === true ? help : `${program} ${version}`);
      Deno.exit(0);
    }
    if (values.config !== undefined) return values.config;
  } catch (error) {
    stopWith(program, EXIT_USAGE, `${textOf(error)}\n\n${help}`);
  }
  stopWith(program, EXIT_USAGE, `--config FILE is missing\n\n${help}`);
}

/** The checked configuration of a file. Exits when it cannot be read or used. */
export function loadConfigFile(
  program: string,
  file: string,
  defaults: ConfigDefaults = {},
): Config {
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (error) {
    stopWith(program, EXIT_USAGE, `cannot read ${file}: ${textOf(error)}`);
  }
  try {
    return parseConfig(text, { file, defaults });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    stopWith(program, EXIT_USAGE, `the configuration is wrong\n${error.message}`);
  }
}

/** PEM texts of the client listener, or undefined for plain HTTP. Throws when a file cannot be read. */
export function tlsFiles({ server }: Config): { cert: string; key: string } | undefined {
  const { tls_cert_file, tls_key_file } = server;
  if (tls_cert_file === undefined || tls_key_file === undefined) return undefined;
  return { cert: Deno.readTextFileSync(tls_cert_file), key: Deno.readTextFileSync(tls_key_file) };
}

/** Resolves at the first SIGINT or SIGTERM; whoever asks twice does not want to wait. */
export function stopSignal(program: string, log: Logger): Promise<Deno.Signal> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => {
        if (asked) stopWith(program, EXIT_FAILED, `${signal} again: stopped without draining`);
        asked = true;
        log.info("draining", { signal });
        resolve(signal);
      });
    }
  });
}

/** What nobody catches is a bug in one callback: it is logged, and the process goes on serving. */
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
