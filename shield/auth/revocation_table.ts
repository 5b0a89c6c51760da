/**
 * Revocations in memory, looked up by the claims of a token. Knows no bucket and no clock of its
 * own; `revocations.ts` fills it.
 */
import { EVERY_TOKEN, isInForce, isIssuedBefore } from "../../shared/records/revocations.ts";
import type { Revocation } from "../../shared/records/revocations.ts";
import type { KvKey } from "../../shared/spine/contract/spine.ts";
import type { EntryTable } from "../../shared/spine/watched_bucket.ts";
import type { Identity } from "./identity.ts";

/** As much of an identity as a revocation can be about. */
export type Holder = Pick<Identity, "tenant_id" | "user_id" | "token_id" | "claims">;

/** What one is about: in its tenant a user, a token or all tokens. */
export interface RevocationPlace extends Pick<Revocation, "kind" | "id"> {
  readonly tenant_id: string;
}

/** One that is held, and where it is stored. */
export interface Held {
  readonly key: KvKey;
  readonly revision: number;
  readonly revocation: Revocation;
}

/** What a revocation is about within its tenant; no kind has a tab. */
const placeOf = ({ kind, id }: Pick<Revocation, "kind" | "id">): string => `${kind}\t${id}`;
const TENANT_PLACE = placeOf({ kind: "issued-before", id: EVERY_TOKEN });

/** An `iat` further ahead of our clock is no time of issue. */
const AHEAD_MS = 86_400_000;

/** Unix ms of the token's `iat`; undefined when it has none that can be. */
function issuedMs(
  { claims }: Pick<Identity, "claims">,
  now_ms: number,
): number | undefined {
  const issued_ms = typeof claims.iat === "number" ? claims.iat * 1_000 : NaN;
  return issued_ms <= now_ms + AHEAD_MS ? issued_ms : undefined;
}

/** The revocations of all tenants; a lookup costs three reads, however many there are. */
export class RevocationTable implements EntryTable<RevocationPlace, Held> {
  readonly #tenants = new Map<string, Map<string, Held>>();
  readonly #now: () => number;
  #size = 0;

  /** `now`: Unix ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#size;
  }

  /** What revokes the token behind an identity; undefined: nothing. */
  find(holder: Holder): Revocation | undefined {
    if (this.#size === 0) return undefined;
    const rules = this.#tenants.get(holder.tenant_id);
    if (rules === undefined) return undefined;
    const { user_id, token_id } = holder;
    if (token_id !== undefined) {
      const token = this.#inForce(rules.get(placeOf({ kind: "token", id: token_id })));
      if (token !== undefined) return token;
    }
    const issued_ms = issuedMs(holder, this.#now());
    for (const place of [placeOf({ kind: "user", id: user_id }), TENANT_PLACE]) {
      const rule = this.#inForce(rules.get(place));
      if (rule !== undefined && isIssuedBefore(rule, issued_ms)) return rule;
    }
    return undefined;
  }

  get(place: RevocationPlace): Held | undefined {
    return this.#tenants.get(place.tenant_id)?.get(placeOf(place));
  }

  set(place: RevocationPlace, held: Held): void {
    const { tenant_id } = place;
    const rules = this.#tenants.get(tenant_id) ?? new Map<string, Held>();
    this.#tenants.set(tenant_id, rules);
    if (!rules.has(placeOf(place))) this.#size++;
    rules.set(placeOf(place), held);
  }

  delete(place: RevocationPlace): void {
    const rules = this.#tenants.get(place.tenant_id);
    if (rules === undefined || !rules.delete(placeOf(place))) return;
    this.#size--;
    if (rules.size === 0) this.#tenants.delete(place.tenant_id);
  }

  keep(wanted: (held: Held) => boolean): void {
    for (const { tenant_id, held } of [...this.#all()]) {
      if (!wanted(held)) this.delete({ tenant_id, ...held.revocation });
    }
  }

  /** The revocations that were over at that moment (Unix ms). */
  overAt(at_ms: number): Held[] {
    return [...this.#all()].map(({ held }) => held)
      .filter(({ revocation }) => !isInForce(revocation, at_ms));
  }

  /** The revocations in force, of one tenant or of all. */
  *list(tenant_id?: string): Iterable<{ tenant_id: string; revocation: Revocation }> {
    for (const { tenant_id: tenant, held } of this.#all(tenant_id)) {
      const revocation = this.#inForce(held);
      if (revocation !== undefined) yield { tenant_id: tenant, revocation };
    }
  }

  *#all(tenant_id?: string): Iterable<{ tenant_id: string; held: Held }> {
    for (const [tenant, rules] of this.#tenants) {
      if (tenant_id !== undefined && tenant !== tenant_id) continue;
      for (const held of rules.values()) yield { tenant_id: tenant, held };
    }
  }

  #inForce(held: Held | undefined): Revocation | undefined {
    if (held === undefined) return undefined;
    return isInForce(held.revocation, this.#now()) ? held.revocation : undefined;
  }
}
