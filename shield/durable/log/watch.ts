/**
 * Finds messages that open durable rooms have missed silently: after the Spine lost messages, after a log moved to
 * another server and, as a precaution, by a periodic comparison with the log. `RoomLog.verify` repairs a room.
 */
import type { Logger } from "../../../shared/logs/log.ts";
import type { DurableLog, LogStatus } from "../../../shared/spine/contract/durable_log.ts";
import type { Spine, SpineEvent } from "../../../shared/spine/contract/spine.ts";
import { parseRoomSubject } from "../../../shared/subjects/subject.ts";
import type { RetryClock } from "./clock.ts";
import type { DurableStats } from "./stats.ts";

const BATCH_ROOMS = 256;
/** The most concurrent verifications: of one tenant, whose log may not answer, and of all together. */
const TENANT_AT_ONCE = 4;
const ALL_AT_ONCE = 256;
/** The most tenants whose logs are checked at a time. */
const LOOKS_AT_ONCE = 16;

/** A watched `RoomLog`. */
export interface WatchedRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly log: DurableLog;
  readonly stream: string;
  readonly offset: number;
  readonly is_started: boolean;
  /** See `RoomLog`. */
  confirm(newest: number): boolean;
  verify(): Promise<void>;
}

interface LogWatchOptions {
  readonly spine: Pick<Spine, "onEvent">;
  readonly clock: RetryClock;
  readonly verify_ms: number;
  readonly stats: Pick<DurableStats, "read" | "failed">;
  readonly logger: Logger;
}

interface Tenant {
  /** The watched rooms by id. */
  readonly rooms: Map<string, WatchedRoom>;
  readonly due: Set<WatchedRoom>;
  verifying: number;
  /** The state of the log at the last check; undefined before the first. */
  seen: Pick<LogStatus, "stream" | "log_offset" | "messages"> | undefined;
  /** True if the log answered the last request. */
  answers: boolean;
  /** The remaining checks of the rooms although the log does not advance. */
  looks: number;
  /** The offset of each room at the last check; `behind` has the rooms that were behind then. */
  offsets: Map<WatchedRoom, number>;
  behind: Set<WatchedRoom>;
}

/** The watch of a process's open rooms. */
export class LogWatch {
  readonly #options: LogWatchOptions;
  readonly #tenants = new Map<string, Tenant>();
  /** Tenants with rooms that are due. */
  readonly #due = new Set<Tenant>();
  readonly #stopEvents: () => void;
  #verifying = 0;
  #cancel: (() => void) | undefined;
  #is_closed = false;

  constructor(options: LogWatchOptions) {
    this.#options = options;
    this.#stopEvents = options.spine.onEvent((event) => this.#onEvent(event));
    this.#schedule();
  }

  add(room: WatchedRoom): void {
    let tenant = this.#tenants.get(room.tenant_id);
    if (tenant === undefined) {
      tenant = {
        rooms: new Map(),
        due: new Set(),
        verifying: 0,
        seen: undefined,
        answers: true,
        looks: 0,
        offsets: new Map(),
        behind: new Set(),
      };
      this.#tenants.set(room.tenant_id, tenant);
    }
    tenant.rooms.set(room.room_id, room);
  }

  /** Removes a room log. Another one of the same room, added meanwhile, stays. */
  remove(room: WatchedRoom): void {
    const tenant = this.#tenants.get(room.tenant_id);
    if (tenant === undefined) return;
    tenant.due.delete(room);
    tenant.behind.delete(room);
    tenant.offsets.delete(room);
    if (tenant.rooms.get(room.room_id) === room) tenant.rooms.delete(room.room_id);
    if (tenant.rooms.size > 0) return;
    this.#tenants.delete(room.tenant_id);
    this.#due.delete(tenant);
  }

  close(): void {
    this.#is_closed = true;
    this.#stopEvents();
    this.#cancel?.();
    this.#tenants.clear();
    this.#due.clear();
  }

  #onEvent(event: SpineEvent): void {
    switch (event.type) {
      case "log": {
        const tenant = this.#tenants.get(event.tenant_id);
        return tenant && this.#verify(tenant, tenant.rooms.values());
      }
      case "gap":
        if (event.pattern !== undefined) return this.#verifyRoom(event.pattern);
        for (const tenant of this.#tenants.values()) this.#verify(tenant, tenant.rooms.values());
        return;
      case "state":
      case "denied":
      case "unstored":
        return;
      default:
        event satisfies never;
    }
  }

