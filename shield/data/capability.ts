/** The data capability of a Shield: finds, exports and erases the data of tenants and users. */
import type { Capability } from "../capability.ts";
import { DATA_ROUTES } from "./api.ts";
import { GROWING } from "../growing/capability.ts";
import { forgetHere } from "../../shared/cluster/cluster_erase.ts";
import type { OnErased } from "./buckets.ts";
import { dataStores } from "./stores.ts";

const TITLE = "finds, exports and erases the data of tenants and users";

/** The capability, for a Shield's list. */
export const DATA: Capability = {
  name: "data",
  title: TITLE,
  admin: { tables: [DATA_ROUTES], tags: { data: TITLE } },
  start({ config, spine, log, now }, { node_id, logs, running, cluster: { asker } }) {
    const onErased: OnErased = (entries) => running.of(GROWING)?.erased(entries);
    const stores = dataStores({ spine, logs, blocks: running.keeps(), asker, onErased });
    const part = log.child({ part: "data" });
    const context = { config, stores, asker, spine, node_id, now, log: part };
    const forget = (params: unknown) =>
      forgetHere((tenant_id) => running.forget(tenant_id), params);
    return { routes: DATA_ROUTES.serve(context), questions: { forget } };
  },
};
