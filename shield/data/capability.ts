/** What the data of tenants and users bring to a Shield: to find, export and erase them. */
import type { Capability } from "../capability.ts";
import { DATA_ROUTES } from "./api.ts";
import { dataStores } from "./stores.ts";

const TITLE = "what is kept of tenants and users: found, exported, erased";

/** What is kept of tenants and users. */
export const DATA: Capability = {
  name: "data",
  title: TITLE,
  admin: { tables: [DATA_ROUTES], tags: { data: TITLE } },
  start({ config, spine, log, now }, { node_id, logs, running, cluster: { asker } }) {
    const stores = dataStores({ spine, logs, blocks: running.keeps(), asker });
    const part = log.child({ part: "data" });
    const context = { config, stores, asker, spine, node_id, now, log: part };
    return { routes: DATA_ROUTES.serve(context) };
  },
};
