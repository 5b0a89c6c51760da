/** What `GET /v1/why` says of itself. */
import { WayIn } from "../../journal/admin/way_in.ts";
import { WhyRead, WhyTold } from "../../../shared/cluster/cluster_why.ts";
import {
  abouts,
  answerOf,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  list,
  object,
  ref,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";

const { connection, refusal, read } = {
  connection: answerOf(
    WhyTold.shape.rows.element.extend({ node_id: WhyTold.shape.rows.element.shape.connection_id }),
  ),
  refusal: answerOf(
    WhyTold.shape.refusals.element.extend({
      node_id: WhyTold.shape.rows.element.shape.connection_id,
    }),
  ),
  read: answerOf(WhyRead.extend({ node_id: WhyTold.shape.rows.element.shape.connection_id })),
};

const MESSAGE = object({
  room_id: ID,
  offset: COUNT,
  trace_id: TEXT,
  twist_id: TEXT,
  message_id: TEXT,
  duplicate: BOOLEAN,
  heard: list(object({ node_id: ID, time_ms: UNIX_MS, here_ms: UNIX_MS })),
  stored_ms: UNIX_MS,
}, ["stored_ms"]);

/** The route of the ledgers. */
export const WHY_ABOUT = abouts({
  why: {
    tag: "cluster",
    summary: "how a message came in and its outcome, or those of a user's messages",
    query: [
      inQuery("tenant", "the tenant; absent: that of the token"),
      inQuery("trace", "messages with this trace id", TEXT),
      inQuery("twist", "the message with this X-Twist-ID", TEXT),
      inQuery("message_id", "messages with this message_id", TEXT),
      inQuery("room", "the room; needed beside offset and since_ms"),
      inQuery("offset", "the message with this offset", COUNT),
      inQuery("user", "their outcome for the connections of this user", TEXT),
      inQuery("connection", "their outcome for this connection"),
      inQuery("address", "handshakes and operations that were refused from there", TEXT),
      inQuery("after", "`way_in.next` of the answer before: reads on in the journal", TEXT),
      inQuery("since_ms", "with room and user or connection: all messages since then", UNIX_MS),
    ],
    answer: object({
      tenant_id: ID,
      way_in: { anyOf: [answerOf(WayIn), { type: "null" }] },
      messages: list(MESSAGE),
      connections: list(connection),
      reads: list(read),
      refusals: list(refusal),
      ledgers: list(object({
        node_id: ID,
        since_ms: { anyOf: [UNIX_MS, { type: "null" }] },
        now_ms: UNIX_MS,
        ahead_ms: { type: "integer" },
        within_ms: COUNT,
      })),
      here: ID,
      former: list(object({
        node_id: ID,
        life_ms: UNIX_MS,
        since_ms: UNIX_MS,
        until_ms: UNIX_MS,
        by_ms: UNIX_MS,
        state: { type: "string", enum: ["ended", "killed", "silent"] },
      })),
      nodes: ref("Nodes"),
      truncated: BOOLEAN,
    }),
    refusals: [429],
  },
});
