/**
 * The key set of one issuer by URL: cached, and fetched again when it is old or lacks a key. There is one fetch at a
 * time, at most one per cooldown. jose's `createRemoteJWKSet` is not used because it reads its own clock, has no size
 * limit, asks a failing endpoint once per token, and drops good keys as soon as a refresh fails.
 */
import { ArqonError } from "@arqon/proto";
import { endedBy } from "../../shared/listeners/answer_body.ts";
import type { Env } from "../../shared/env.ts";
import type { Config } from "../../shared/config/schema.ts";
import { type KeySource, type PlacedIssuer, startError } from "../auth/key_source.ts";
import { type Algorithm, type KeyIndex, keysFromJwks, UnusableSetError } from "../auth/keys.ts";

/** The most bytes of a key set; a few kilobytes are usual. */
const BODY_BYTES_MAX = 262_144;
/** First wait after a failed fetch; doubles up to the cooldown. */
const RETRY_MS = 1_000;
/**
 * While the endpoint fails, old keys are used for this many cache times (100 minutes by default), which bridges an
 * outage. An endpoint that returns a set without a key for us has not failed: then old keys are used for their cache
 * time only, like keys that a set no longer names.
 */
const STALE_FACTOR = 10;
/**
 * Tokens that may wait because of an unknown `kid`. Anybody can make such tokens, and waiting ones take places that
 * others need.
 */
const UNKNOWN_KID_WAITING_MAX = 64;

/** The URL of one set and how often it may be fetched. */
interface RemoteKeysOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly url: URL;
  readonly algorithms: readonly Algorithm[];
  readonly cache_ms: number;
  readonly cooldown_ms: number;
  readonly timeout_ms: number;
  /** Tokens that may wait for a fetch; one more is refused with `keys-unavailable`. */
  readonly waiting_max: number;
  readonly fetch: typeof fetch;
  /** Called after each fetch, for the metric. */
  readonly onFetch: (result: "ok" | "failed") => void;
}

/** A URL for logs: without query and credentials. */
function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** The reason why a fetch failed, with the separate cause of fetch, and without the URL's query. */
function failureText(error: unknown, url: URL): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.cause instanceof Error
    ? `${error.message}: ${error.cause.message}`
    : error.message;
  return text.replaceAll(url.href, shown(url));
}

