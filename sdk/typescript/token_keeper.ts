/**
 * Which token the client uses: the one that was given, or one from `getToken`, asked for only when
 * the present one is refused or about to end. Verifies nothing.
 */
import { ArqonError } from "@arqon/proto";
import type { TokenRequest } from "./options.ts";
import { assertToken, tokenExpiry } from "./token.ts";

/** Where tokens come from: `token`, `getToken` or both. `timeout_ms` bounds one answer of `getToken`. */
export interface TokenKeeperOptions {
  readonly token: string | undefined;
  readonly getToken: ((request: TokenRequest) => string | Promise<string>) | undefined;
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** A token that ends within this is not worth a handshake. */
const MARGIN_MS = 2_000;

/** Keeps the token of one connection, used for every handshake and REFRESH. In memory only. */
export class TokenKeeper {
  readonly #options: TokenKeeperOptions;
  #token: string | undefined;

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    this.#token = options.token;
  }

  /** Whether another token can be had at all. */
  get renewable(): boolean {
    return this.#options.getToken !== undefined;
  }

  /**
   * The token to use now. With `refused`, or when the present one has ended, a new one is asked for.
   * `clock_ahead_ms` is how far the Shield's clock is ahead of ours. Rejects with what `getToken`
   * throws, wrapped, `token-malformed`, or `answer-timeout`.
   */
  async current(refused: ArqonError | undefined, clock_ahead_ms: number): Promise<string> {
    if (this.#token !== undefined && refused === undefined && !this.#ending(clock_ahead_ms)) {
      return this.#token;
    }
    if (this.#options.getToken === undefined) {
      if (this.#token === undefined || refused !== undefined) {
        throw refused ?? new ArqonError("token-missing");
      }
      return this.#token;
    }
    return await this.renew(refused);
  }

  /** Asks for a new token, whatever the present one is. */
  async renew(refused: ArqonError | undefined): Promise<string> {
    const { getToken, timeout_ms, signal } = this.#options;
    if (getToken === undefined) throw refused ?? new ArqonError("token-missing");
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new ArqonError("answer-timeout", String(timeout_ms))),
      timeout_ms,
    );
    const abort = () => late.reject(new ArqonError("connection-closed"));
    signal.addEventListener("abort", abort, { once: true });
    try {
      const request = refused === undefined ? { signal } : { signal, refused };
      const token = await Promise.race([
        Promise.resolve().then(() => getToken(request)).catch(wrap),
        late.promise,
      ]);
      assertToken(token);
      this.#token = token;
      return token;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  #ending(clock_ahead_ms: number): boolean {
    const expires_ms = tokenExpiry(this.#token ?? "");
    return expires_ms !== undefined &&
      expires_ms <= this.#options.now() + clock_ahead_ms + MARGIN_MS;
  }
}

/** A token server that fails is like a bus that cannot be reached: worth another try. */
function wrap(error: unknown): never {
  if (error instanceof ArqonError) throw error;
  const text = error instanceof Error ? error.message : String(error);
  throw new ArqonError("unreachable", `the token source: ${text}`, { cause: error });
}
