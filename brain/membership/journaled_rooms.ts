/**
 * Which rooms have a journal of members, by the classes of the configuration and of the tenants, as
 * Shields see them; and the logs in which those journals stand. Follows the tenants' settings and writes
 * none.
 */
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { decodeSettings, TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { membersRoomOf, recordedRoomOf } from "../../shared/rooms/members_room.ts";
import { ArqonError } from "@arqon/proto";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { KvChange, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";

/** What is needed of the Brain. */
export interface JournaledRoomsOptions {
  readonly config: Pick<Config, "rooms">;
  readonly spine: Pick<Spine, "keyValue" | "log">;
  readonly log: Logger;
  /** Tells of another configuration; absent: it stays as it is. */
  readonly changes?: ConfigChanges | undefined;
}

/** The rooms with a journal of members. */
export class JournaledRooms {
  readonly #options: JournaledRoomsOptions;
  readonly #classes: RoomClasses;
  readonly #watch: KvWatch;
  /** Resolves when the settings of every tenant are known. */
  readonly ready: Promise<void>;

  private constructor(options: JournaledRoomsOptions, classes: RoomClasses, watch: KvWatch) {
    this.#options = options;
    this.#classes = classes;
    this.#watch = watch;
    this.ready = watch.ready;
  }

  /** Rejects with `spine-unavailable`. */
  static async open(options: JournaledRoomsOptions): Promise<JournaledRooms> {
    const classes = new RoomClasses(options.config.rooms);
    const bucket = await options.spine.keyValue(TENANTS_BUCKET, { leaves_stream: true });
    const watch = bucket.watch([], (change) => take(classes, change, options.log));
    const rooms = new JournaledRooms(options, classes, watch);
    await rooms.ready;
    options.changes?.follow(["rooms"], () => classes.setConfig(options.config.rooms));
    return rooms;
  }

  /** Whether some room may have one. */
  get any(): boolean {
    return this.#classes.has_membership;
  }

  /** The room with the journal of this one; undefined: it has none. */
  membersRoomOf(tenant_id: string, room_id: string): string | undefined {
    if (recordedRoomOf(room_id) !== undefined) return undefined;
    if (this.#classes.of(tenant_id, room_id).membership === "off") return undefined;
    return membersRoomOf(room_id);
  }

  /** Whether the tenant has a log. */
  hasLog(tenant_id: string): boolean {
    return this.#classes.logRetentionOf(tenant_id) !== undefined;
  }

  /** The tenant's log. Rejects with `log-unavailable` or `spine-unavailable`. */
  async openLog(tenant_id: string): Promise<DurableLog> {
    const retention = this.#classes.logRetentionOf(tenant_id);
    if (retention === undefined) throw new ArqonError("log-unavailable", "no class is durable");
    return await this.#options.spine.log(tenant_id, retention);
  }

  /** Calls back when classes have changed, until the returned function is called. */
  onChange(listener: () => void): () => void {
    return this.#classes.onChange(listener);
  }

  close(): void {
    this.#watch.stop();
  }
}

function take(classes: RoomClasses, change: KvChange, log: Logger): void {
  const [tenant_id = ""] = change.type === "put" ? change.entry.key : change.key;
  if (change.type !== "put") return classes.setTenant(tenant_id, []);
  const decoded = decodeSettings(tenant_id, change.entry.value);
  if ("settings" in decoded) return classes.setTenant(tenant_id, decoded.settings.rooms);
  // What was in force stays, as on Shields.
  log.error("a tenant's settings cannot be read", { tenant_id, problem: decoded.problem });
}