/** The body as text. Throws TypeError above `BODY_BYTES_MAX`, before the rest is read. */
async function boundedText(response: Response, signal: AbortSignal): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let size_bytes = 0;
  for await (const chunk of response.body === null ? [] : endedBy(response.body, signal)) {
    size_bytes += chunk.length;
    if (size_bytes > BODY_BYTES_MAX) throw new TypeError(`more than ${BODY_BYTES_MAX} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Fetches the text of the set. Redirects are not followed: they would leave the configured host. */
async function fetchText(options: RemoteKeysOptions, signal: AbortSignal): Promise<string> {
  const response = await options.fetch(options.url, {
    signal,
    redirect: "manual",
    headers: { accept: "application/jwk-set+json, application/json" },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new TypeError(`HTTP ${response.status}; expected 200`);
  }
  return await boundedText(response, signal);
}

/** Runs `work` with a signal that aborts after `timeout_ms` or with `closed`. */
async function withDeadline<T>(
  timeout_ms: number,
  closed: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  const timer = setTimeout(
    () => deadline.abort(new TypeError(`no answer in ${timeout_ms} ms`)),
    timeout_ms,
  );
  try {
    return await work(AbortSignal.any([deadline.signal, closed]));
  } finally {
    clearTimeout(timer);
  }
}

/** A key set by URL that refreshes as tokens arrive; it has no timer of its own. */
class RemoteKeys {
  readonly #options: RemoteKeysOptions;
  readonly #closed = new AbortController();
  #index: KeyIndex | undefined;
  /** End of the last good fetch, Unix ms, as told; 0: there was none. */
  #loaded_ms = 0;
  /** The same, monotonic ms. */
  #loaded_at_ms = -Infinity;
  /** End of the last fetch, good or not, monotonic ms. */
  #attempted_at_ms = -Infinity;
  /** Failed fetches since the last good one. */
  #failures = 0;
  /** Whether the last set has no usable key: the issuer has withdrawn its former keys. */
  #withdrawn = false;
  #pending: Promise<void> | undefined;
  /** Tokens that wait for `#pending`. */
  #waiting = 0;

  constructor(options: RemoteKeysOptions) {
    this.#options = options;
  }

  /**
   * The key, or undefined if the issuer has none with this `kid` (or the cooldown has not passed). Rejects with
   * `keys-unavailable` (503) if the set cannot be fetched.
   */
  async find(alg: Algorithm, kid: string | undefined): Promise<CryptoKey | undefined> {
    const key = (await this.#current()).find(alg, kid);
    if (key !== undefined) return key;
    await this.#waitForRefresh(UNKNOWN_KID_WAITING_MAX);
    const rotated = this.#usable()?.find(alg, kid);
    if (rotated !== undefined) return rotated;
    // While fetching fails it is unknown whether the key exists.
    if (this.#failures > 0) throw this.#unavailable();
    return undefined;
  }

  /** Fetches now unless a fetch is running; never rejects. */
  refresh(): Promise<void> {
    this.#pending ??= this.#fetchOnce().finally(() => this.#pending = undefined);
    return this.#pending;
  }

  status(): { keys: number; healthy: boolean; loaded_ms: number } {
    return {
      keys: this.#usable()?.size ?? 0,
      healthy: this.#failures === 0,
      loaded_ms: this.#loaded_ms,
    };
  }

  close(): void {
    this.#closed.abort(new TypeError("the process is stopping"));
  }

  /** How old the keys are, in ms; Infinity without keys. */
  get #age_ms(): number {
    return this.#options.monotonic_ms() - this.#loaded_at_ms;
  }

  /** Ms until the next fetch is allowed. */
  #wait_ms(): number {
    const { cooldown_ms, monotonic_ms } = this.#options;
    const pause_ms = this.#failures === 0
      ? cooldown_ms
      : Math.min(cooldown_ms, RETRY_MS * 2 ** Math.min(this.#failures - 1, 20));
    return Math.max(0, pause_ms - (monotonic_ms() - this.#attempted_at_ms));
  }

  async #load(): Promise<KeyIndex> {
    const { timeout_ms, algorithms, log, url } = this.#options;
    const text = await withDeadline(
      timeout_ms,
      this.#closed.signal,
      (signal) => fetchText(this.#options, signal),
    );
    const { index, problems } = await keysFromJwks(text, algorithms);
    for (const problem of problems) {
      log.warn("a key of the JWK set is not usable", { url: shown(url), problem });
    }
    if (index.size > 0) return index;
    throw new UnusableSetError(`no usable key for ${algorithms.join(", ")}`);
  }

  async #fetchOnce(): Promise<void> {
    const { now, monotonic_ms, log, url, onFetch } = this.#options;
    try {
      this.#index = await this.#load();
      this.#loaded_ms = now();
      this.#loaded_at_ms = monotonic_ms();
      if (this.#failures > 0) log.info("the JWK set is available again", { url: shown(url) });
      this.#failures = 0;
      this.#withdrawn = false;
      onFetch("ok");
    } catch (error) {
      this.#failures += 1;
      // Only another set reverses this, not a failure.
      this.#withdrawn ||= error instanceof UnusableSetError;
      onFetch("failed");
      log.warn("the JWK set cannot be fetched", {
        url: shown(url),
        failures: this.#failures,
        error: failureText(error, url),
      });
    } finally {
      this.#attempted_at_ms = monotonic_ms();
    }
  }

  /** Whether a fetch can help: one is running, or the pause has passed. */
  get #refreshable(): boolean {
    return this.#pending !== undefined || this.#wait_ms() === 0;
  }

  /** Waits for a fetch if that can help. Rejects with `keys-unavailable` if too many wait. */
  async #waitForRefresh(waiting_max: number): Promise<void> {
    if (!this.#refreshable) return;
    if (this.#waiting >= Math.min(waiting_max, this.#options.waiting_max)) {
      throw this.#unavailable();
    }
    this.#waiting += 1;
    try {
      await this.refresh();
    } finally {
      this.#waiting -= 1;
    }
  }

  /** The keys unless they are too old. */
  #usable(): KeyIndex | undefined {
    const { cache_ms } = this.#options;
    const kept_ms = this.#withdrawn ? cache_ms : cache_ms * STALE_FACTOR;
    return this.#age_ms < kept_ms ? this.#index : undefined;
  }

  async #current(): Promise<KeyIndex> {
    if (this.#index === undefined || this.#age_ms >= this.#options.cache_ms) {
      // While the endpoint fails, old keys are used at once and the fetch runs in the background.
      if (this.#failures === 0 || this.#usable() === undefined) {
        await this.#waitForRefresh(this.#options.waiting_max);
      } else if (this.#refreshable) void this.refresh();
    }
    const keys = this.#usable();
    if (keys === undefined) throw this.#unavailable();
    return keys;
  }

  #unavailable(): ArqonError {
    return new ArqonError("keys-unavailable", "", { retry_after_ms: Math.max(1, this.#wait_ms()) });
  }
}

/** The config's schema has checked the scheme; fetch would refuse credentials on every attempt. */
function checkedUrl(placed: PlacedIssuer, text: string): URL {
  const url = new URL(text);
  if (url.username === "" && url.password === "") return url;
  throw startError(placed, "jwks_url", "contains a user name or password; a JWK set is public");
}

interface KeySetOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly auth: Pick<
    Config["auth"],
    "jwks_cache_seconds" | "jwks_cooldown_seconds" | "jwks_timeout_ms"
  >;
  readonly fetch: typeof fetch;
  /** The most tokens of one issuer that wait for its keys. */
  readonly waiting_max: number;
  /** Called after each fetch, for the metric. */
  readonly onFetch: (issuer: string, result: "ok" | "failed") => void;
}

/** As `OpenRemoteKeys`. */
export function openKeySet(
  placed: PlacedIssuer,
  text: string,
  options: KeySetOptions,
): KeySource {
  const { issuer } = placed;
  const { auth, now, monotonic_ms, fetch, log } = options;
  const remote = new RemoteKeys({
    url: checkedUrl(placed, text),
    algorithms: issuer.algorithms,
    cache_ms: auth.jwks_cache_seconds * 1_000,
    cooldown_ms: auth.jwks_cooldown_seconds * 1_000,
    timeout_ms: auth.jwks_timeout_ms,
    waiting_max: options.waiting_max,
    now,
    monotonic_ms,
    fetch,
    log: log.child({ issuer: issuer.issuer }),
    onFetch: (result) => options.onFetch(issuer.issuer, result),
  });
  return {
    issuer,
    find: (alg, kid) => remote.find(alg, kid),
    warm: () => remote.refresh(),
    renew: () => Promise.resolve([]),
    status: () => ({ issuer: issuer.issuer, source: "jwks_url", ...remote.status() }),
    close: () => remote.close(),
  };
}
