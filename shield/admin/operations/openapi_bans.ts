/** What the routes of bans say of themselves. */
import {
  abouts,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  LIMIT,
  list,
  object,
  TENANT,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";

const BAN = object({
  tenant_id: ID,
  user_id: TEXT,
  scope: { type: "string", enum: ["tenant", "room"] },
  room_id: ID,
  until_ms: { ...UNIX_MS, description: "Unix time in milliseconds; 0: without end" },
  reason: TEXT,
  by: TEXT,
  created_ms: UNIX_MS,
}, ["room_id"]);

/** Routes of bans. */
export const BANS_ABOUT = abouts({
  listBans: {
    tag: "bans",
    summary: "who is kept out, of tenants and of rooms",
    query: [
      inQuery("tenant", "only of this tenant"),
      inQuery("room", "only bans of this room alone"),
      inQuery("user", "only of users with this id", TEXT),
      LIMIT,
    ],
    answer: object({ node_id: ID, bans: list(BAN), total: COUNT, truncated: BOOLEAN }),
  },
  liftBan: {
    tag: "bans",
    summary: "lifts the ban of a user from a room, or without ?room= from the tenant",
    query: [
      TENANT,
      inQuery("user", "the user's id", TEXT, true),
      inQuery("room", "the room; absent: the ban of the whole tenant"),
    ],
    answer: object({ node_id: ID, tenant: ID, lifted: BOOLEAN }),
  },
});
