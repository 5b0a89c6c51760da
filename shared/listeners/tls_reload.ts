/**
 * Follows the certificate and key of a listener: another pair is checked and handed over, a bad one
 * leaves what is served as it is. Opens no listener and reads no file itself.
 */
import { ConfigError } from "../config/load.ts";
import type { Logger } from "../logs/log.ts";
import { Counter } from "../metrics/metrics.ts";
import type { Registry } from "../metrics/metrics.ts";

/** PEM texts. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** What following needs. */
export interface TlsReloadOptions {
  /** For messages and the metric; absent: "client". */
  readonly listener?: "client" | "ops" | "admin";
  /** The part that the metric belongs to; absent: "shield". */
  readonly part?: "shield" | "brain";
  /** The pair that is served now. */
  readonly served: TlsPair;
  /** Reads the pair that the files hold now; may throw. */
  readonly read: () => TlsPair | undefined;
  /** Serves another pair from now on. */
  readonly renew: (pair: TlsPair) => Promise<void>;
  readonly registry: Registry;
  readonly log: Logger;
  /** Between two looks; absent: 2 s. */
  readonly every_ms?: number;
}

const EVERY_MS = 2_000;

/** Throws when nobody could serve TLS with it: not PEM, or a key of another certificate. */
export function requireUsable({ cert, key }: TlsPair): void {
  // The runtime checks a pair only when it listens with it.
  Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key }).close();
}

/** As `requireUsable`, with a start's error: a ConfigError that names `tls_cert` of the table. */
export function requireUsableAs(table: string, pair: TlsPair | undefined): void {
  if (pair === undefined) return;
  try {
    requireUsable(pair);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `${why}; expected a PEM certificate chain, and its key in tls_key`;
    throw new ConfigError("", [{ position: undefined, key: `${table}.tls_cert`, text }]);
  }
}

/** The counter of reloads; one a process, whatever the listener serves. */
function reloadCounter(
  registry: Registry,
  part: "shield" | "brain",
): Counter<"listener" | "result"> {
  const name = `${part}_tls_reloads_total`;
  const known = registry.getSingleMetric(name) as Counter<"listener" | "result"> | undefined;
  return known ?? new Counter({
    name,
    help: "Changes of a listener's TLS certificate or key, by listener and result.",
    labelNames: ["listener", "result"],
    registers: [registry],
  });
}

/** Looks until it is disposed of. What was found bad is told once, and looked at again when it changes. */
export function followTls(options: TlsReloadOptions): Disposable {
  const { read, renew, registry, log, every_ms = EVERY_MS, listener = "client" } = options;
  const results = reloadCounter(registry, options.part ?? "shield");
  const textOf = (pair: TlsPair | undefined) => `${pair?.cert}\n${pair?.key}`;
  let seen = textOf(options.served);

  async function look(): Promise<void> {
    let text = "";
    try {
      const pair = read();
      text = textOf(pair);
      if (text === seen || pair === undefined) return;
      seen = text;
      requireUsable(pair);
      await renew(pair);
      results.inc({ listener, result: "ok" });
      log.info("the TLS certificate was replaced", { listener });
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      // A file that is away for a moment is told once, too.
      if (text === "" && seen === problem) return;
      if (text === "") seen = problem;
      results.inc({ listener, result: "refused" });
      log.error("the TLS certificate or key cannot be used; the one before is served", {
        listener,
        problem,
      });
    }
  }

  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => looking = false);
  }, every_ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
