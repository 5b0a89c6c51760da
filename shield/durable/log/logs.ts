/**
 * The logs of durable rooms in this process. A log is opened when its tenant first needs it, sized by the tenant's
 * classes, and written by the message path. `room_log.ts` and `history.ts` read; the Spine has the logs themselves.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import type { Appended, DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { Lives } from "../../../shared/spine/contract/lives.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { RoomClasses } from "../../../shared/rooms/classes.ts";
import type { DurableStats } from "./stats.ts";
import { inPieces, STRANGERS } from "../../../shared/turns/slices.ts";
import { AT, step } from "../../../shared/watchdog/steps.ts";
import type { LogAppend, LogPlace, Logs, RecentEntry } from "../../message/logs.ts";

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
