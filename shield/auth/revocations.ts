/**
 * The revocations in force: the bucket `ARQON_REVOCATIONS` in memory, by tenant, user and token id. Refuses tokens, and
 * reports when open connections must be checked; `removals.ts` closes those. `shared/spine/watched_bucket.ts` follows
 * the bucket; `revocations_api.ts` has operators' requests.
 */
import { ArqonError } from "@arqon/proto";
import { ClockSteps } from "../../shared/clock_steps.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { Counter, scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import { isActive } from "../../shared/records/bans.ts";
import {
  decodeRevocation,
  EVERY_TOKEN,
  isIssuedBefore,
  parseRevocationKey,
  REVOCATIONS_BUCKET,
} from "../../shared/records/revocations.ts";
import type { Revocation } from "../../shared/records/revocations.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvEntry, KvKey, Spine } from "../../shared/spine/contract/spine.ts";
import { storeTimeOf } from "../../shared/spine/contract/store_time.ts";
import { isWithinShare } from "../../shared/turns/fair_bound.ts";
import { type EntryTable, WatchedBucket } from "../../shared/spine/watched_bucket.ts";
import type { Authenticator } from "./authenticate.ts";
import type { Identity } from "./identity.ts";

/** Several revocations within this time cause one check of the connections. */
const GATHER_MS = 20;
/** The time after which an expired revocation is deleted. Clocks differ: it may still be in force elsewhere. */
const SWEEP_AFTER_MS = 60_000;
const SWEEP_EVERY_MS = 60_000;
const SWEEP_MAX = 64;
/** The time for an unreadable revocation: every time of issue is before it. */
const ALWAYS_MS = 8_640_000_000_000_000;

interface RevocationsOptions extends Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> {
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "status" | "onEvent">;
  /** The most revocations, which tenants share: `limits.revocations`. */
  readonly revocations_max: number;
}

/** The revocations of one process. */
export interface StartedRevocations {
  /** Not started yet: the caller first sets an observer of changes. */
  readonly held: Revocations;
  readonly bucket: KeyValue;
}

/** Opens the revocations of one process. Rejects with `spine-unavailable`. */
export async function openRevocations(
  options: Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> & {
    readonly config: Pick<Config, "limits">;
    readonly spine: Pick<Spine, "keyValue" | "status" | "onEvent">;
  },
): Promise<StartedRevocations> {
  const bucket = await options.spine.keyValue(REVOCATIONS_BUCKET);
  const log = options.log.child({ part: "revocations" });
  const revocations_max = options.config.limits.revocations;
  return { held: new Revocations({ ...options, bucket, log, revocations_max }), bucket };
}

/** The refusal that the holder of a revoked token gets. */
export function revokedRefusal({ reason }: Revocation): ArqonError {
  return new ArqonError("token-revoked", reason === "" ? "" : `: ${reason}`);
}

/** What shows whether a token that was accepted earlier is still valid. */
export interface TokenCheck extends Pick<Env, "now"> {
  /** Throws `token-revoked` if the identity's token has been revoked since. */
  readonly requireNotRevoked: (identity: Identity) => void;
}

/** Throws `token-expired` or `token-revoked` (401) if the token of a request under way has ended meanwhile. */
export function requireToken({ now, requireNotRevoked }: TokenCheck, identity: Identity): void {
  if (now() >= identity.expires_ms) throw new ArqonError("token-expired");
  requireNotRevoked(identity);
}

/**
 * The revocations of all tenants in the bucket. Its content is only known from the end of a listing until the
 * connection to the Spine is lost; at other times new clients are rejected, and connected ones continue under the known
 * revocations.
 */
