/**
 * Remembers what the Brains have last reported about the record beside the stored rooms, for a Brain that
 * starts while no other is there. So a restart of all Brains does not begin a new life of the rooms. It
 * knows nothing of rooms, and decides nothing.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import {
  readRoomsTail,
  ROOMS_ASK,
  ROOMS_TOLD,
  roomsAnswer,
} from "../../shared/records/rooms_tail.ts";
import type { RoomsTail } from "../../shared/records/rooms_tail.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder();

/** Listens to Brains and answers them until the returned function is called. */
export function witnessRooms(
  spine: Pick<Spine, "subscribe" | "publish">,
  log: Logger,
): () => void {
  let latest: RoomsTail | undefined;
  const told = spine.subscribe(ROOMS_TOLD, ({ payload }) => {
    latest = readRoomsTail(payload) ?? latest;
  });
  const asked = spine.subscribe(ROOMS_ASK, ({ payload }) => {
    if (latest === undefined) return;
    try {
      spine.publish(roomsAnswer(fromUtf8.decode(payload)), utf8.encode(JSON.stringify(latest)));
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      // Without a connection, which is reported on its own; the Brain asks again.
      log.debug("a Brain was not told of the rooms' life", { error });
    }
  });
  return () => {
    told.unsubscribe();
    asked.unsubscribe();
  };
}
