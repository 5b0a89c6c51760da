/**
 * The revocations in force: everything in the bucket `ARQON_REVOCATIONS`, in memory, looked up by
 * tenant, user and token id. It refuses tokens, and says when open connections are to be looked at
 * again; `signals.ts` ends those. It learns as bans do (`bans.ts`); what operators ask is
 * `revocations_api.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import { Counter, scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import {
  decodeRevocation,
  EVERY_TOKEN,
  parseRevocationKey,
  REVOCATIONS_BUCKET,
} from "../../shared/records/revocations.ts";
import type { Revocation } from "../../shared/records/revocations.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvKey,
  KvWatch,
  Spine,
} from "../../shared/spine/contract/spine.ts";
import { plural } from "../../shared/plural.ts";
import type { Authenticator } from "./authenticate.ts";
import { RevocationTable } from "./revocation_table.ts";
import type { Held, Holder } from "./revocation_table.ts";

/** Tenants with more than fits are remembered one by one up to this, then all count as such. */
const INCOMPLETE_TENANTS_MAX = 10_000;
/** What did not fit is looked for again once this fraction of the space is in use. */
const REFILL_AT = 0.9;
/** Many that come together cost one look at the connections. */
const GATHER_MS = 20;
/** Clocks differ: one that is over here may still stand elsewhere. */
const SWEEP_AFTER_MS = 60_000;
const SWEEP_EVERY_MS = 60_000;
/** Deletions of one sweep. */
const SWEEP_MAX = 64;
/** The time of issue for a revocation that cannot be read: every moment is before it. */
const ALWAYS_MS = 8_640_000_000_000_000;

/** What revocations need of the process. */
export interface RevocationsOptions {
  readonly bucket: KeyValue;
  readonly spine: Pick<Spine, "status" | "onEvent">;
  readonly registry: Registry;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Held of all tenants: `[limits] revocations`. */
  readonly revocations_max: number;
}

/** What a listing under way has found. */
interface Listing {
  readonly held: Set<Held>;
  readonly incomplete: Set<string>;
}

/** The refusal that the holder of a revoked token gets. */
export function revokedRefusal({ reason }: Revocation): ArqonError {
  return new ArqonError("token-revoked", reason === "" ? "" : `: ${reason}`);
}

/**
 * The revocations of all tenants, as the bucket has them. Known is what it holds only from the end of
 * a listing until the connection to the Spine is lost; in between nobody new is let in, and those who
 * are in go on under what was known.
 */
