/** What the data of tenants and users bring to a Shield: to find, export and erase them. */
import { INSPECT } from "../admin/inspect/capability.ts";
import type { Capability } from "../capability.ts";
import { JOURNAL } from "../journal/capability.ts";
import { USAGE } from "../usage/capability.ts";
import { DATA_ROUTES } from "./api.ts";
import { dataStores } from "./stores.ts";

const TITLE = "what is kept of tenants and users: found, exported, erased";

/** What is kept of tenants and users. */
export const DATA: Capability = {
  name: "data",
  title: TITLE,
  admin: { tables: [DATA_ROUTES], tags: { data: TITLE } },
  start(env, { node_id, logs, running }) {
    const [journal, usage] = [running.of(JOURNAL), running.of(USAGE)];
    const { spine, config: { ledger }, log } = env;
    const bounds = { max_bytes: ledger.log_bytes, max_age_seconds: ledger.seconds };
    const stores = dataStores({
      ...{ spine, logs, journal: journal?.admin.place, asker: running.of(INSPECT)?.asker },
      blocks: [
        ...(usage === undefined ? [] : [
          {
            name: "usage",
            open: () => usage.admin.place.store(),
            stays: "sums of the tenant, until [usage] retention_days",
          } as const,
        ]),
        ...(ledger.enabled && ledger.store
          ? [
            {
              name: "ledger",
              open: () => spine.blocks("ledger", bounds),
              stays: "who was sent what, without payloads, until [ledger] seconds",
            } as const,
          ]
          : []),
      ],
    });
    return {
      routes: DATA_ROUTES.serve({ stores, spine, node_id, log: log.child({ part: "data" }) }),
    };
  },
};
