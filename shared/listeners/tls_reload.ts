/**
 * Follows the certificate and key files of a listener: a new pair is checked and applied; a bad one changes nothing.
 * Opens no listener and reads no file itself.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { ConfigError } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import type { TlsPair } from "../http1/door.ts";
import type { Env } from "../env.ts";
import type { Listener } from "./listen.ts";
import { Counter, Gauge, type Registry } from "../metrics/metrics.ts";

/** The pair of a listener, where another one is read, and how it is applied. */
interface TlsReloadOptions extends Pick<Env, "registry" | "log" | "now"> {
  /** For messages and the metric; absent: "client". */
  readonly listener?: "client" | "ops" | "admin";
  /** The part that the metric belongs to; absent: "shield". */
  readonly part?: "shield" | "brain";
  readonly served: TlsPair;
  /** Reads the pair in the files now; may throw. */
  readonly read: () => TlsPair | undefined;
  /** Applies another pair. */
  readonly renew: (pair: TlsPair) => Promise<void>;
  /** Interval of the checks; absent: 2 s. */
  readonly every_ms?: number;
}

const EVERY_MS = 2_000;

/** A certificate that no peer accepts now, or with a key of another one: another start may succeed. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
  readonly key: string;

  constructor(table: string, problem: string, name = "tls_cert") {
    super(`[${table}] ${name}: ${problem}`);
    this.key = `${table}.${name}`;
  }
}

/** The expiry of the first certificate in a PEM chain, Unix ms. Throws for an invalid certificate. */
export const endOf = (cert: string): number => Date.parse(new X509Certificate(cert).validTo);

/** Why no client would accept the pair at `now_ms`; undefined: it is valid. Throws for what is not PEM. */
export const pairProblem = (pair: TlsPair, now_ms: number): string | undefined =>
  keyProblem(pair) ?? forceProblem(pair.cert, now_ms);

function keyProblem({ cert, key }: TlsPair): string | undefined {
  const is_own = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  return is_own ? undefined : "tls_key is of another certificate";
}

/** Why a certificate is not in force at `now_ms`; undefined: it is. Throws for what is not PEM. */
function forceProblem(cert: string, now_ms: number): string | undefined {
  const from_ms = Date.parse(new X509Certificate(cert).validFrom), to_ms = endOf(cert);
  const day = (time_ms: number) => new Date(time_ms).toISOString().slice(0, 10);
  if (now_ms < from_ms) return `the certificate is good from ${day(from_ms)} on`;
  return now_ms > to_ms ? `the certificate ended on ${day(to_ms)}` : undefined;
}

/** Throws if TLS cannot be served with it. */
function requireServable({ cert, key }: TlsPair): void {
  // The runtime checks a pair only when it listens with it.
  Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key }).close();
}

/** Throws if TLS cannot be served with it, or no client would accept it at `now_ms`. */
export function requireUsable(pair: TlsPair, now_ms: number): void {
  const problem = pairProblem(pair, now_ms);
  if (problem !== undefined) throw new Error(problem);
  requireServable(pair);
}

/**
 * As `requireUsable`, with a start's error: a ConfigError that names `tls_cert` of the table for what is not PEM, else
 * a CertificateError.
 */
export function requireUsableAs(table: string, pair: TlsPair | undefined, now_ms: number): void {
  if (pair === undefined) return;
  let problem: string | undefined;
  try {
    problem = pairProblem(pair, now_ms);
    if (problem === undefined) requireServable(pair);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `${why}; expected a PEM certificate chain, and its key in tls_key`;
    throw new ConfigError("", [{ position: undefined, key: `${table}.tls_cert`, text }]);
  }
  if (problem !== undefined) throw new CertificateError(table, problem);
}

/** The tables whose server may ask for a certificate. */
export type ClientCertificates = Pick<Config, "nats" | "quota">;

