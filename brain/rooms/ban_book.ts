/**
 * The Brain's table of all tenants' bans: their number, and which have expired. Writes and lifts bans. The Shields
 * watch the same bucket and enforce bans; a Brain does not.
 */
import { ArqonError, utf8Size } from "@arqon/proto";
import {
  BAN_REASON_UNITS_MAX,
  banKey,
  decodeBan,
  encodeBan,
  EVERY_ROOM,
  isActive,
  parseBanKey,
} from "../../shared/records/bans.ts";
import type { Ban } from "../../shared/records/bans.ts";
import { ClockSteps } from "../../shared/clock_steps.ts";
import type { Env } from "../../shared/env.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange, KvKey, KvWatch } from "../../shared/spine/contract/spine.ts";
import { storeTimeOf } from "../../shared/spine/contract/store_time.ts";
import type { RoomAddress } from "../cluster_view.ts";
import type { BanCommand, BanScope, UnbanCommand } from "./commands/command.ts";
import {
  invalidCommand,
  optionalInteger,
  optionalText,
  requireUnconditional,
  tooManyPending,
} from "../desk/command_data.ts";
import { ENTRY_BYTES } from "../../shared/spine/bucket_shares.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { pageOf } from "../desk/page.ts";
import type { AskedCommand, OwnCommands } from "../desk/request.ts";
import { readScope } from "./commands/room_commands.ts";

/** The dependencies of the ban book. */
export interface BanBookOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly bucket: KeyValue;
  readonly bans_per_tenant: number;
  /** The bans that tenants share, since each Shield has them in memory: `limits.bans`. */
  readonly bans_max: number;
}

/** A known ban. */
interface Standing {
  readonly key: KvKey;
  /** Expiry in Unix ms; 0: never. */
  readonly until_ms: number;
  /** Its revision in the bucket; 0: the write is under way. */
  readonly revision: number;
  /** In the bucket. */
  readonly bytes: number;
}

/** How long after its expiry a ban is deleted: clocks differ, and it may still be in force elsewhere. */
const SWEEP_AFTER_MS = 60_000;
const SWEEP_MAX = 256;

/** The bans of all tenants; one per Brain. */
export class BanBook {
  readonly #options: BanBookOptions;
  readonly #steps: ClockSteps;
  readonly #watch: KvWatch;
  /** By tenant, its bans by room and user. */
  readonly #tenants = new Map<string, Map<string, Standing>>();
  readonly #counts: FairBound;
  /** The bytes of each tenant's bans, which share the bucket. */
  readonly #bytes = new FairBound(Infinity);

  constructor(options: BanBookOptions) {
    this.#options = options;
    this.#counts = new FairBound(options.bans_max);
    this.#steps = new ClockSteps(options);
    this.#watch = options.bucket.watch([], (change) => this.#onChange(change));
  }

  /** Resolves when all bans stored at the start are known. */
  get ready(): Promise<void> {
    return this.#watch.ready;
  }

  /** The number of stored bans, including expired ones that are not swept yet. */
  get size(): number {
    return this.#counts.total;
  }

  /** The bans of a tenant, in no order. */
  standing(tenant_id: string): Iterable<Standing> {
    return this.#tenants.get(tenant_id)?.values() ?? [];
  }

  /** The bucket in which the text of a ban is read. */
  get bucket(): Pick<KeyValue, "get"> {
    return this.#options.bucket;
  }

  stop(): void {
    this.#watch.stop();
  }

  /** Stores a ban. Rejects with `ban-limit` (429) if the tenant may have no more, or with `spine-unavailable`. */
  async ban(at: RoomAddress, command: BanCommand): Promise<void> {
    const { bucket, now } = this.#options;
    // By a clock of its own that is behind, a ban would be over when it begins.
    const created_ms = await storeTimeOf(bucket, now);
    const room_id = command.scope === "room" ? at.room_id : EVERY_ROOM;
    const key = banKey(at.tenant_id, room_id, command.user_id);
    const ban: Ban = {
      user_id: command.user_id,
      room_id,
      until_ms: command.ttl_ms === undefined ? 0 : created_ms + command.ttl_ms,
      reason: command.reason,
      by: command.from.user_id.slice(0, BAN_REASON_UNITS_MAX),
      created_ms,
    };
    const value = encodeBan(ban);
    const bytes = value.length + ENTRY_BYTES;
    if (this.#tenants.get(at.tenant_id)?.has(textOf(key)) !== true) this.#requireRoom(at, bytes);
    // Counted before the watch delivers it, so that a burst cannot exceed the limit.
    this.#note(key, { key, until_ms: ban.until_ms, revision: 0, bytes });
    try {
      await bucket.put(key, value);
    } catch (error) {
      this.#forget(key, 0);
      throw error;
    }
  }

  #requireRoom({ tenant_id }: RoomAddress, bytes: number): void {
    const { bucket: { limit_bytes = Infinity }, bans_per_tenant } = this.#options;
    const count = this.#counts.of(tenant_id);
    const is_within = count < bans_per_tenant && this.#counts.hasRoom(tenant_id) &&
      this.#bytes.hasRoom(tenant_id, bytes, limit_bytes);
    if (!is_within) throw new ArqonError("ban-limit", String(count));
  }