export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #steps: ClockSteps;
  readonly #table: RevocationTable;
  readonly #watched: WatchedBucket<RevocationPlace, Held>;
  #onChange: (() => void) | undefined;
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #sweeping: ReturnType<typeof setInterval> | undefined;

  constructor(options: RevocationsOptions) {
    this.#options = options;
    this.#steps = new ClockSteps(options);
    const { bucket, spine, registry, log, now, revocations_max } = options;
    this.#table = new RevocationTable(now);
    scrapedGauge(
      registry,
      "shield_revocations",
      "Revocations in force on this Shield, of all tenants.",
      () => this.#table.size,
    );
    const problems = new Counter({
      name: "shield_revocation_problems_total",
      help: "Unreadable revocations, and those beyond the limit.",
      labelNames: ["problem"],
      registers: [registry],
    });
    this.#watched = new WatchedBucket({
      entry: "revocation",
      name: REVOCATIONS_BUCKET,
      bucket,
      spine,
      log,
      now,
      steps: this.#steps,
      max: revocations_max,
      reader: { parseKey: parseRevocationKey, read, unreadable, endOf },
      table: this.#table,
      onPut: () => this.#gather(),
      onProblem: (problem) => problems.inc({ problem }),
    });
  }

  /** Resolves when all are known for the first time; rejects if it is closed earlier. */
  get ready(): Promise<void> {
    return this.#watched.ready;
  }

  get size(): number {
    return this.#table.size;
  }

  /** Starts to watch. `onChange` is called, soon afterwards, when there are new revocations. */
  start(onChange: () => void): void {
    this.#onChange = onChange;
    this.#sweeping = setInterval(() => void this.sweep(), SWEEP_EVERY_MS);
    this.#watched.start();
  }

  /** The revocation of an identity's token; undefined: none is known. */
  find(holder: Holder): Revocation | undefined {
    return this.#table.find(holder);
  }

  /** Throws `token-revoked` (401). */
  requireValid(holder: Holder): void {
    const revocation = this.find(holder);
    if (revocation !== undefined) throw revokedRefusal(revocation);
  }

  /** The check of a new client. Also throws `spine-unavailable` (503) while revocations are unknown. */
  requireEntry(holder: Holder): void {
    this.#watched.requireKnown();
    this.requireValid(holder);
    this.#watched.requireComplete(holder.tenant_id);
  }

  /** The revocations in force, of one tenant or of all. */
  list(tenant_id?: string): Iterable<{ tenant_id: string; revocation: Revocation }> {
    return this.#table.list(tenant_id);
  }

  /** Whether another one of the tenant is within its share, or of all for an operator; or this one is in memory. */
  hasRoom(
    tenant_id: string,
    { kind, id }: Pick<Revocation, "kind" | "id">,
    is_operator: boolean,
  ): boolean {
    if (this.#table.get({ tenant_id, kind, id }) !== undefined) return true;
    const isWithin = () => {
      const held = is_operator ? 0 : this.#table.countOf(tenant_id);
      return isWithinShare(this.#options.revocations_max, this.#table.size, held);
    };
    if (!isWithin()) this.#watched.dropOver();
    return isWithin();
  }

  /** Adds a stored one that the watch will report, too: it is in force when the method returns. */
  take(entry: KvEntry): void {
    this.#watched.take(entry);
  }

  check(): HealthCheck {
    return this.#watched.check();
  }

  /**
   * Deletes revocations that expired long ago. Every Shield does, and the second one finds nothing. It deletes nothing
   * while the clock may be wrong: a deletion would admit revoked tokens again.
   */
  async sweep(): Promise<number> {
    if (!this.#steps.isBelieved()) return 0;
    const { bucket, now, log } = this.#options;
    // A store that does not answer is asked by the next sweep.
    const time_ms = await storeTimeOf(bucket, now).catch(() => undefined);
    if (time_ms === undefined) return 0;
    const over_ms = time_ms - SWEEP_AFTER_MS;
    const over = this.#table.overAt(over_ms).slice(0, SWEEP_MAX);
    let swept = 0;
    for (const { key, revision } of over) {
      try {
        await bucket.delete(key, revision);
        swept++;
      } catch (error) {
        // It was renewed or deleted meanwhile.
        if (isConflict(error)) continue;
        log.warn("expired revocations cannot be deleted", { error });
        break;
      }
    }
    return swept;
  }

  close(): void {
    clearInterval(this.#sweeping);
    clearTimeout(this.#gathering);
    this.#watched.close();
  }

  #gather(): void {
    if (this.#gathering !== undefined || this.#watched.is_closed) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined;
      this.#onChange?.();
    }, GATHER_MS);
  }
}

function read({ key, revision, value }: KvEntry, { kind, id }: RevocationPlace): Held {
  const revocation = decodeRevocation(value);
  if (revocation.kind === kind && revocation.id === id) return { key, revision, revocation };
  throw new TypeError("a revocation has the key of another one");
}

/** An unreadable record's key names the user, token or tenant: it revokes without an end. */
function unreadable({ key, revision }: KvEntry, { kind, id }: RevocationPlace): Held {
  const issued_before_ms = kind === "token" ? 0 : ALWAYS_MS;
  const revocation = { kind, id, issued_before_ms, until_ms: 0, reason: "", by: "", created_ms: 0 };
  return { key, revision, revocation };
}

const endOf = ({ revocation: { until_ms } }: Held): number => until_ms;

/** The same authenticator, which also refuses revoked tokens with `token-revoked` (401). */
export function refusingRevoked<A extends Pick<Authenticator, "authenticate">>(
  authenticator: A,
  revocations: Pick<Revocations, "requireValid">,
): A {
  return {
    ...authenticator,
    async authenticate(token: string) {
      const identity = await authenticator.authenticate(token);
      revocations.requireValid(identity);
      return identity;
    },
  };
}

/** The parts of an identity that a revocation can match. */
export type Holder = Pick<
  Identity,
  "tenant_id" | "user_id" | "token_id" | "claims" | "is_tokenless"
>;

/** The scope of a revocation: in its tenant a user, a token or all tokens. */
interface RevocationPlace extends Pick<Revocation, "kind" | "id"> {
  readonly tenant_id: string;
}

/** A revocation in memory, and where it is stored. */
interface Held {
  readonly key: KvKey;
  readonly revision: number;
  readonly revocation: Revocation;
}

/** The scope of a revocation within its tenant; no kind has a tab. */
const placeOf = ({ kind, id }: Pick<Revocation, "kind" | "id">): string => `${kind}\t${id}`;
const TENANT_PLACE = placeOf({ kind: "issued-before", id: EVERY_TOKEN });

/** An `iat` further ahead of this clock, in ms, is not valid. */
const AHEAD_MS = 86_400_000;

/** Unix ms of the token's `iat`; undefined if it has no possible one. */
function issuedMs({ claims }: Pick<Identity, "claims">, now_ms: number): number | undefined {
  const issued_ms = typeof claims.iat === "number" ? claims.iat * 1_000 : NaN;
  return issued_ms <= now_ms + AHEAD_MS ? issued_ms : undefined;
}

/** The revocations of all tenants; a lookup costs three reads, however many revocations there are. */
class RevocationTable implements EntryTable<RevocationPlace, Held> {
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

  countOf(tenant_id: string): number {
    return this.#tenants.get(tenant_id)?.size ?? 0;
  }

  /** The revocation of an identity's token; undefined: none. */
  find(holder: Holder): Revocation | undefined {
    if (this.#size === 0 || holder.is_tokenless) return undefined;
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

  /** The revocations that had expired at that time (Unix ms). */
  overAt(at_ms: number): Held[] {
    return [...this.#all()].map(({ held }) => held)
      .filter(({ revocation }) => !isActive(revocation, at_ms));
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
    return isActive(held.revocation, this.#now()) ? held.revocation : undefined;
  }
}
