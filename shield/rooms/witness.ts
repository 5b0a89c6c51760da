/**
 * Remembers the Brains' last report about the record of the stored rooms, for a Brain that starts while no other runs.
 * So a restart of all Brains does not start a new incarnation of the rooms.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import {
  readRoomsTail,
  ROOMS_ASK,
  ROOMS_CURRENT,
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
