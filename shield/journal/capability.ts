/** What journal brings to a Shield. */
import type { Capability } from "../capability.ts";
import type { LiveKey } from "../../shared/config/keys/live_keys.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { payloadHash } from "../../shared/proof/entry.ts";
import { MIRROR } from "../mirror/capability.ts";
import { QUOTA_KEYS } from "../rates/rates.ts";
import { RATE_KEYS } from "../rates/rates.ts";
import { JOURNAL_ROUTES } from "./admin/api.ts";
import { linesOf } from "./admin/read.ts";
import { type StartedJournal, startJournal } from "./start.ts";

/** What is written, and what every decision depends on. */
const KEYS: readonly LiveKey[] = [
  ...RATE_KEYS,
  ...QUOTA_KEYS,
  "journal.journal",
  "journal.journal_share",
  "journal.journal_ttl_seconds",
  "journal.journal_payload",
  "journal.tenants",
];

/** What was decided about messages. */
export const JOURNAL: Capability<StartedJournal> = {
  name: "journal",
  title: "what was decided about messages",
  admin: { tables: [JOURNAL_ROUTES], tags: { journal: "what was decided about messages" } },
  open(env, { node_id, life, rooms: { classes }, settings, running }) {
    const mirror = running.of(MIRROR)?.admin?.rules;
    const started = startJournal({ ...env, node_id, life, classes, settings, mirror });
    const { journal, admin, renew, close } = started;
    const { place } = admin;
    return {
      own: started,
      gives: { journal },
      observer: journal,
      keeps: [{
        name: "journal",
        open: () => place.store(),
        stays: "all decisions, until [journal] retention_days: a room is not erased from them",
        eraseUser: async (tenant_id, user_id) =>
          await (await place.keys()).erase(tenant_id, user_id, place.max_age_ms),
        leavesOf: async (tenant_id, block) =>
          (await linesOf({ keys: () => place.keys() }, tenant_id, block))
            .map((line) => ({ sha256: payloadHash(canonicalJson(line)) })),
      }],
      start: ({ logs }) => ({
        routes: JOURNAL_ROUTES.serve({ ...admin, logs }),
        follows: [{ keys: KEYS, renew }],
      }),
      close,
    };
  },
};