  /** Lifts a ban; a missing one is no error. Rejects with `spine-unavailable`. */
  async unban(at: RoomAddress, command: UnbanCommand): Promise<void> {
    const room_id = command.scope === "room" ? at.room_id : EVERY_ROOM;
    await this.#options.bucket.delete(banKey(at.tenant_id, room_id, command.user_id));
  }

  /**
   * Deletes long expired bans of the tenants that `isMine` accepts; returns how many. Deletes none while the clock may
   * be wrong. Rejects as the bucket does.
   */
  async sweep(isMine: (tenant_id: string) => boolean): Promise<number> {
    if (!this.#steps.isBelieved()) return 0;
    const { bucket, now } = this.#options;
    const over_ms = await storeTimeOf(bucket, now) - SWEEP_AFTER_MS;
    const over: Standing[] = [];
    for (const [tenant_id, bans] of this.#tenants) {
      if (!isMine(tenant_id)) continue;
      for (const standing of bans.values()) {
        if (standing.revision > 0 && !isActive(standing, over_ms)) over.push(standing);
      }
    }
    const swept = over.slice(0, SWEEP_MAX).map(async ({ key, revision }) => {
      try {
        await this.#options.bucket.delete(key, revision);
        return 1;
      } catch (error) {
        // Renewed meanwhile: it has not expired.
        if (isConflict(error)) return 0;
        throw error;
      }
    });
    return (await Promise.all(swept)).reduce<number>((sum, one) => sum + one, 0);
  }

  #onChange({ key, value, revision }: KvChange): void {
    if (value === undefined) return this.#forget(key, revision);
    if (parseBanKey(key) === undefined) return;
    const bytes = value.length + ENTRY_BYTES;
    try {
      this.#note(key, { key, until_ms: decodeBan(value).until_ms, revision, bytes });
    } catch (error) {
      // An unreadable ban counts, and is never swept.
      this.#note(key, { key, until_ms: 0, revision, bytes });
      this.#options.log.warn("a stored ban cannot be read", { key: textOf(key), error });
    }
  }

  #note(key: KvKey, standing: Standing): void {
    const [tenant_id = ""] = key;
    const bans = this.#tenants.get(tenant_id) ?? new Map<string, Standing>();
    this.#tenants.set(tenant_id, bans);
    const known = bans.get(textOf(key));
    // The watch delivers changes in order. Revisions may be lower after an older copy of the bucket was restored.
    if (known !== undefined && standing.revision === 0) return;
    bans.set(textOf(key), standing);
    if (known === undefined) this.#counts.add(tenant_id, 1);
    this.#bytes.add(tenant_id, standing.bytes - (known?.bytes ?? 0));
  }

  /** Forgets a ban; with `revision` 0 only if the watch has not delivered it. */
  #forget(key: KvKey, revision: number): void {
    const [tenant_id = ""] = key;
    const bans = this.#tenants.get(tenant_id);
    const known = bans?.get(textOf(key));
    if (bans === undefined || known === undefined) return;
    if (revision === 0 && known.revision > 0) return;
    bans.delete(textOf(key));
    this.#counts.add(tenant_id, -1);
    this.#bytes.add(tenant_id, -known.bytes);
    if (bans.size === 0) this.#tenants.delete(tenant_id);
  }
}

/** The room and user of a key as one text; a tab is in no room id. */
function textOf([, room_id = "", user_id = ""]: KvKey): string {
  return `${room_id}\t${user_id}`;
}

/** The most bans in one page, and the default. */
const PAGE_BANS_MAX = 1_000;
const PAGE_BANS = 100;
/** Longest cursor: a room, a slash, a user. */
const CURSOR_BYTES_MAX = 256;
/** The most concurrent lists, which tenants share: each reads many keys of a bucket. */
const LISTS_MAX = 64;

interface BansQuery {
  /** Only bans of this scope; absent: those of the room and those of the tenant. */
  readonly scope: BanScope | undefined;
  readonly limit: number;
  /** The cursor: the `next` of an earlier answer. */
  readonly after: string | undefined;
}

interface BansSource {
  readonly bucket: Pick<KeyValue, "get">;
  /** The bans of a tenant, including expired ones that are not swept yet. */
  standing(tenant_id: string): Iterable<Pick<Standing, "key" | "until_ms">>;
}

/** Concurrent reads of bans from the bucket. */
const READS_AT_ONCE = 64;

/** The sort key of a ban. */
interface Place {
  readonly room_id: string;
  readonly user_id: string;
}

interface Candidate extends Place {
  readonly key: KvKey;
}

/** The order of the list: bans of the tenant first; then by user. */
function compare(a: Place, b: Place): number {
  if (a.room_id !== b.room_id) return a.room_id < b.room_id ? -1 : 1;
  return a.user_id < b.user_id ? -1 : Number(a.user_id > b.user_id);
}

