/** The descriptions of `/v1/data` of the admin API. */
import {
  abouts,
  COUNT,
  ID,
  inQuery,
  list,
  object,
  TENANT,
  TEXT,
} from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";

const OFFSET: Schema = { type: "string", pattern: "^[0-9]{1,16}$" };
const WHOSE = [
  TENANT,
  inQuery("user", "of this user", TEXT),
  inQuery("room", "of this room and what stands beside it"),
  inQuery("offset", "this one message of the room", OFFSET),
];

/** The descriptions of the routes. */
export const DATA_ABOUT = abouts({
  findData: {
    tag: "data",
    summary:
      "what the bus keeps of a tenant, a user, a room or a message, by store; what stays, and why",
    query: WHOSE,
    answer: object({
      node_id: ID,
      tenant: ID,
      stores: list(
        object({ store: TEXT, where: TEXT, count: COUNT, bytes: COUNT, stays: TEXT }, ["stays"]),
      ),
      kept: { type: "object", additionalProperties: TEXT },
    }),
  },
  exportData: {
    tag: "data",
    summary: "all of it, one JSON object a line; the last line says how many there were",
    query: WHOSE,
    answer: TEXT,
    type: "application/x-ndjson",
  },
  eraseData: {
    tag: "data",
    summary: "erases it: nobody is served it a second later, and recovery over the hole is refused",
    answer: object({
      node_id: ID,
      tenant: ID,
      stores: list(object({ store: TEXT, erased: COUNT, failed: TEXT }, ["failed"])),
    }),
  },
});
