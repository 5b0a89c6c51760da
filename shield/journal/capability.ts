/** What journal brings to a Shield. */
import type { Capability } from "../capability.ts";
import { JOURNAL_ROUTES } from "./admin/api.ts";

/** What was decided about messages. */
export const JOURNAL: Capability = {
  name: "journal",
  title: "what was decided about messages",
  admin: { tables: [JOURNAL_ROUTES], tags: { journal: "what was decided about messages" } },
  start: (_env, { journal, durable }) => ({
    routes: JOURNAL_ROUTES.serve({ ...journal.admin, logs: durable.logs }),
  }),
};