/** The cursor after a ban. No room id has a slash. */
const cursorOf = ({ room_id, user_id }: Place): string => `${room_id}/${user_id}`;

function readCursor(after: string): Place {
  const slash = after.indexOf("/");
  if (slash < 1) throw invalidCommand('"after" must be the "next" of an earlier room.bans');
  return { room_id: after.slice(0, slash), user_id: after.slice(slash + 1) };
}

function* candidates(
  at: RoomAddress,
  { scope }: BansQuery,
  source: BansSource,
  now_ms: number,
): Iterable<Candidate> {
  for (const { key, until_ms } of source.standing(at.tenant_id)) {
    const [, room_id = "", user_id = ""] = key;
    const wanted = room_id === EVERY_ROOM ? scope !== "room" : scope !== "tenant";
    if (!wanted || !isActive({ until_ms }, now_ms)) continue;
    if (room_id === EVERY_ROOM || room_id === at.room_id) yield { key, room_id, user_id };
  }
}

/** Reads the stored ban of a key. An unreadable ban is listed without expiry and details. */
async function read(bucket: BansSource["bucket"], { key, room_id, user_id }: Candidate) {
  const entry = await bucket.get(key);
  if (entry === undefined) return undefined;
  let ban: Pick<Ban, "until_ms" | "reason" | "by" | "created_ms">;
  try {
    ban = decodeBan(entry.value);
  } catch {
    ban = { until_ms: 0, reason: "", by: "", created_ms: 0 };
  }
  const { until_ms, reason, by, created_ms } = ban;
  const scope: BanScope = room_id === EVERY_ROOM ? "tenant" : "room";
  return { user_id, scope, until_ms, reason, by, created_ms };
}

/** Reads the bans of a page, some at a time, so that a page causes no burst on the bucket. */
async function* bansOf(bucket: BansSource["bucket"], chosen: readonly Candidate[]) {
  for (let at = 0; at < chosen.length; at += READS_AT_ONCE) {
    const some = chosen.slice(at, at + READS_AT_ONCE);
    const bans = await Promise.all(some.map((one) => read(bucket, one)));
    for (const [index, candidate] of some.entries()) yield [candidate, bans[index]] as const;
  }
}

/**
 * Resolves with the result JSON. A page ends early at `page_bytes_max`, and has fewer bans than requested if some were
 * lifted meanwhile. Rejects with `invalid-command` (400) for an invalid cursor, and with `spine-unavailable`.
 */
async function answerBans(
  at: RoomAddress,
  query: BansQuery,
  source: BansSource,
  { now_ms, page_bytes_max }: { readonly now_ms: number; readonly page_bytes_max: number },
): Promise<string> {
  const after = query.after === undefined ? undefined : readCursor(query.after);
  const all = [...candidates(at, query, source, now_ms)];
  const found = pageOf(all, compare, after, query.limit + 1);
  const chosen = found.slice(0, query.limit);
  const texts: string[] = [];
  let bytes = 0;
  let lifted = 0;
  let last: Candidate | undefined;
  for await (const [candidate, ban] of bansOf(source.bucket, chosen)) {
    // A ban that was just lifted may still be known here.
    if (ban === undefined) lifted++;
    else if (isActive(ban, now_ms)) {
      const text = JSON.stringify(ban);
      bytes += utf8Size(text);
      if (bytes > page_bytes_max && texts.length > 0) break;
      texts.push(text);
    }
    last = candidate;
  }
  const more = last !== undefined && last !== found.at(-1);
  const next = more && last !== undefined ? `,"next":${JSON.stringify(cursorOf(last))}` : "";
  return `{"bans":[${texts.join(",")}],"count":${all.length - lifted}${next}}`;
}

function readBans({ name, members, command }: AskedCommand): BansQuery {
  requireUnconditional(name, command, "a list of bans has");
  return {
    scope: members.has("scope") ? readScope(members) : undefined,
    limit: optionalInteger(members, "limit", 1, PAGE_BANS_MAX) ?? PAGE_BANS,
    after: optionalText(members, "after", CURSOR_BYTES_MAX),
  };
}

/** The list of bans, by the owner of the room: it knows at once the bans made through its room. `now`: Unix ms. */
export function banCommands(
  source: BansSource,
  page_bytes_max: number,
  now: () => number,
): OwnCommands {
  const lists = new FairBound(LISTS_MAX);
  return {
    "room.bans": {
      members: ["scope", "limit", "after"],
      read(command) {
        const query = readBans(command);
        return async (at) => {
          const { tenant_id } = at;
          if (!lists.take(tenant_id)) {
            throw tooManyPending(
              `${lists.of(tenant_id)} lists of this tenant's bans are being read`,
            );
          }
          try {
            return await answerBans(at, query, source, { now_ms: now(), page_bytes_max });
          } finally {
            lists.add(tenant_id, -1);
          }
        };
      },
    },
  };
}