export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #table: RevocationTable;
  readonly #stopEvents: () => void;
  readonly #ready = Promise.withResolvers<void>();
  readonly #problems: Counter<"problem">;
  #incomplete = new Set<string>();
  #known = false;
  #closed = false;
  #since_ms: number;
  #watch: KvWatch | undefined;
  #listing: Listing | undefined;
  #onChange: (() => void) | undefined;
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #sweeping: ReturnType<typeof setInterval> | undefined;

  constructor(options: RevocationsOptions) {
    this.#options = options;
    this.#since_ms = options.now();
    this.#table = new RevocationTable(options.now);
    // Whoever does not wait for it must not crash the process.
    this.#ready.promise.catch(() => {});
    const { registry } = options;
    scrapedGauge(
      registry,
      "shield_revocations",
      "Revocations in force that this Shield holds, of all tenants.",
      () => this.#table.size,
    );
    this.#problems = new Counter({
      name: "shield_revocation_problems_total",
      help: "Revocations not read, or too many to hold.",
      labelNames: ["problem"],
      registers: [registry],
    });
    this.#stopEvents = options.spine.onEvent((event) => {
      if (event.type === "state") this.#onState(event.status.state === "connected");
    });
  }

  /** Resolves when all are known for the first time; rejects when this is closed before. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get size(): number {
    return this.#table.size;
  }

  /** Begins to watch. `onChange` hears, soon after, that more is revoked than was. */
  start(onChange: () => void): void {
    this.#onChange = onChange;
    this.#sweeping = setInterval(() => void this.sweep(), SWEEP_EVERY_MS);
    this.#list();
  }

  /** What revokes the token behind an identity; undefined: nothing that is known. */
  find(holder: Holder): Revocation | undefined {
    return this.#table.find(holder);
  }

  /** Throws `token-revoked` (401). */
  requireValid(holder: Holder): void {
    const revocation = this.find(holder);
    if (revocation !== undefined) throw revokedRefusal(revocation);
  }

  /** Before somebody is let in. Throws also `spine-unavailable` (503) while not all is known. */
  requireEntry(holder: Holder): void {
    if (!this.#known) {
      const detail = "the revocations cannot be read";
      throw new ArqonError("spine-unavailable", detail, { retry_after_ms: 1_000 });
    }
    this.requireValid(holder);
    if (this.#incomplete.size === 0) return;
    if (this.#incomplete.has(holder.tenant_id) || this.#incomplete.has(EVERY_TOKEN)) {
      const detail = "the tenant has more revocations than [limits] revocations";
      throw new ArqonError("spine-unavailable", detail);
    }
  }

  /** The revocations in force, of one tenant or of all. */
  list(tenant_id?: string): Iterable<{ tenant_id: string; revocation: Revocation }> {
    return this.#table.list(tenant_id);
  }

  /** Whether one more can be held, or this one is. */
  hasRoom(tenant_id: string, about: Pick<Revocation, "kind" | "id">): boolean {
    const { revocations_max } = this.#options;
    if (this.#table.size < revocations_max) return true;
    this.#table.keepInForce();
    return this.#table.size < revocations_max || this.#table.get(tenant_id, about) !== undefined;
  }

  /** Takes up a stored one that the watch will tell, too: it holds here when this returns. */
  take(entry: KvEntry): void {
    this.#hear({ type: "put", entry });
  }

  check(): HealthCheck {
    const incomplete = this.#incomplete.size;
    const detail = !this.#known
      ? "the revocations cannot be read"
      : `${plural(this.#table.size, "revocation")}${
        incomplete === 0 ? "" : `; ${plural(incomplete, "tenant has", "tenants have")} more`
      }`;
    return { ok: this.#known, since_ms: this.#since_ms, detail };
  }

  /** Deletes what is long over; every Shield does, and who comes second finds nothing. */
  async sweep(): Promise<number> {
    const { bucket, now, log } = this.#options;
    const over_ms = now() - SWEEP_AFTER_MS;
    const over = this.#table.overAt(over_ms).slice(0, SWEEP_MAX);
    let swept = 0;
    for (const { key, revision } of over) {
      try {
        await bucket.delete(key, revision);
        swept++;
      } catch (error) {
        // Renewed or deleted meanwhile.
        if (error instanceof ArqonError && error.reason === "version-conflict") continue;
        log.warn("revocations that are over cannot be deleted", { error });
        break;
      }
    }
    return swept;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopEvents();
    clearInterval(this.#sweeping);
    clearTimeout(this.#gathering);
    this.#turnTo(false);
    this.#watch?.stop();
    this.#ready.reject(new ArqonError("spine-unavailable", "closed"));
  }

  #onState(connected: boolean): void {
    if (this.#closed || this.#onChange === undefined) return;
    if (!connected) this.#turnTo(false);
    else if (!this.#known) this.#list();
  }

  #turnTo(known: boolean): void {
    if (this.#known !== known) this.#since_ms = this.#options.now();
    this.#known = known;
  }

  /** Watches anew, from a listing on; what was held stays in force meanwhile. */
  #list(): void {
    const { bucket, log } = this.#options;
    this.#watch?.stop();
    const listing = { held: new Set<Held>(), incomplete: new Set<string>() };
    this.#listing = listing;
    let watch: KvWatch;
    try {
      watch = bucket.watch([], (change) => this.#hear(change));
    } catch (error) {
      // Lost again meanwhile: the next connect lists.
      return log.warn("the revocations cannot be listed", { error });
    }
    this.#watch = watch;
    watch.ready.then(() => this.#onListed(watch, listing), (error) => {
      if (this.#watch === watch && !this.#closed) {
        log.warn("the revocations cannot be read", { error });
      }
    });
  }

  #onListed(watch: KvWatch, { held, incomplete }: Listing): void {
    if (this.#closed || this.#watch !== watch) return;
    this.#listing = undefined;
    this.#incomplete = incomplete;
    // What was lifted while nobody listened.
    this.#table.keep((one) => held.has(one));
    this.#turnTo(this.#options.spine.status.state === "connected");
    this.#ready.resolve();
    this.#options.log.info("the revocations are known", { revocations: this.#table.size });
    this.#refill();
  }

  #hear(change: KvChange): void {
    const entry = change.type === "put" ? change.entry : change;
    const named = parseRevocationKey(entry.key);
    if (named === undefined) {
      return this.#problem("malformed", "the key of a revocation is malformed", entry.key);
    }
    const { tenant_id, kind, id } = named;
    const before = this.#table.get(tenant_id, named);
    // What is known from before the listing may be of a bucket that an older copy has replaced.
    const is_present = this.#listing === undefined ||
      (before !== undefined && this.#listing.held.has(before));
    if (before !== undefined && is_present && before.revision > entry.revision) return;
    if (change.type === "delete") this.#table.delete(tenant_id, named);
    else {
      const { key, revision, value } = change.entry;
      this.#hold(tenant_id, { key, revision, revocation: this.#read(value, key, { kind, id }) });
      this.#gather();
    }
    this.#refill();
  }

  /**
   * Reads a stored revocation. Its key names the user, token or tenant; if its value cannot be
   * read, it revokes without end.
   */
  #read(value: Uint8Array, key: KvKey, named: Pick<Revocation, "kind" | "id">): Revocation {
    try {
      const revocation = decodeRevocation(value);
      if (revocation.kind === named.kind && revocation.id === named.id) return revocation;
      this.#problem("malformed", "a revocation stands under another's key", key);
    } catch (error) {
      this.#problem("malformed", error instanceof Error ? error.message : String(error), key);
    }
    const issued_before_ms = named.kind === "token" ? 0 : ALWAYS_MS;
    return { ...named, issued_before_ms, until_ms: 0, reason: "", by: "", created_ms: 0 };
  }

  #hold(tenant_id: string, held: Held): void {
    if (!this.hasRoom(tenant_id, held.revocation)) return this.#miss(tenant_id);
    this.#table.set(tenant_id, held);
    this.#listing?.held.add(held);
  }

  #miss(tenant_id: string): void {
    this.#problem("unheld", "a tenant has more revocations than fit into [limits] revocations", [
      tenant_id,
    ]);
    for (const tenants of [this.#incomplete, this.#listing?.incomplete]) {
      if (tenants === undefined || tenants.has(EVERY_TOKEN)) continue;
      const many = tenants.size >= INCOMPLETE_TENANTS_MAX;
      if (many) tenants.clear();
      tenants.add(many ? EVERY_TOKEN : tenant_id);
    }
  }

  /** Looks for what did not fit once there is space; until it is found, its tenants stay shut out. */
  #refill(): void {
    if (this.#incomplete.size === 0 || this.#listing !== undefined || !this.#known) return;
    if (this.#table.size <= this.#options.revocations_max * REFILL_AT) this.#list();
  }

  #gather(): void {
    if (this.#gathering !== undefined || this.#closed) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined;
      this.#onChange?.();
    }, GATHER_MS);
  }

  #problem(problem: "malformed" | "unheld", text: string, key: KvKey): void {
    this.#problems.inc({ problem });
    const shown = JSON.stringify(key).slice(0, 300);
    this.#options.log.error(text, { bucket: REVOCATIONS_BUCKET, key: shown });
  }
}

/** The same authenticator, which also refuses what is revoked with `token-revoked` (401). */
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
