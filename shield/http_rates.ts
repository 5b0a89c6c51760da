/**
 * How often and how much users may ask over HTTP: as one connection of theirs might. Each request is
 * one operation; what the bounds are is `limits.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Limits } from "./connection.ts";
import type { Identity } from "./identity.ts";
import { createRates, takeOperation } from "./limits.ts";
import type { ConnectionRates } from "./limits.ts";

/** Users whose rate is remembered; the one that asked longest ago is forgotten first. */
const USERS_MAX = 10_000;

/** The rates of all users of one route. */
export class HttpRates {
  readonly #limits: Limits;
  readonly #now: () => number;
  readonly #rates = new Map<string, ConnectionRates>();

  /** `now` is Unix ms. */
  constructor(limits: Limits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Throws `rate-limited` (429) when the user has no more for now. */
  take({ user_key }: Pick<Identity, "user_key">, size_bytes: number): void {
    const now_ms = this.#now();
    const rate = this.#rates.get(user_key) ?? createRates(this.#limits, now_ms);
    this.#rates.delete(user_key);
    this.#rates.set(user_key, rate);
    if (this.#rates.size > USERS_MAX) {
      for (const oldest of this.#rates.keys()) {
        this.#rates.delete(oldest);
        break;
      }
    }
    const retry_after_ms = takeOperation(rate, size_bytes, now_ms);
    if (retry_after_ms === 0) return;
    throw new ArqonError("rate-limited", String(retry_after_ms), { retry_after_ms });
  }
}
