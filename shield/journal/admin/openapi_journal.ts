/** The descriptions of the journal's admin API. */
import {
  abouts,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  object,
  TENANT,
  TEXT,
} from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";
import { OUTCOMES } from "./query.ts";

/** Lines of one answer at most. */
export const LINES_MAX = 10_000;
const TIME: Schema = { type: "integer", minimum: 0 };
const TIME_OR_NULL: Schema = { type: ["number", "null"] };

/** The descriptions of the journal's routes. */
export const JOURNAL_ABOUT = abouts({
  readJournal: {
    tag: "journal",
    summary:
      "decisions with their inputs, one a line, the oldest block first; the last line says where to go on",
    query: [
      TENANT,
      inQuery("room", "decisions about this room"),
      inQuery("user", "about this user", TEXT),
      inQuery("connection", "about this connection"),
      inQuery("trace", "of this W3C trace", { type: "string", pattern: "^[0-9a-f]{32}$" }),
      inQuery("message_id", "about this message", TEXT),
      inQuery("policy", "for which this policy was asked", TEXT),
      inQuery("outcome", "how they ended", { type: "string", enum: [...OUTCOMES] }),
      inQuery("since_ms", "not before this time", TIME),
      inQuery("until_ms", "not after this time", TIME),
      inQuery("after", "`next` of the answer before", TEXT),
      inQuery("limit", "how many lines", {
        type: "integer",
        minimum: 1,
        maximum: LINES_MAX,
        default: 1_000,
      }),
      inQuery("newest", "1: the newest lines, still the oldest block first; without `after`", {
        type: "string",
        enum: ["0", "1"],
        default: "0",
      }),
      inQuery("payload", "1: with the payloads that stand in rooms' logs", {
        type: "string",
        enum: ["0", "1"],
        default: "0",
      }),
    ],
    answer: TEXT,
    type: "application/x-ndjson",
  },
  journalStatus: {
    tag: "journal",
    summary: "how much of a tenant's journal there is",
    query: [TENANT],
    answer: object({
      node_id: ID,
      tenant: ID,
      blocks: COUNT,
      bytes: COUNT,
      first_ms: TIME_OR_NULL,
      last_ms: TIME_OR_NULL,
    }),
  },
  eraseFromJournal: {
    tag: "journal",
    summary: "deletes the keys of a user, so that nobody can read what the journal says of it",
    answer: object({ node_id: ID, tenant: ID, erased: BOOLEAN }),
  },
});