/**
 * Throws a CertificateError for one that no server accepts at `now_ms`. The connecting component reports a file that
 * cannot be read, and a key of another certificate.
 */
export function requireClientCertificates(
  { nats, quota }: ClientCertificates,
  read: (path: string) => string,
  now_ms: number,
): void {
  for (const [table, shown] of Object.entries({ nats, quota })) {
    let problem: string | undefined;
    try {
      if (shown?.tls_cert_file === undefined) continue;
      problem = forceProblem(read(shown.tls_cert_file), now_ms);
    } catch {
      // The connecting component reports it.
    }
    if (problem !== undefined) throw new CertificateError(table, problem, "tls_cert_file");
  }
}

/** The metrics; one of each per process, for all listeners. */
function metricsOf(registry: Registry, part: "shield" | "brain") {
  const results_name = `${part}_tls_reloads_total`,
    end_name = `${part}_tls_certificate_not_after_seconds`;
  const registers = [registry];
  const results = registry.getSingleMetric(results_name) as
    | Counter<"listener" | "result">
    | undefined;
  const end = registry.getSingleMetric(end_name) as Gauge<"listener"> | undefined;
  return {
    results: results ?? new Counter({
      name: results_name,
      help: "Changes of a listener's TLS certificate or key, by listener and result.",
      labelNames: ["listener", "result"],
      registers,
    }),
    end: end ?? new Gauge({
      name: end_name,
      help: "When the certificate that a listener serves ends, Unix time in seconds, by listener.",
      labelNames: ["listener"],
      registers,
    }),
  };
}

/**
 * Checks until it is disposed. A bad pair is reported once, and checked again when it changes, or when the clock
 * permits a certificate that it forbade: an authority's clock may be ahead, or this one was set wrongly.
 */
export function followTls(options: TlsReloadOptions): Disposable {
  const { read, renew, registry, log, every_ms = EVERY_MS, listener = "client" } = options;
  const { results, end } = metricsOf(registry, options.part ?? "shield");
  const tellEnd = ({ cert }: TlsPair) => end.set({ listener }, endOf(cert) / 1_000);
  tellEnd(options.served);
  const textOf = (pair: TlsPair | undefined) => `${pair?.cert}\n${pair?.key}`;
  let seen = textOf(options.served);
  let forbidden = "";

  async function look(): Promise<void> {
    let text = "";
    try {
      const pair = read();
      text = textOf(pair);
      if (text === seen || pair === undefined) return;
      const now_ms = options.now();
      const before = seen;
      seen = text;
      if (keyProblem(pair) === undefined && forceProblem(pair.cert, now_ms) !== undefined) {
        seen = before;
        if (text === forbidden) return;
        forbidden = text;
      }
      requireUsable(pair, now_ms);
      await renew(pair);
      tellEnd(pair);
      results.inc({ listener, result: "ok" });
      log.info("the TLS certificate was replaced", { listener });
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      // A file that is missing for a moment is reported once, too.
      if (text === "" && seen === problem) return;
      if (text === "") seen = problem;
      results.inc({ listener, result: "refused" });
      log.error("the TLS certificate or key cannot be used; the previous one is served", {
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

/** The parts of the client listener that a change of the certificate needs. */
export interface Serving extends Pick<Env, "registry" | "log" | "now"> {
  /** Reads the files; may throw. */
  readonly read: () => TlsPair | undefined;
  readonly client: Listener;
  /** Called if the port could not be opened again. */
  readonly onLost: (detail: string) => void;
}

/** Polls the files of the certificate until it is disposed. */
export function followCertificate(served: TlsPair, serving: Serving): Disposable {
  const { read, client, registry, log, now, onLost } = serving;
  return followTls({
    served,
    read,
    async renew(pair) {
      await client.renew(pair).catch((error) => {
        onLost(error instanceof Error ? error.message : String(error));
        throw error;
      });
    },
    registry,
    log,
    now,
  });
}
