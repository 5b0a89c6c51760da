/** Assembles the room classes of one process, the config's and those of tenants. */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { Gauge } from "../../shared/metrics/metrics.ts";
import { classesHash } from "../../shared/config/classes_hash.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import { type ConfigTables, RoomClasses } from "../../shared/rooms/classes.ts";
import type { Settings } from "./settings.ts";

/** The dependencies of `startRoomClasses`. */
export interface RoomClassesStart extends Pick<Env, "registry"> {
  readonly config: Pick<Config, "rooms">;
  /** The settings, which must be ready: the tenants' classes are known. */
  readonly settings: Settings;
}

/** Room classes that follow the settings. */
export interface StartedRoomClasses {
  readonly classes: RoomClasses;
  /** Applies the classes of a changed configuration. */
  follow(changes: ConfigChanges): void;
  /** Ends the following: the classes stay as they are. */
  close(): void;
}

/** Starts the room classes. A tenant's classes are in force as soon as `settings` knows them. */
export function startRoomClasses(start: RoomClassesStart): StartedRoomClasses {
  const { config, settings, registry } = start;
  const classes = new RoomClasses(config.rooms);
  const close = settings.onChange((tenant_id, { rooms }) => classes.setTenant(tenant_id, rooms));
  new Gauge({
    name: "shield_room_classes",
    help: "Room classes in force, of the config and of all tenants, without the default.",
    labelNames: ["source"],
    registers: [registry],
    collect() {
      const { config, tenant } = classes.sizes;
      this.set({ source: "config" }, config);
      this.set({ source: "tenant" }, tenant);
    },
  });
  new Gauge({
    name: "shield_room_classes_hash",
    help: "A hash of the [[rooms]] of this Shield's configuration: it differs if they differ.",
    registers: [registry],
    collect() {
      this.set(classesHash(config.rooms));
    },
  });
  const follow = (changes: ConfigChanges) =>
    changes.follow(
      ["rooms"],
      (tables: ConfigTables) => classes.replace(tables),
      (next) => classes.compiling(next.rooms),
    );
  return { classes, follow, close };
}
