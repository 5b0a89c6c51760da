/**
 * The rooms with a journal of members, by the classes of the configuration and of the tenants, as on Shields; and the
 * logs of those journals. Follows the tenants' settings and writes nothing.
 */
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { membersRoomOf, recordedRoomOf } from "../../shared/rooms/members_room.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { FollowedClasses } from "../classes/followed_classes.ts";
import type { FollowedClassesOptions } from "../classes/followed_classes.ts";

/** The rooms with a journal of members. */
export class JournaledRooms {
  readonly #followed: FollowedClasses;
  readonly #classes: RoomClasses;

  private constructor(followed: FollowedClasses) {
    this.#followed = followed;
    this.#classes = followed.classes;
  }

  /** Resolves when the settings of every tenant are known. Rejects with `spine-unavailable`. */
  static async open(options: FollowedClassesOptions): Promise<JournaledRooms> {
    return new JournaledRooms(await FollowedClasses.open(options));
  }

  /** Whether any room may have one. */
  get any(): boolean {
    return this.#classes.has_membership;
  }

  /** The room of this room's journal; undefined: it has none. */
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
  openLog(tenant_id: string): Promise<DurableLog> {
    return this.#followed.openLog(tenant_id);
  }

  /** Calls back when classes have changed, until the returned function is called. */
  onChange(listener: () => void): () => void {
    return this.#classes.onChange(listener);
  }

  close(): void {
    this.#followed.close();
  }
}

/** Opens the rooms with a journal on first use: a Brain without hooks follows no classes. */
export class LazyJournaledRooms {
  readonly #options: FollowedClassesOptions;
  #rooms: Promise<JournaledRooms> | undefined;

  constructor(options: FollowedClassesOptions) {
    this.#options = options;
  }

  /** As `JournaledRooms.open`; the next call retries a failed one. */
  open(): Promise<JournaledRooms> {
    if (this.#rooms !== undefined) return this.#rooms;
    const rooms = JournaledRooms.open(this.#options);
    rooms.catch(() => this.#rooms = undefined);
    return this.#rooms = rooms;
  }

  /** Stops following; resolves when it has ended. */
  async close(): Promise<void> {
    (await this.#rooms?.catch(() => undefined))?.close();
  }
}
