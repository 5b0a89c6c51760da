/** The descriptions of the journal's admin API. */
import { abouts, BOOLEAN, COUNT, ID, object, TENANT } from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";

const TIME_OR_NULL: Schema = { type: ["number", "null"] };

/** The descriptions of the journal's routes. */
export const JOURNAL_ABOUT = abouts({
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
