/**
 * Verified tokens that are remembered, so that a crowd that comes back with the tokens it had costs
 * no signatures. By the SHA-256 of the whole token, never the token itself; only successes; bounded
 * by bytes, the least used go first. Whether the key still stands is the caller's to ask
 * (`authenticate.ts`), and so is revocation.
 */
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { Identity } from "./identity.ts";
import type { KeySource } from "./key_source.ts";
import type { Algorithm } from "./keys.ts";

/** What one verification found. */
export interface Verified {
  readonly identity: Identity;
  readonly source: KeySource;
  readonly alg: Algorithm;
  readonly kid: string | undefined;
  /** What the signature was verified with: must still be the issuer's key when this is used. */
  readonly key: CryptoKey;
  /** Unix ms of the verification. */
  readonly verified_ms: number;
}

interface Entry extends Verified {
  readonly size_bytes: number;
}

/** What an entry takes besides what grows with its token. */
const ENTRY_BYTES = 1_024;

/** Bounded by `bytes_max`; 0 remembers nothing. Time is an argument. */
export class TokenCache {
  readonly #bytes_max: number;
  /** The entries by digest, least recently used first; their bytes are the bound. */
  readonly #entries = new BoundedMap<string, Entry>(Infinity);
  #bytes = 0;
  #purges = 0;

  constructor(bytes_max: number) {
    this.#bytes_max = bytes_max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** As estimated: an identity takes about as much as its token, and a fixed part. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts `forget`: what was verified before a purge must not be added after it. */
  get purges(): number {
    return this.#purges;
  }

  /**
   * What is remembered, unless its time is over. A clock that went back before the verification does
   * not count either: `nbf` was looked at with another time.
   */
  get(digest: string, now_ms: number): Verified | undefined {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    if (now_ms >= entry.identity.expires_ms || now_ms < entry.verified_ms) {
      this.delete(digest);
      return undefined;
    }
    this.#entries.renew(digest, entry);
    return entry;
  }

  /** Remembers; what is larger than everything is not. */
  add(digest: string, token_bytes: number, verified: Verified): void {
    const size_bytes = token_bytes + ENTRY_BYTES;
    if (size_bytes > this.#bytes_max) return;
    this.delete(digest);
    this.#entries.set(digest, { ...verified, size_bytes });
    this.#bytes += size_bytes;
    while (this.#bytes > this.#bytes_max) {
      const dropped = this.#entries.dropOldest();
      if (dropped === undefined) return;
      this.#bytes -= dropped.size_bytes;
    }
  }

  delete(digest: string): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    this.#entries.delete(digest);
    this.#bytes -= entry.size_bytes;
  }

  /** Drops every token whose identity fits; returns how many. Looks at all of them. */
  forget(fits: (identity: Identity) => boolean): number {
    this.#purges += 1;
    const before = this.#entries.size;
    for (const [digest, { identity }] of this.#entries) if (fits(identity)) this.delete(digest);
    return before - this.#entries.size;
  }
}
