/** The descriptions of the audit log's admin API. */
import { AUDIT_OUTCOMES } from "../../shared/audit/outcome.ts";
import { AUDIT_ACTIONS } from "../admin/routing/audit_actions.ts";
import {
  abouts,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  LIMIT,
  list,
  object,
  TEXT,
  UNIX_MS,
} from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";

const HASH: Schema = { type: "string", pattern: "^[0-9a-f]{64}$" };
const PLACE: Schema = { type: "integer", minimum: 0 };
const orNull = (type: string): Schema => ({ type: [type, "null"] });

const ENTRY = object({
  format: { type: "integer", const: 1 },
  seq: { type: "integer", minimum: 1, description: "place in the log" },
  previous: { ...HASH, description: "hash of the entry before" },
  hash: { ...HASH, description: "SHA-256 of this entry as it is stored" },
  at_ms: UNIX_MS,
  node: { ...TEXT, description: "the Shield that wrote it" },
  request: { ...TEXT, description: "the same in both entries of one request" },
  outcome: { type: "string", enum: [...AUDIT_OUTCOMES] },
  action: { type: "string", enum: [...new Set(AUDIT_ACTIONS)] },
  tenant: { ...orNull("string"), description: "what it is about; null: no tenant, or all" },
  by: { ...orNull("string"), description: "user id; null: nobody with a good token" },
  by_tenant: orNull("string"),
  operator: BOOLEAN,
  from: { ...TEXT, description: "address; empty where it is an operator's and not yours to see" },
  method: TEXT,
  path: TEXT,
  about: { type: "object" },
  status: orNull("integer"),
  reason: orNull("string"),
  count: { ...COUNT, description: "so many alike, one of which is shown" },
});

/** The descriptions of the audit log's routes. */
export const AUDIT_ABOUT = abouts({
  listAudit: {
    tag: "audit",
    summary: "who did what on the admin API, the newest first",
    query: [
      inQuery("tenant", "about this tenant"),
      inQuery("actor", "by this user", TEXT),
      inQuery("action", "an action, or the part before its dot", TEXT),
      inQuery("outcome", "how it ended", { type: "string", enum: [...AUDIT_OUTCOMES] }),
      inQuery("since_ms", "not before this time", PLACE),
      inQuery("until_ms", "not after this time", PLACE),
      inQuery("after", "entries above this place, the oldest first", PLACE),
      inQuery("before", "entries below this place, the newest first", PLACE),
      LIMIT,
    ],
    answer: object({
      node_id: ID,
      entries: list(ENTRY),
      next: {
        type: ["integer", "null"],
        description: "after or before of the next page; null: there is no more",
      },
    }),
  },
  exportAudit: {
    tag: "audit",
    summary: "entries exactly as they are stored, one a line, the oldest first",
    query: [inQuery("after", "entries above this place", PLACE), LIMIT],
    answer: TEXT,
    type: "application/x-ndjson",
  },
});
