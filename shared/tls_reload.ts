/**
 * Follows the certificate and key of a listener: another pair is checked and handed over, a bad one
 * leaves what is served as it is. Opens no listener and reads no file itself.
 */
import type { Logger } from "./log.ts";
import { Counter } from "./metrics.ts";
import type { Registry } from "./metrics.ts";

/** PEM texts. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** What following needs. */
export interface TlsReloadOptions {
  /** What is served now. */
  readonly served: TlsPair;
  /** What the files hold now; may throw. */
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

/** Looks until it is disposed of. What was found bad is told once, and looked at again when it changes. */
export function followTls(options: TlsReloadOptions): Disposable {
  const { read, renew, registry, log, every_ms = EVERY_MS } = options;
  const results = new Counter({
    name: "shield_tls_reloads_total",
    help: "Changes of the TLS certificate or key, by result.",
    labelNames: ["result"],
    registers: [registry],
  });
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
      results.inc({ result: "ok" });
      log.info("the TLS certificate was replaced");
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      // A file that is away for a moment is told once, too.
      if (text === "" && seen === problem) return;
      if (text === "") seen = problem;
      results.inc({ result: "refused" });
      log.error("the TLS certificate or key cannot be used; the one before is served", { problem });
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
