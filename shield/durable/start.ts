/**
 * Assembles the durable rooms of one process: logs, the rooms that follow them, their caches, and the watch that finds
 * messages lost by NATS. For the hub and the message path.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import type { DurableRooms } from "../fanout/hub.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { SYSTEM_CLOCK } from "./log/clock.ts";
import { createHistory, type History, type HistoryContext } from "./history/history.ts";
import { TenantLogs } from "./log/logs.ts";
import { DurableChannel, type RoomEvents } from "./room/channel.ts";
import { RoomLog } from "./room/room_log.ts";
import { DurableStats, registerPendingLimit } from "./log/stats.ts";
import { TailCache } from "./log/tail_cache.ts";
import { LogWatch } from "./log/watch.ts";

/** The dependencies of `startDurable`. */
export interface DurableStart extends Pick<Env, "spine" | "registry" | "log"> {
  readonly config: Pick<Config, "durable" | "limits">;
  readonly classes: RoomClasses;
  readonly flushes: Pick<FlushQueue, "confirmed">;
}

/** The durable rooms of a process. */
export interface StartedDurable {
  readonly logs: TenantLogs;
  readonly rooms: DurableRooms;
  readonly stats: DurableStats;
  /** Makes the history of the rooms; once. */
  history(context: Omit<HistoryContext, "logs" | "classes" | "stats">): History;
  /** Ends the watch. The hub closes the rooms, and the Spine the logs. */
  close(): void;
}

/** Assembles the parts; no log is opened before a room needs it. */
export function startDurable(start: DurableStart): StartedDurable {
  const { config, spine, classes, flushes, registry } = start;
  const { limits } = config;
  const logger = start.log.child({ part: "durable" });
  const clock = SYSTEM_CLOCK;
  const stats = new DurableStats(registry);
  registerPendingLimit(registry, limits.log_pending_bytes);
  const open_rooms = new Map<string, RoomLog>();
  const nameOf = (tenant_id: string, room_id: string) => `${tenant_id}/${room_id}`;
  const roomOf = (...ids: Parameters<typeof nameOf>) => open_rooms.get(nameOf(...ids));
  const logs = new TenantLogs({ spine, classes, stats, log: logger, roomOf });
  const cache = new TailCache({ limits, clock, stats });
  const { verify_ms } = config.durable;
  const watch = new LogWatch({ spine, clock, stats, logger, verify_ms });
  const open = async (tenant_id: string, room_id: string, events: RoomEvents) => {
    const [log] = await Promise.all([logs.of(tenant_id), flushes.confirmed()]);
    const class_of = () => classes.of(tenant_id, room_id);
    const shared = { log, limits, cache, stats, clock, logger };
    const room = new RoomLog({ tenant_id, room_id, class_of, ...shared, ...events });
    watch.add(room);
    open_rooms.set(nameOf(tenant_id, room_id), room);
    return room;
  };
  const release = (room: RoomLog) => {
    watch.remove(room);
    const name = nameOf(room.tenant_id, room.room_id);
    if (open_rooms.get(name) === room) open_rooms.delete(name);
    room.close();
  };
  const timeout_ms = limits.command_timeout_ms;
  const lag_bytes_max = limits.recovery_bytes + limits.unsent_bytes;
  return {
    logs,
    stats,
    history: (context) => createHistory({ ...context, logs, classes, stats }),
    rooms: {
      classes,
      room: (channel, hub) =>
        new DurableChannel({
          open: (events) => open(channel.tenant_id, channel.room_id, events),
          channel,
          hub,
          release,
          timeout_ms,
          lag_bytes_max,
        }),
    },
    close() {
      watch.close();
      logs.close();
    },
  };
}
