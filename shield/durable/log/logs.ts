/**
 * The logs of durable rooms in this process. A log is opened when its tenant first needs it, sized by the tenant's
 * classes, and written by the message path. `room_log.ts` and `history.ts` read; the Spine has the logs themselves.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import type {
  Appended,
  DurableLog,
  LogStatus,
} from "../../../shared/spine/contract/durable_log.ts";
import type { Lives } from "../../../shared/spine/contract/lives.ts";
import type { Spine, SpineEvent } from "../../../shared/spine/contract/spine.ts";
import { RoomClasses } from "../../../shared/rooms/classes.ts";
import type { DurableStats } from "./stats.ts";
import { inPieces, STRANGERS } from "../../../shared/turns/slices.ts";
import { AT, step } from "../../../shared/watchdog/steps.ts";
import type { LogAppend, LogPlace, Logs, RecentEntry } from "../../message/logs.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import { parseRoomSubject } from "../../../shared/subjects/subject.ts";
import type { RetryClock } from "./log_calls.ts";

/** The dependencies and settings of `TenantLogs`. */
interface TenantLogsOptions extends Pick<Env, "log"> {
  readonly spine: Pick<Spine, "log">;
  readonly classes: Pick<RoomClasses, "logRetentionOf" | "onChange">;
  readonly stats: DurableStats;
  /** The open log of a room, which keeps its newest messages; undefined: it is not open. */
  readonly roomOf: (tenant_id: string, room_id: string) => {
    after(place: LogPlace, limit: number): readonly RecentEntry[];
  } | undefined;
}

interface Opening {
  readonly promise: Promise<DurableLog>;
  log: DurableLog | undefined;
  /** Appends that wait for the log to open; later ones must not overtake them. */
  waiting: number;
}

/** Ids that need no encoding; nearly all ids match. */
const PLAIN = /^[\w.!~*'()-]*$/;

function encoded(id: string): string {
  return PLAIN.test(id) ? id : encodeURIComponent(id);
}

/** The key of a message in its log: message ids of different senders never meet. */
function keyOf({ sender_id, message_id }: LogAppend): string {
  return `${encoded(sender_id)}/${encoded(message_id)}`;
}

/** The logs of all tenants that this process has needed. */
export class TenantLogs implements Logs {
  readonly #options: TenantLogsOptions;
  readonly #tenants = new Map<string, Opening>();
  readonly #stopClasses: () => void;

  constructor(options: TenantLogsOptions) {
    this.#options = options;
    this.#stopClasses = options.classes.onChange((tenant_id) => {
      if (tenant_id !== undefined) void this.#resize(tenant_id);
      else void inPieces(STRANGERS, this.#resizing(), 1);
    });
  }

  /** Resizes the logs, one a step: among 10,000 classes, those of a tenant with its own take a millisecond to find. */
  *#resizing(): Generator<void> {
    for (const tenant_id of this.#tenants.keys()) yield void this.#resize(tenant_id);
  }

  of(tenant_id: string): Promise<DurableLog> {
    return this.#opening(tenant_id).promise;
  }

  has(tenant_id: string): boolean {
    return this.#options.classes.logRetentionOf(tenant_id) !== undefined;
  }

  async livesOf(tenant_id: string): Promise<Lives> {
    return this.has(tenant_id) ? (await this.of(tenant_id)).lives : [];
  }

  append(append: LogAppend): Promise<Appended> {
    const opening = this.#opening(append.tenant_id);
    if (opening.log !== undefined && opening.waiting === 0) {
      return this.#append(opening.log, append);
    }
    opening.waiting++;
    // The engine copies the bytes only when it is called.
    const kept = { ...append, envelope: append.envelope.slice() };
    return new Promise((resolve, reject) => {
      opening.promise.then((log) => {
        opening.waiting--;
        // A promise followed by this one would settle after those of later appends that are acknowledged with it.
        this.#append(log, kept, resolve).catch(reject);
      }, (error) => {
        opening.waiting--;
        reject(this.#refused(error));
      });
    });
  }

  recent(
    tenant_id: string,
    room_id: string,
    after: LogPlace,
    limit: number,
  ): readonly RecentEntry[] {
    return this.#options.roomOf(tenant_id, room_id)?.after(after, limit) ?? [];
  }

  /** Stops following the classes; the logs are closed with the Spine. */
  close(): void {
    this.#stopClasses();
  }

  #opening(tenant_id: string): Opening {
    const known = this.#tenants.get(tenant_id);
    if (known !== undefined) return known;
    const promise = this.#open(tenant_id);
    const opening: Opening = { promise, log: undefined, waiting: 0 };
    this.#tenants.set(tenant_id, opening);
    promise.then((log) => {
      opening.log = log;
    }, () => {
      // The next caller who needs the log tries again.
      if (this.#tenants.get(tenant_id) === opening) this.#tenants.delete(tenant_id);
    });
    return opening;
  }

  async #open(tenant_id: string): Promise<DurableLog> {
    const retention = this.#options.classes.logRetentionOf(tenant_id);
    if (retention === undefined) throw new ArqonError("log-unavailable", "no class is durable");
    return await this.#options.spine.log(tenant_id, retention);
  }

  #append(
    log: DurableLog,
    append: LogAppend,
    onStored?: (appended: Appended) => void,
  ): Promise<Appended> {
    const { room_id, room_class, envelope, message_id, headers } = append;
    const { stats } = this.#options;
    const size_bytes = envelope.length;
    step(AT.log);
    let appending: Promise<Appended>;
    try {
      appending = log.append(room_id, envelope, {
        ...(message_id === "" ? undefined : { key: keyOf(append) }),
        ...(headers === undefined ? undefined : { headers }),
      });
    } catch (error) {
      return Promise.reject(this.#refused(error));
    }
    const ended = () => {
      stats.pending_appends--;
      stats.pending_bytes -= size_bytes;
    };
    stats.pending_appends++;
    stats.pending_bytes += size_bytes;
    return appending.then((appended) => {
      ended();
      if (appended.duplicate) stats.deduplicated();
      else stats.stored(room_class.pattern, size_bytes);
      onStored?.(appended);
      return appended;
    }, (error) => {
      ended();
      throw this.#refused(error);
    });
  }

  #refused(error: unknown): unknown {
    this.#options.stats.refused(error instanceof ArqonError ? error.reason : "internal");
    return error;
  }

  /** Resizes a tenant's log, if it is open here, since the tenant's classes have changed. */
  async #resize(tenant_id: string): Promise<void> {
    const { log, classes } = this.#options;
    const opened = this.#tenants.get(tenant_id);
    const retention = classes.logRetentionOf(tenant_id);
    if (opened === undefined || retention === undefined) return;
    try {
      await (await opened.promise).retain(retention, true);
    } catch (error) {
      log.warn("the retention of a tenant's log could not be changed", { tenant_id, error });
    }
  }
}

/** The logs of a message path without durable rooms. */
export const PLAIN_ROOMS: {
  readonly classes: RoomClasses;
  readonly logs: Pick<Logs, "append">;
} = {
  classes: new RoomClasses([]),
  logs: { append: () => Promise.reject(new ArqonError("log-unavailable", "no class is durable")) },
};

// Messages that open rooms have missed silently are found after the Spine lost messages, after a log moved to another
// server and, as a precaution, by a periodic comparison with the log. `RoomLog.verify` repairs a room.

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
