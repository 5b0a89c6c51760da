/**
 * Judges the record of a room's locks: fencing tokens increase, there are never two holders, and no write with a stale
 * fencing token is applied. Pure.
 */
import type { RoomEvent } from "@arqon/sdk/state";
import { type Grant, type LockLedger, startOf } from "./lock_ledger.ts";

/** What contenders write, as the value of a key. */
export interface Mark {
  readonly nonce: string;
  /** 0: written without one. */
  readonly fence: number;
}

/** The events of a room's locks, and the problems. */
export interface Judgement {
  readonly violations: readonly string[];
  readonly locks: number;
  /** How locks ended, by cause. */
  readonly ends: Readonly<Record<string, number>>;
  readonly writes: number;
  /** Writes that came too late and were refused for it. */
  readonly refused: number;
}

/** How often a lease may restart: once for each Brain that takes the room over during it (docs/presence.md). */
const TAKEOVERS_MAX = 4;

/** The lock while events are read in order. */
interface Held {
  readonly fence: number;
  readonly holder: unknown;
  until_ms: number;
  lease_ms: number;
}

/** One epoch, read from its first version to its last. */
class Reading {
  readonly violations: string[] = [];
  readonly ends: Record<string, number> = {};
  readonly granted = new Set<number>();
  /** Causes by fencing token. */
  readonly causes = new Map<number, unknown>();
  /** "unknown": when the stored rooms are reopened, a room keeps its lock. */
  #held: Held | "unknown" | undefined = "unknown";
  #last_fence = 0;
  #version = 0;
  readonly #is_timed: boolean;

  /** `is_timed`: times of events can be compared with those at which leases end. */
  constructor(is_timed: boolean) {
    this.#is_timed = is_timed;
  }

