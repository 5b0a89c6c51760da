/** Keeps the client's token, and requests a new one in time. Verifies nothing. */
import { ArqonError, encodeRefresh } from "@arqon/proto";
import { sleep, TIMER_MS_MAX } from "../time/clock.ts";
import { MARGIN_MS } from "../wire/bounds.ts";
import { assertToken, type Settings } from "../options/options.ts";
import type { Session } from "../connection/session.ts";
import { asArqonError, textOf } from "../wire/wire_error.ts";

/** When a JWT expires (`exp`), Unix ms; undefined if it is unreadable. */
export function tokenExpiry(token: string): number | undefined {
  try {
    const part = token.split(".")[1] ?? "";
    const claims: unknown = JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/")));
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === "number" && Number.isFinite(exp) ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}

/** 75 to 90 % of the remaining time, random to spread many clients, and at least 1 s. */
export function refreshDelay(remaining_ms: number, random: () => number): number {
  const share = 0.75 + 0.15 * random();
  return Math.min(TIMER_MS_MAX, Math.max(1_000, Math.floor(remaining_ms * share)));
}

interface TokenKeeperOptions
  extends Pick<Settings, "token" | "getToken" | "handshake_timeout_ms" | "random"> {
  readonly signal: AbortSignal;
  /** Unix ms by the Shield's clock, once it is known. */
  readonly now: () => number;
  nextId(): number;
  /** Called when a refresh failed; it is retried in the remaining time. */
  readonly onError: (error: ArqonError) => void;
}

/** Keeps one connection's token in memory; refreshes it on one session at a time. */
export class TokenKeeper {
  readonly #options: TokenKeeperOptions;
  #token: string | undefined;
  #session: Session | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    this.#token = options.token;
  }

  /** Whether there is a source of new tokens. */
  get renewable(): boolean {
    return this.#options.getToken !== undefined;
  }

  /**
   * The token to use now. With `refused`, or if the present one has expired, it requests a new one. Rejects with the
   * wrapped error of `getToken`, `token-malformed`, or `answer-timeout`.
   */
  async current(refused: ArqonError | undefined): Promise<string> {
    const token = this.#token;
    if (token === undefined || refused !== undefined) return await this.renew(refused);
    const is_ending = (tokenExpiry(token) ?? Infinity) <= this.#options.now() + MARGIN_MS;
    return this.renewable && is_ending ? await this.renew(refused) : token;
  }

  /** Requests a new token, whatever the present one is. */
  async renew(refused: ArqonError | undefined): Promise<string> {
    const { getToken, handshake_timeout_ms: timeout_ms, signal } = this.#options;
    if (!getToken) throw refused ?? new ArqonError("token-missing");
    const answered = new AbortController();
    const late = sleep(timeout_ms, signal, answered.signal).then(() => {
      if (signal.aborted) throw new ArqonError("connection-closed");
      throw new ArqonError("answer-timeout", `${timeout_ms}`);
    });
    try {
      const request = refused === undefined ? { signal } : { signal, refused };
      const token = await Promise.race([
        Promise.resolve().then(() => getToken(request)).catch(wrap),
        late,
      ]);
      assertToken(token);
      this.#token = token;
      return token;
    } finally {
      answered.abort();
    }
  }

  /** Refreshes the token of this session from now on. */
  plan(session: Session): void {
    this.stop();
    this.#session = session;
    this.#arm(session, session.welcome.token_expires_ms);
  }

  /** Stops refreshing. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#session = undefined;
  }

  /** Sets the timer for the next refresh; `expires_ms` is by the Shield's clock. */
  #arm(session: Session, expires_ms: number): void {
    const { now, random } = this.#options;
    if (!this.renewable || expires_ms <= 0) return;
    this.#timer = setTimeout(async () => {
      const next_ms = await this.#refresh(session) ?? expires_ms;
      if (this.#session === session) this.#arm(session, next_ms);
    }, refreshDelay(expires_ms - now(), random));
  }

  /** Refreshes the token. Resolves with the expiry of the new one, if known. */
  async #refresh(session: Session): Promise<number | undefined> {
    const { nextId, onError } = this.#options;
    try {
      const token = await this.renew(undefined);
      const request_id = nextId();
      await session.request(request_id, encodeRefresh({ token, request_id }));
      return tokenExpiry(token);
    } catch (error) {
      // It is retried in the remaining time; at expiry, close code 4401 and the reconnect request a token anyway.
      onError(asArqonError(error));
      return undefined;
    }
  }
}

/** Wraps an error of `getToken`: like an unreachable bus, it is retried. */
function wrap(error: unknown): never {
  if (error instanceof ArqonError) throw error;
  throw new ArqonError("unreachable", `the token source: ${textOf(error)}`, { cause: error });
}
