/** The rooms capability of a Shield: the state and locks of rooms over HTTP. Brains serve the commands. */
import type { Capability } from "../capability.ts";
import { BOOLEAN, COUNT, list, object, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import { ROOM_COMMANDS } from "./commands.ts";
import { witnessRooms } from "./witness.ts";

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