  #verifyRoom(subject: string): void {
    const place = parseRoomSubject(subject);
    if (place === undefined || !subject.startsWith("in.")) return;
    const tenant = this.#tenants.get(place.tenantId);
    const room = tenant?.rooms.get(place.roomId);
    if (tenant !== undefined && room !== undefined) this.#verify(tenant, [room]);
  }

  #verify(tenant: Tenant, rooms: Iterable<WatchedRoom>): void {
    for (const room of rooms) tenant.due.add(room);
    if (tenant.due.size > 0) this.#due.add(tenant);
    this.#pump();
  }

  /** Starts to verify the rooms that are due, within the limits. */
  #pump(): void {
    for (const tenant of this.#due) {
      for (const room of tenant.due) {
        if (tenant.verifying === TENANT_AT_ONCE || this.#verifying === ALL_AT_ONCE) break;
        tenant.due.delete(room);
        tenant.verifying++;
        this.#verifying++;
        void room.verify().finally(() => {
          tenant.verifying--;
          this.#verifying--;
          this.#pump();
        });
      }
      if (tenant.due.size === 0) this.#due.delete(tenant);
      if (this.#verifying === ALL_AT_ONCE) return;
    }
  }

  #schedule(): void {
    const { clock, verify_ms } = this.#options;
    if (this.#is_closed) return;
    this.#cancel = clock.after(
      verify_ms,
      () => void this.#lookAtAll().then(() => this.#schedule()),
    );
  }

  async #lookAtAll(): Promise<void> {
    const tenants = this.#tenants.values();
    const next = async () => {
      for (const tenant of tenants) await this.#look(tenant);
    };
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, next));
  }

  /** Compares one tenant's rooms with its log. Never rejects. */
  async #look(tenant: Tenant): Promise<void> {
    const { logger } = this.#options;
    const [some] = tenant.rooms.values();
    if (some === undefined) return;
    try {
      const status = await this.#ask("status", () => some.log.status());
      const { seen } = tenant;
      const { stream, log_offset, messages } = status;
      // An unchanged number of messages shows that nothing was removed.
      const has_moved = seen?.stream !== stream || seen.log_offset !== log_offset ||
        seen.messages !== messages;
      tenant.seen = { stream, log_offset, messages };
      // The rooms are checked again after the log advanced: a replica's view of them may be older.
      tenant.looks = has_moved ? 2 : Math.max(tenant.looks - 1, tenant.behind.size > 0 ? 1 : 0);
      tenant.answers = true;
      if (tenant.looks > 0) await this.#compare(tenant, some.log, status.stream);
      else for (const room of tenant.rooms.values()) if (room.is_started) room.confirm(room.offset);
    } catch (error) {
      const fields = { tenant_id: some.tenant_id, error };
      // Each room retries on its own: one log line per tenant and outage is enough.
      if (tenant.answers) logger.warn("a tenant's log does not answer", fields);
      else logger.debug("a tenant's log still does not answer", fields);
      tenant.answers = false;
      tenant.seen = undefined;
    }
  }

  async #compare(tenant: Tenant, log: DurableLog, stream: string): Promise<void> {
    const rooms = [...tenant.rooms.values()].filter(({ is_started }) => is_started);
    const behind = new Set<WatchedRoom>();
    const due: WatchedRoom[] = [];
    for (let start = 0; start < rooms.length; start += BATCH_ROOMS) {
      const batch = rooms.slice(start, start + BATCH_ROOMS);
      const heads = await this.#ask("heads", () => log.heads(batch.map(({ room_id }) => room_id)));
      for (const room of batch) {
        const { offset } = room;
        const newest = heads.get(room.room_id) ?? 0;
        const is_behind = newest > offset;
        // Messages in transit arrive before the next check.
        const is_stuck = tenant.behind.has(room) || tenant.offsets.get(room) === offset;
        if (room.stream !== stream) due.push(room);
        else if (is_behind && !is_stuck) behind.add(room);
        else if (is_behind || !room.confirm(newest)) due.push(room);
        tenant.offsets.set(room, offset);
      }
    }
    tenant.behind = behind;
    this.#verify(tenant, due.filter((room) => tenant.rooms.get(room.room_id) === room));
  }

  async #ask<T>(purpose: "status" | "heads", question: () => Promise<T>): Promise<T> {
    const { stats } = this.#options;
    stats.read(purpose);
    try {
      return await question();
    } catch (error) {
      stats.failed(purpose);
      throw error;
    }
  }
}
