/** Puts the room classes of one process together: the config's, those of tenants, and the admin API. */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/log.ts";
import { Gauge } from "../../shared/metrics.ts";
import type { Registry } from "../../shared/metrics.ts";
import type { Admin } from "../admin_scope.ts";
import type { Settings } from "../settings.ts";
import { handleRooms, isRoomsPath } from "./admin_api.ts";
import { RoomClasses } from "./classes.ts";

/** What room classes need of the process. */
export interface RoomClassesStart {
  readonly config: Pick<Config, "rooms">;
  /** Ready: what tenants have set is known. */
  readonly settings: Settings;
  readonly registry: Registry;
  readonly log: Logger;
  readonly node_id: string;
}

/** Room classes that follow the settings, and their operators' side. */
export interface StartedRoomClasses {
  readonly classes: RoomClasses;
  /** Answers the paths of `isRoomsPath`. */
  readonly admin: (request: Request, admin: Admin) => Promise<Response>;
  /** The classes stay as they are. */
  close(): void;
}

export { isRoomsPath };

/** Classes of tenants are in force as soon as `settings` knows them. */
export function startRoomClasses(start: RoomClassesStart): StartedRoomClasses {
  const { config, settings, registry, node_id } = start;
  const log = start.log.child({ part: "rooms" });
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
  const context = { classes, settings, log, node_id };
  return { classes, admin: (request, admin) => handleRooms(context, request, admin), close };
}
