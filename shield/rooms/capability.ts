/** The rooms capability of a Shield: the state and locks of rooms over HTTP. Brains serve the commands. */
import type { Capability } from "../capability.ts";
import { BOOLEAN, COUNT, list, object, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import { ROOM_COMMANDS } from "./commands.ts";
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

/**
 * Remembers the Brains' last report about the record of the stored rooms, for a Brain that starts while no other runs.
 * So a restart of all Brains does not start a new incarnation of the rooms. Listens and answers until the returned
 * function is called.
 */
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

const VERSIONED = { version: COUNT, epoch: TEXT };
const LOCK = object({ holder: TEXT, connection_id: TEXT, until_ms: UNIX_MS, fence: COUNT });
/** Members of answers with events. */
const EVENTS = { events: list({ type: "object" }), truncated: BOOLEAN };
const BAN = object({
  user_id: TEXT,
  scope: { ...TEXT, enum: ["room", "tenant"] },
  until_ms: { ...UNIX_MS, description: "Unix time in milliseconds; 0: never expires" },
  reason: TEXT,
  by: TEXT,
  created_ms: UNIX_MS,
});

/** The capability, for a Shield's list. */
export const ROOMS: Capability = {
  name: "rooms",
  title: "the state and locks of rooms, their kicks and bans",
  stores: ["ARQON_ROOMS"],
  client: {
    commands: ROOM_COMMANDS,
    tags: {
      state: "keys and values of a room",
      locks: "leases with a fence",
      moderation: "kicks and bans; for tokens of role service or admin",
    },
    schemas: {
      Written: object(VERSIONED),
      Locked: object({ ...VERSIONED, fence: COUNT, until_ms: UNIX_MS }),
      State: object({ ...VERSIONED, state: { type: "object" }, lock: LOCK, ...EVENTS }, [
        "lock",
        "events",
        "truncated",
      ]),
      Value: object({ ...VERSIONED, key: TEXT, value: {}, exists: BOOLEAN, ...EVENTS }, [
        "events",
        "truncated",
      ]),
      Bans: object({ bans: list(BAN), count: COUNT, next: TEXT }, ["next"]),
    },
  },
  open({ spine, log }) {
    if (spine.status.engine !== "nats") return {};
    return { close: witnessRooms(spine, log.child({ part: "rooms" })) };
  },
};
