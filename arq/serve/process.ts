/**
 * What a process gives to the servers that run in it. `serve_main.ts` makes it; nothing else in this folder
 * reads the environment, arguments or signals.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Random } from "../../shared/ids.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { TlsPair } from "../../shared/http1/door.ts";
import type { Watchdog, WatchdogOptions } from "../../shared/watchdog/watchdog.ts";

/** The files, clocks and random numbers of one process, and how it ends. */
export interface ServeProcess {
  /** The time in Unix ms. */
  readonly now: () => number;
  /** Monotonic ms with fractions. */
  readonly monotonic_ms: () => number;
  readonly random: Random;
  readonly readTextFile: (path: string) => string;
  readonly readFile: (path: string) => Uint8Array;
  /**
   * The certificate and key that the files of the configuration hold now; undefined without TLS. May
   * throw.
   */
  readonly tls: (config: Config) => TlsPair | undefined;
  /** Writes one log line, which has its newline; must not throw. */
  readonly writeLog: (line: string) => unknown;
  readonly cores: number;
  /** Called once, before anything is opened; resolves when the servers are to drain. */
  readonly begin: (log: Logger) => Promise<unknown>;
  /** Calls `reload` when the process is told to read its configuration again; absent: it never is. */
  readonly onHangup?: (reload: (by: string) => unknown) => void;
  /** Kills the process when its event loop stands; absent: nobody watches it. */
  readonly watch?: ((watched: WatchdogOptions) => Watchdog | undefined) | undefined;
  /** Ends the process with a sentence about why. */
  readonly exit: (exit_code: number, sentence: string) => Promise<never>;
  /** Ends the process as failed when it is still there after `timeout_ms`. */
  readonly stopWithin: (timeout_ms: number) => void;
}
