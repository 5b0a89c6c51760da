/**
 * The classes of rooms from the configuration and the tenants' settings, as on Shields, and the tenants' logs and own
 * budgets. Follows both and writes nothing; one per Brain. Callers interpret the classes.
 */
import { ArqonError } from "@arqon/proto";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { decodeSettings, TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import type { TenantSettings } from "../../shared/records/tenant_settings.ts";
import { type ConfigTables, RoomClasses } from "../../shared/rooms/classes.ts";
import { membersRoomOf, recordedRoomOf } from "../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { openOnce } from "../../shared/turns/once.ts";
import type { KeyValue, KvChange, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";

interface FollowedClassesOptions extends Pick<Env, "log"> {
  readonly config: Pick<Config, "rooms">;
  readonly spine: Pick<Spine, "keyValue" | "log" | "existingLog">;
  /** Notifies of configuration changes; absent: there are none. */
  readonly changes?: ConfigChanges | undefined;
}

/** Opens the Brain's classes, or takes those that are open. Rejects with `spine-unavailable`. */
export type OpenClasses = () => Promise<FollowedClasses>;

type Budgets = NonNullable<TenantSettings["budgets"]>;

/** Opens the Brain's classes, or takes those that are open. Rejects with `spine-unavailable`. */
export class FollowedClasses {
  readonly classes: RoomClasses;
  /** The deletions of tenants, of which the bucket has marks. */
  readonly deletions: TenantDeletions;
  readonly #options: FollowedClassesOptions;
  readonly #budgets = new Map<string, Budgets>();
  #onBudgets = (_tenant_id: string, _budgets: Budgets) => {};
  readonly #watch: KvWatch;

  private constructor(options: FollowedClassesOptions, bucket: KeyValue) {
    this.#options = options;
    this.classes = new RoomClasses(options.config.rooms);
    this.deletions = new TenantDeletions(bucket, (tenant_id, error) => {
      options.log.error("what is known of a deleted tenant was not forgotten", {
        tenant_id,
        error,
      });
    });
    this.#watch = bucket.watch([], (change) => {
      if (!this.deletions.take(change)) this.#take(change);
    });
  }

  /** Resolves when the settings of every tenant are known. Rejects with `spine-unavailable`. */
  static async open(options: FollowedClassesOptions): Promise<FollowedClasses> {
    const { spine, changes } = options;
    const bucket = await spine.keyValue(TENANTS_BUCKET, { leaves_stream: true });
    const followed = new FollowedClasses(options, bucket);
    await followed.#watch.ready;
    followed.deletions.listed();
    const { classes } = followed;
    changes?.follow(
      ["rooms"],
      (tables: ConfigTables) => classes.replace(tables),
      (next) => classes.compiling(next.rooms),
    );
    return followed;
  }

  /** Opens on the first call, and after a failure on the next. Closing waits for it. */
  static shared(
    options: FollowedClassesOptions,
  ): { open: OpenClasses; close: () => Promise<void> } {
    let opening: Promise<FollowedClasses> | undefined;
    return {
      open: openOnce(() => opening = FollowedClasses.open(options)),
      // Whoever opened them got the failure.
      close: async () => (await opening?.catch(() => undefined))?.close(),
    };
  }

  /** Calls back with the own budgets of each tenant, now and after each change. Has one listener. */
  followBudgets(onBudgets: (tenant_id: string, budgets: Budgets) => void): void {
    this.#onBudgets = onBudgets;
    for (const [tenant_id, budgets] of this.#budgets) onBudgets(tenant_id, budgets);
  }

  /** The room of this room's journal of members; undefined: it has none. */
  membersRoomOf(tenant_id: string, room_id: string): string | undefined {
    if (recordedRoomOf(room_id) !== undefined) return undefined;
    if (this.classes.of(tenant_id, room_id).membership === "off") return undefined;
    return membersRoomOf(room_id);
  }

  /**
   * The tenant's log, also one whose last durable class was removed. Rejects with `log-unavailable` or
   * `spine-unavailable`.
   */
  async openLog(tenant_id: string): Promise<DurableLog> {
    const { spine } = this.#options;
    const retention = this.classes.logRetentionOf(tenant_id);
    if (retention !== undefined) return await spine.log(tenant_id, retention);
    const left = await spine.existingLog(tenant_id);
    if (left === undefined) throw new ArqonError("log-unavailable", "no class is durable");
    return left;
  }

  close(): void {
    this.#watch.stop();
  }

  #take(change: KvChange): void {
    const { key: [tenant_id = ""] } = change;
    if (change.type === "delete" && change.is_lost !== true) {
      return this.#set(tenant_id, { rooms: [] });
    }
    const decoded = change.type === "put"
      ? decodeSettings(tenant_id, change.value)
      : { problem: "the store has lost them" };
    if ("settings" in decoded) return this.#set(tenant_id, decoded.settings);
    // The previous settings stay in force, as on Shields.
    const { problem } = decoded;
    this.#options.log.error("a tenant's settings cannot be read", { tenant_id, problem });
  }

  #set(
    tenant_id: string,
    { rooms, budgets = [] }: Pick<TenantSettings, "rooms" | "budgets">,
  ): void {
    this.classes.setTenant(tenant_id, rooms);
    if (budgets.length > 0) this.#budgets.set(tenant_id, budgets);
    else if (!this.#budgets.delete(tenant_id)) return;
    this.#onBudgets(tenant_id, budgets);
  }
}
