/**
 * The classes of rooms from the configuration and the tenants' settings, as on Shields, and the tenants' logs. Follows
 * both and writes nothing. Callers interpret the classes.
 */
import { ArqonError } from "@arqon/proto";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import {
  decodeSettings,
  emptySettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import type { TenantSettings } from "../../shared/records/tenant_settings.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { KvChange, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";

/** The dependencies. */
export interface FollowedClassesOptions extends Pick<Env, "log"> {
  readonly config: Pick<Config, "rooms">;
  readonly spine: Pick<Spine, "keyValue" | "log">;
  /** Notifies of configuration changes; absent: there are none. */
  readonly changes?: ConfigChanges | undefined;
  /** Called with each tenant's settings, initially and after each change. */
  readonly onSettings?: (tenant_id: string, settings: TenantSettings) => void;
}

/** The classes, and the logs of their rooms. */
export class FollowedClasses {
  readonly classes: RoomClasses;
  readonly #spine: Pick<Spine, "log">;
  readonly #watch: KvWatch;

  private constructor(classes: RoomClasses, spine: Pick<Spine, "log">, watch: KvWatch) {
    this.classes = classes;
    this.#spine = spine;
    this.#watch = watch;
  }

  /** Resolves when the settings of every tenant are known. Rejects with `spine-unavailable`. */
  static async open(options: FollowedClassesOptions): Promise<FollowedClasses> {
    const { config, spine, changes } = options;
    const classes = new RoomClasses(config.rooms);
    const bucket = await spine.keyValue(TENANTS_BUCKET, { leaves_stream: true });
    const watch = bucket.watch([], (change) => take(classes, change, options));
    await watch.ready;
    changes?.follow(["rooms"], () => classes.setConfig(config.rooms));
    return new FollowedClasses(classes, spine, watch);
  }

  /** The tenant's log. Rejects with `log-unavailable` or `spine-unavailable`. */
  async openLog(tenant_id: string): Promise<DurableLog> {
    const retention = this.classes.logRetentionOf(tenant_id);
    if (retention === undefined) throw new ArqonError("log-unavailable", "no class is durable");
    return await this.#spine.log(tenant_id, retention);
  }

  close(): void {
    this.#watch.stop();
  }
}

function take(
  classes: RoomClasses,
  change: KvChange,
  { log, onSettings }: Pick<FollowedClassesOptions, "log" | "onSettings">,
): void {
  const { key: [tenant_id = ""] } = change;
  const decoded = change.type === "put"
    ? decodeSettings(tenant_id, change.value)
    : change.is_lost === true
    ? { problem: "the store has lost them" }
    : { settings: emptySettings() };
  if ("settings" in decoded) {
    classes.setTenant(tenant_id, decoded.settings.rooms);
    return onSettings?.(tenant_id, decoded.settings);
  }
  // The previous settings stay in force, as on Shields.
  log.error("a tenant's settings cannot be read", { tenant_id, problem: decoded.problem });
}
