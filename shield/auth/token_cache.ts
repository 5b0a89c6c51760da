/**
 * A cache of verified tokens, so that a reconnect storm with known tokens costs no signatures. By the SHA-256 of the
 * whole token, never the token itself; only successes; limited in bytes, which tenants share: of the one with most
 * tokens the least recently used is dropped first. The caller checks the key (`authenticate.ts`) and revocations.
 */
import { FairMap } from "../../shared/turns/fair_map.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import type { Identity } from "./identity.ts";
import type { KeySource } from "./key_source.ts";
import type { Algorithm } from "./keys.ts";

/** The result of one verification. */
export interface Verified {
  readonly identity: Identity;
  readonly source: KeySource;
  readonly alg: Algorithm;
  readonly kid: string | undefined;
  /** The key of the signature: must still be the issuer's key on use. */
  readonly key: CryptoKey;
  /** Unix ms of the verification. */
  readonly verified_ms: number;
}

interface Entry extends Verified {
  readonly size_bytes: number;
}

/** The tokens that are checked without a pause. */
const A_PIECE = 256;
/** The bytes of an entry without its token's. */
const ENTRY_BYTES = 1_024;

/** Limited by `bytes_max`; 0 caches nothing. Time is an argument. */
export class TokenCache {
  readonly #bytes_max: number;
  /** The entries by digest, least recently used first, limited in bytes. */
  readonly #entries = new FairMap<Entry>(Infinity, ({ identity }) => identity.tenant_id);
  #bytes = 0;
  #purges = 0;

  constructor(bytes_max: number) {
    this.#bytes_max = bytes_max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The estimated bytes: an identity takes about as much as its token, and a fixed part. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of calls of `forget`: a token verified before a purge must not be added after it. */
  get purges(): number {
    return this.#purges;
  }

  /**
   * The cached token, unless it has expired. A clock that went back before the verification invalidates it, too: `nbf`
   * was checked at another time.
   */
  get(digest: string, now_ms: number): Verified | undefined {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    if (now_ms >= entry.identity.expires_ms || now_ms < entry.verified_ms) {
      this.delete(digest);
      return undefined;
    }
    return this.#entries.use(digest);
  }

  /** Adds a token; one larger than the cache is ignored. */
  add(digest: string, token_bytes: number, verified: Verified): void {
    const size_bytes = token_bytes + ENTRY_BYTES;
    if (size_bytes > this.#bytes_max) return;
    this.delete(digest);
    this.#entries.set(digest, { ...verified, size_bytes });
    this.#bytes += size_bytes;
    while (this.#bytes > this.#bytes_max) {
      const dropped = this.#entries.drop(verified.identity.tenant_id);
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

  /**
   * Drops every token with a matching identity, in slices: there may be tens of thousands. Resolves with their number.
   */
  async forget(fits: (identity: Identity) => boolean): Promise<number> {
    this.#purges += 1;
    let dropped = 0;
    // Tokens that are added meanwhile were verified after this call.
    const looking = [...this.#entries.entries()].values().map(([digest]) => {
      const entry = this.#entries.get(digest);
      if (entry === undefined || !fits(entry.identity)) return;
      this.delete(digest);
      dropped++;
    });
    await inPieces(STRANGERS, looking, A_PIECE);
    return dropped;
  }
}
