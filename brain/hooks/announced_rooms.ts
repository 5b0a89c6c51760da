/**
 * Reports created and ended rooms to hooks. Beside the documents it stores a mark for each room whose creation was
 * reported. If a Brain is killed before a report, document and mark differ, and the next Brain that checks the room
 * reports it. A room does not end before its mark exists, so no creation is ever skipped. The caller provides the log
 * of reports (`LifeEvents`).
 */
import { z } from "zod";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { metricsOn, scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import { HOOKS_BUCKET } from "../../shared/records/hook_document.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import { inShares } from "../../shared/spine/bucket_shares.ts";
import type { KeyValue, KvKey } from "../../shared/spine/contract/spine.ts";
import type { RoomReports, StoredRoom, StoredRooms } from "../capability.ts";
import type { RoomAddress } from "../cluster_view.ts";
import { readStored } from "../../shared/records/stored.ts";
import { slice } from "../../shared/turns/slices.ts";

/** A room as hooks are notified of it. */
const Birth = z.looseObject({
  /** Unix ms; a room is never created twice at the same time. */
  created_ms: z.number(),
  epoch: z.string(),
});
/** A room as hooks are notified of it. */
export type Birth = z.output<typeof Birth>;

/** The log of reports, and the tenants that need them. */
export interface LifeEvents {
  /** The tenants with a hook for rooms; every Brain soon has the same ones. */
  readonly tenants: Iterable<string> & { has(tenant_id: string): boolean };
  /** Calls back when there may be new tenants. */
  onTenants(listener: () => void): void;
  readonly deletions: Pick<TenantDeletions, "known" | "put" | "update">;
  /**
   * Stores an event in the tenant's log; events with the same key within two minutes are stored once. False: the tenant
   * was deleted after `since`.
   */
  append(
    type: "room.created" | "room.ended",
    at: RoomAddress,
    birth: Birth,
    key: string,
    since: number,
  ): Promise<boolean>;
  close(): void;
}

interface AnnouncedRoomsOptions extends Pick<Env, "log"> {
  readonly rooms: StoredRooms;
  readonly events: LifeEvents;
  readonly marks: KeyValue;
  /** The most queued rooms; the sweep finds further ones. */
  readonly waiting_max: number;
  readonly onStored: (type: "room.created" | "room.ended") => void;
}

/** A name that no hook has. */
const PLACE = "~rooms";
/** An id that no room has: its hash decides which Brain marks a new tenant's rooms first. */
const BEGINNER = "~rooms";
const AT_A_TIME = 16;
const RETRY_MS = 1_000;

const sinceKey = (tenant_id: string): KvKey => [tenant_id, PLACE, "since"];
const markKey = (tenant_id: string, room_id?: string): KvKey =>
  room_id === undefined ? [tenant_id, PLACE, "room"] : [tenant_id, PLACE, "room", room_id];

const bytesOf = (value: object) => new TextEncoder().encode(JSON.stringify(value));

const readMark = (bytes: Uint8Array): Birth | undefined =>
  readStored(bytes, Birth, "mark of an announced room");

function birthOf(stored: StoredRoom | undefined): Birth | undefined {
  if (stored === undefined || stored.revision === 0) return undefined;
  const { created_ms, epoch } = stored.document;
  return { created_ms, epoch };
}

/** Reports rooms; one per Brain. */
class AnnouncedRooms implements RoomReports {
  readonly #options: AnnouncedRoomsOptions;
  readonly #waiting = new Map<string, RoomAddress>();
  /** Tenants whose rooms are known to be marked already. */
  readonly #begun = new Set<string>();
  readonly #workers = new Set<Promise<void>>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #stopped = false;

  constructor(options: AnnouncedRoomsOptions) {
    this.#options = options;
    options.events.onTenants(() => void this.#beginAll());
    void this.#beginAll();
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Checks soon whether there is something to report about the room. */
  look(at: RoomAddress): void {
    const { events: { tenants }, waiting_max } = this.#options;
    if (this.#stopped || !tenants.has(at.tenant_id) || this.#waiting.size >= waiting_max) return;
    this.#waiting.set(`${at.tenant_id}.${at.room_id}`, at);
    if (this.#workers.size >= AT_A_TIME) return;
    const worker = this.#work().finally(() => this.#workers.delete(worker));
    this.#workers.add(worker);
  }

  /**
   * Publishes pending reports of the room; resolves with whether the creation of the room as `read` is reported, so
   * that it may end. Rejects as log and buckets do.
   */
  async settle(at: RoomAddress, read?: StoredRoom): Promise<boolean> {
    const { tenant_id } = at;
    if (!this.#options.events.tenants.has(tenant_id)) return true;
    if (!await this.#hasBegun(tenant_id)) return false;
    const { marks, rooms, events: { deletions } } = this.#options;
    const key = markKey(tenant_id, at.room_id);
    return await changeDocument(async (mayLose) => {
      const since = deletions.known(tenant_id);
      // The mark first: the room's document is then read later, and is not older.
      const entry = await marks.get(key);
      const mark = entry && readMark(entry.value);
      const known = birthOf(read);
      if (mark !== undefined && mark.created_ms === known?.created_ms) return true;
      const birth = birthOf(await rooms.load(at));
      const is_read = read === undefined || birth?.created_ms === known?.created_ms;
      if (mark?.created_ms === birth?.created_ms) return is_read;
      if (mark !== undefined && !await this.#tell("room.ended", at, mark, since)) return false;
      if (birth !== undefined) {
        if (!await this.#tell("room.created", at, birth, since)) return false;
        const update = { key, value: bytesOf(birth), expected_revision: entry?.revision ?? 0 };
        await mayLose(deletions.update(marks, since, update));
      } else if (entry !== undefined) await mayLose(marks.delete(key, entry.revision));
      return is_read;
    });
  }

  /** Reports the ended rooms of this Brain. Never rejects: failed reports are retried by the next call. */
  async settleGone(isStored: (at: RoomAddress) => boolean): Promise<void> {
    const { events: { tenants }, log } = this.#options;
    await this.#beginAll();
    for (const tenant_id of tenants) {
      // A tenant whose log refuses writes must not delay the others.
      await this.#settleGoneOf(tenant_id, isStored).catch((error) => {
        log.warn("hooks hear later of the rooms of a tenant that are gone", { tenant_id, error });
      });
    }
  }

  async #settleGoneOf(tenant_id: string, isStored: (at: RoomAddress) => boolean): Promise<void> {
    const { marks, rooms } = this.#options;
    for (const key of await marks.keys(markKey(tenant_id))) {
      const at = { tenant_id, room_id: key.at(-1) ?? "" };
      await slice(tenant_id);
      if (this.#stopped) return;
      if (rooms.isOwner(at) && !isStored(at)) await this.settle(at);
    }
  }

  /** Stops; resolves when nothing is under way. The next owner finds the queued rooms. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.#workers);
    this.#options.events.close();
  }

  async #work(): Promise<void> {
    for (const [id, at] of this.#waiting) {
      this.#waiting.delete(id);
      let is_settled = false;
      try {
        is_settled = await this.settle(at);
      } catch (error) {
        this.#options.log.warn("hooks hear of a room later", { ...at, error });
      }
      if (!is_settled) this.#later(() => this.look(at));
    }
  }

  #later(run: () => void): void {
    if (this.#stopped || this.#timers.size >= this.#options.waiting_max) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, RETRY_MS);
    this.#timers.add(timer);
  }

  /** False: the tenant was deleted after `since`. */
  async #tell(
    type: "room.created" | "room.ended",
    at: RoomAddress,
    birth: Birth,
    since: number,
  ): Promise<boolean> {
    const { events, onStored } = this.#options;
    const key = `${type} ${at.room_id} ${birth.created_ms}`;
    const is_stored = await events.append(type, at, birth, key, since);
    if (is_stored) onStored(type);
    return is_stored;
  }

  async #hasBegun(tenant_id: string): Promise<boolean> {
    if (this.#begun.has(tenant_id)) return true;
    if (await this.#options.marks.get(sinceKey(tenant_id)) === undefined) return false;
    this.#begun.add(tenant_id);
    return true;
  }

  /** Starts reporting for new tenants. */
  async #beginAll(): Promise<void> {
    const { events: { tenants }, rooms, log } = this.#options;
    for (const tenant_id of tenants) {
      const is_ours = rooms.isOwner({ tenant_id, room_id: BEGINNER });
      if (this.#stopped || !is_ours || this.#begun.has(tenant_id)) continue;
      await this.#begin(tenant_id).catch((error) => {
        log.warn("hooks hear of the rooms of a tenant later", { tenant_id, error });
        this.#later(() => void this.#beginAll());
      });
    }
  }

  /** Marks the existing rooms first: a new hook receives only later creations. */
  async #begin(tenant_id: string): Promise<void> {
    const { marks, rooms, events: { deletions } } = this.#options;
    const since = deletions.known(tenant_id);
    if (await this.#hasBegun(tenant_id)) return;
    const put = (key: KvKey, value: object) => deletions.put(marks, since, key, bytesOf(value));
    const keys = await rooms.keysOf(tenant_id);
    for (let at = 0; at < keys.length; at += AT_A_TIME) {
      await slice(tenant_id);
      await Promise.all(
        keys.slice(at, at + AT_A_TIME).map(async ([, room_id = ""]) => {
          const birth = birthOf(await rooms.load({ tenant_id, room_id }));
          if (birth !== undefined) await put(markKey(tenant_id, room_id), birth);
        }),
      );
    }
    if (await put(sinceKey(tenant_id), {}) !== undefined) this.#begun.add(tenant_id);
  }
}

/** Starts the reports, with their metrics. Rejects with `spine-unavailable`. */
export async function announceRooms(
  { spine, registry, config, log }: Pick<Env, "spine" | "registry" | "log"> & {
    readonly config: Pick<Config, "brain">;
  },
  events: LifeEvents,
  rooms: StoredRooms,
): Promise<RoomReports> {
  const stored = metricsOn(registry).counter(
    "brain_rooms_told_total",
    "Births and ends of rooms that were stored for hooks.",
    "event",
  );
  const announced = new AnnouncedRooms({
    rooms,
    events,
    log,
    marks: inShares(await spine.keyValue(HOOKS_BUCKET)),
    waiting_max: config.brain.rooms_per_tenant,
    onStored: (event) => stored.inc({ event }),
  });
  scrapedGauge(
    registry,
    "brain_rooms_untold",
    "Rooms whose birth or end waits to be stored for hooks.",
    () => announced.waiting,
  );
  return announced;
}