  read(event: RoomEvent): void {
    if (event.first === true) this.#held = undefined;
    else if (event.version !== this.#version + 1) this.#held = "unknown";
    this.#version = event.version;
    if (event.op === "lock") this.#lock(event);
    else if (event.op === "unlock") this.#unlock(event);
    else if (event.op === "set") this.#write(event);
  }

  #lock(event: RoomEvent): void {
    const { fence, holder, until_ms } = event as unknown as Held;
    if (this.#held !== undefined && this.#held !== "unknown") {
      if (fence === this.#held.fence) {
        return void Object.assign(this.#held, { until_ms, lease_ms: until_ms - event.at_ms });
      }
      this.#wrong(event, `a second holder: fence ${this.#held.fence} had not ended`);
    }
    if (fence <= this.#last_fence) this.#wrong(event, `the fence before was ${this.#last_fence}`);
    this.#last_fence = Math.max(this.#last_fence, fence);
    this.#held = { fence, holder, until_ms, lease_ms: until_ms - event.at_ms };
    this.granted.add(fence);
  }

  #unlock(event: RoomEvent): void {
    const cause = String(event.cause);
    this.ends[cause] = (this.ends[cause] ?? 0) + 1;
    const held = this.#held;
    if (held === "unknown") {
      this.causes.set(Number(event.fence), cause);
      return void (this.#held = undefined);
    }
    if (held === undefined || held.fence !== event.fence) {
      return this.#wrong(event, `the lock was ${held?.fence ?? "none"}`);
    }
    if (this.#is_timed && cause === "expired" && event.at_ms < held.until_ms) {
      this.#wrong(event, `its lease went on until ${held.until_ms}`);
    }
    this.causes.set(held.fence, cause);
    this.#held = undefined;
  }

  #write(event: RoomEvent): void {
    const { fence } = event.value as unknown as Mark;
    if (this.#held === "unknown") return;
    // Its holder needs no token: an intruder may still hold a lock that it took as a contender.
    if (fence === 0 && this.#held?.holder === event.by) return;
    if (fence !== (this.#held?.fence ?? 0)) {
      return this.#wrong(event, `the lock was ${this.#held?.fence ?? "none"}`);
    }
    if (this.#held === undefined || !this.#is_timed) return;
    const { until_ms, lease_ms } = this.#held;
    if (event.at_ms >= until_ms + TAKEOVERS_MAX * lease_ms) {
      this.#wrong(event, `the lease had ended at ${until_ms}`);
    }
  }

  #wrong(event: RoomEvent, why: string): void {
    this.violations.push(`version ${event.version}: ${why}: ${JSON.stringify(event)}`);
  }
}

/** A room keeps its last 64 changes for requests, and each contender requests them repeatedly. */
function missingVersions(events: ReadonlyMap<number, RoomEvent>): string[] {
  const last = Math.max(...events.keys());
  const missing: number[] = [];
  for (let version = startOf(Math.min(...events.keys())) + 1; version < last; version++) {
    if (!events.has(version)) missing.push(version);
  }
  return missing.length === 0 ? [] : [`nobody ever heard of versions ${missing.join(", ")}`];
}

/**
 * Compares the contenders' answers with the room's events. The last grants before a restart are left out if nobody has
 * received them: nothing earlier is reported then.
 */
function compareGrants(
  grants: readonly Grant[],
  readings: ReadonlyMap<string, Reading>,
  newest: string,
): string[] {
  const holders = new Map<string, string>();
  return grants.flatMap(({ user_id, epoch, fence }) => {
    const key = `${epoch} ${fence}`;
    const before = holders.get(key) ?? user_id;
    holders.set(key, user_id);
    if (before !== user_id) return [`fence ${fence} was given to ${before} and to ${user_id}`];
    const granted = readings.get(epoch)?.granted ?? new Set();
    if (granted.has(fence)) return [];
    if (epoch !== newest && fence > Math.max(0, ...granted)) return [];
    return [
      `${user_id} was given fence ${fence} of epoch ${epoch}, of which the room says nothing`,
    ];
  });
}

function compareWrites({ writes, epochs, newest_epoch }: LockLedger): string[] {
  const events = [...epochs.values()].flatMap((versions) => [...versions.values()]);
  const applied = new Map<string, RoomEvent>();
  const violations: string[] = [];
  for (const event of events.filter(({ op }) => op === "set")) {
    const { nonce } = event.value as unknown as Mark;
    const before = applied.get(nonce);
    if (before !== undefined) {
      violations.push(`${nonce} was applied twice: versions ${before.version}, ${event.version}`);
    }
    applied.set(nonce, event);
  }
  for (const { user_id, nonce, fence, outcome } of writes) {
    const event = applied.get(nonce);
    const what = `the write ${nonce} of ${user_id} with fence ${fence}`;
    if (outcome.kind === "refused" && event !== undefined) {
      violations.push(`${what} was refused (${outcome.reason}) and is version ${event.version}`);
    }
    if (outcome.kind !== "applied") continue;
    if (event?.version === outcome.version && event.epoch === outcome.epoch) continue;
    const last = Math.max(0, ...epochs.get(outcome.epoch)?.keys() ?? []);
    if (event === undefined && outcome.epoch !== newest_epoch && outcome.version > last) continue;
    const found = event === undefined ? "nowhere" : `${event.version} of epoch ${event.epoch}`;
    violations.push(`${what} was told to be version ${outcome.version} and is ${found}`);
  }
  return violations;
}

/** Two contenders that both had reason to believe that they held the room, at one moment. */
function overlaps(grants: readonly Grant[], readings: readonly Reading[]): string[] {
  const beliefs = grants.flatMap(({ user_id, fence, acked_ms, until_ms, released_ms }) => {
    // A client whose connection is lost notices it later than its Shield; the fencing token protects here. A lock may
    // end in a later epoch than the one that granted it.
    if (readings.some(({ causes }) => causes.get(fence) === "holder-left")) return [];
    const to_ms = Math.min(until_ms, released_ms ?? Infinity);
    return acked_ms < to_ms ? [{ user_id, fence, from_ms: acked_ms, to_ms }] : [];
  }).sort((one, other) => one.from_ms - other.from_ms);
  const violations: string[] = [];
  let latest = beliefs[0];
  for (const belief of beliefs.slice(1)) {
    if (latest !== undefined && belief.fence !== latest.fence && belief.from_ms < latest.to_ms) {
      violations.push(
        `${latest.user_id} held fence ${latest.fence} until ${latest.to_ms}, ` +
          `${belief.user_id} fence ${belief.fence} from ${belief.from_ms}`,
      );
    }
    if (belief.to_ms > (latest?.to_ms ?? -Infinity)) latest = belief;
  }
  return violations;
}

function sum(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const [cause, count] of counts.flatMap(Object.entries)) {
    total[cause] = (total[cause] ?? 0) + count;
  }
  return total;
}

/** Judges one room, after the end and with every available event. */
export function judgeLocks(ledger: LockLedger): Judgement {
  const { tenant_id, room_id, epochs, grants, writes, conflicts } = ledger;
  const readings = new Map<string, Reading>();
  const gaps: string[] = [];
  for (const [epoch, events] of epochs) {
    const reading = new Reading(ledger.is_timed);
    gaps.push(...missingVersions(events));
    const ordered = [...events.values()].sort((one, other) => one.version - other.version);
    for (const event of ordered) reading.read(event);
    readings.set(epoch, reading);
  }
  const all = [...readings.values()];
  const events = [...epochs.values()].flatMap((versions) => [...versions.values()]);
  const violations = [
    ...conflicts,
    ...gaps,
    ...all.flatMap((reading) => reading.violations),
    ...compareGrants(grants, readings, ledger.newest_epoch),
    ...compareWrites(ledger),
    ...(ledger.is_timed ? overlaps(grants, all) : []),
  ];
  return {
    violations: violations.map((text) => `locks of ${tenant_id}/${room_id}: ${text}`),
    locks: all.reduce((count, { granted }) => count + granted.size, 0),
    ends: sum(all.map(({ ends }) => ends)),
    writes: events.filter(({ op }) => op === "set").length,
    refused: writes.filter(({ outcome }) => outcome.kind === "refused").length,
  };
}
