/**
 * Assembles the room classes of one process, the config's and those of tenants; and the process's memory of the stored
 * rooms for the Brains.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { Gauge } from "../../shared/metrics/metrics.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { Settings } from "../settings/settings.ts";
import { classesHash } from "../../shared/config/classes_hash.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import { type ConfigTables, RoomClasses } from "../../shared/rooms/classes.ts";
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import {
  readRoomsTail,
  ROOMS_ASK,
  ROOMS_CURRENT,
  roomsAnswer,
} from "../../shared/records/rooms_tail.ts";
import type { RoomsTail } from "../../shared/records/rooms_tail.ts";

/** The dependencies of `startRoomClasses`. */
export interface RoomClassesStart extends Pick<Env, "registry" | "log"> {
  readonly config: Pick<Config, "rooms">;
  /** The settings, which must be ready: the tenants' classes are known. */
  readonly settings: Settings;
  readonly spine: Pick<Spine, "subscribe" | "publish" | "status">;
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
  const { config, settings, registry, spine } = start;
  const classes = new RoomClasses(config.rooms);
  const stopClasses = settings.onChange((tenant_id, { rooms }) =>
    classes.setTenant(tenant_id, rooms)
  );
  const stopWitness = spine.status.engine === "nats"
    ? witnessRooms(spine, start.log.child({ part: "rooms" }))
    : () => {};
  const close = () => {
    stopClasses();
    stopWitness();
  };
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

// Stores the Brains' last report about the record of the stored rooms, for a Brain that starts while no other runs. So
// a restart of all Brains does not start a new incarnation of the rooms.

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

/** Listens to Brains and answers them until the returned function is called. */
function witnessRooms(
  spine: Pick<Spine, "subscribe" | "publish">,
  log: Logger,
): () => void {
  let latest: RoomsTail | undefined;
  const subscription = spine.subscribe(ROOMS_CURRENT, ({ payload }) => {
    latest = readRoomsTail(payload) ?? latest;
  });
  const questions = spine.subscribe(ROOMS_ASK, ({ payload }) => {
    if (latest === undefined) return;
    try {
      spine.publish(roomsAnswer(fromUtf8.decode(payload)), utf8.encode(JSON.stringify(latest)));
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      // The connection is lost, which is reported separately; the Brain asks again.
      log.debug("a Brain was not sent the rooms' incarnation", { error });
    }
  });
  return () => {
    subscription.unsubscribe();
    questions.unsubscribe();
  };
}
