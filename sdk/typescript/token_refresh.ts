/**
 * Gives the Shield a new token before the present one ends, on one session at a time. Where tokens come
 * from is `token_keeper.ts`.
 */
import { encodeRefresh } from "@arqon/proto";
import type { Session } from "./session.ts";
import { refreshDelay, tokenExpiry } from "./token.ts";
import type { TokenKeeper } from "./token_keeper.ts";

/** What refreshing needs of its connection. */
export interface TokenRefreshOptions {
  readonly tokens: Pick<TokenKeeper, "renewable" | "renew">;
  nextId(): number;
  /** Unix ms. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** A refresh failed; it is tried again in what is left. */
  readonly onError: (error: unknown) => void;
}

/** One timer. */
export class TokenRefresh {
  readonly #options: TokenRefreshOptions;
  #session: Session | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TokenRefreshOptions) {
    this.#options = options;
  }

  /** For this session from now on; `clock_ahead_ms` is how far the Shield's clock is ahead of ours. */
  plan(session: Session, clock_ahead_ms: number): void {
    this.stop();
    this.#session = session;
    this.#arm(session, session.welcome.token_expires_ms, clock_ahead_ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#session = undefined;
  }

  /** `expires_ms` is by the Shield's clock. */
  #arm(session: Session, expires_ms: number, clock_ahead_ms: number): void {
    const { tokens, now, random } = this.#options;
    if (!tokens.renewable || expires_ms <= 0) return;
    const remaining_ms = expires_ms - clock_ahead_ms - now();
    this.#timer = setTimeout(async () => {
      const next_ms = await this.#refresh(session) ?? expires_ms;
      if (this.#session === session) this.#arm(session, next_ms, clock_ahead_ms);
    }, refreshDelay(remaining_ms, random));
  }

  /** When the new token ends, if it says so; undefined also when there is none. */
  async #refresh(session: Session): Promise<number | undefined> {
    const { tokens, nextId, onError } = this.#options;
    try {
      const token = await tokens.renew(undefined);
      const request_id = nextId();
      await session.request(request_id, encodeRefresh({ token, request_id }));
      return tokenExpiry(token);
    } catch (error) {
      // Tried again in what is left; at the end 4401 and the reconnect ask for a token anyway.
      onError(error);
      return undefined;
    }
  }
}
