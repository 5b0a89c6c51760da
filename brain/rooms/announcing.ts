/** Puts together what tells hooks of rooms, where somebody wants to learn of them. */
import { HOOKS_BUCKET } from "../../shared/records/hook_document.ts";
import { AnnouncedRooms } from "./lives/announced_rooms.ts";
import type { RoomContext } from "./room/room.ts";
import type { RoomServiceOptions } from "./service.ts";
import { isRoomKey } from "./store/command_pages.ts";

/** See `AnnouncedRooms`. */
export type Told = Pick<AnnouncedRooms, "waiting" | "look" | "settle" | "settleGone" | "stop">;

const NOBODY: Told = {
  waiting: 0,
  look: () => {},
  settle: () => Promise.resolve(true),
  settleGone: () => Promise.resolve(),
  stop: () => Promise.resolve(),
};

/** Begins to tell. Rejects with `spine-unavailable`. */
export async function startAnnouncing(
  { life_events: events, spine, config, metrics, log }: RoomServiceOptions,
  context: RoomContext,
): Promise<Told> {
  if (events === undefined) return NOBODY;
  return new AnnouncedRooms({
    ...{ context, events, log, marks: await spine.keyValue(HOOKS_BUCKET) },
    listRooms: async (tenant_id) => (await context.bucket.keys([tenant_id])).filter(isRoomKey),
    waiting_max: config.brain.rooms_per_tenant,
    onTold: (event) => metrics.rooms_told.inc({ event }),
  });
}
