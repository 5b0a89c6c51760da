/**
 * What a process hands down to the servers that run in it. `serve_main.ts` makes it; nothing in this
 * folder reads the environment, arguments or signals.
 */
import type { Random } from "../../shared/ids.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { TlsPair } from "../../shared/listeners/tls_reload.ts";

/** Files, clocks, randomness and the end of one process. */
export interface ServeProcess {
  /** Unix ms. */
  readonly now: () => number;
  /** Monotonic ms with fractions. */
  readonly monotonic_ms: () => number;
  readonly random: Random;
  readonly readTextFile: (path: string) => string;
  /** What the files of the certificate hold now; undefined without TLS. May throw. */
  readonly tls: () => TlsPair | undefined;
  /** Takes one log line with its newline; must not throw. */
  readonly writeLog: (line: string) => void;
  readonly cores: number;
  /** Called once, before anything is opened; resolves when the servers are to drain. */
  readonly begin: (log: Logger) => Promise<unknown>;
  /** Ends the process with a sentence. */
  readonly exit: (exit_code: number, sentence: string) => never;
  /** Ends the process as failed when it has not ended by itself within `timeout_ms`. */
  readonly stopWithin: (timeout_ms: number) => void;
}
