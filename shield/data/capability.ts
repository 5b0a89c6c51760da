/** The data capability of a Shield: finds, exports and erases the data of tenants and users. */
import type { Capability } from "../capability.ts";
import { DATA_ROUTES } from "./api.ts";
import { GROWING } from "../growing/capability.ts";
import { ERASED_MAX, ForgetAnswer, forgetHere } from "../../shared/cluster/cluster_erase.ts";
import type { OnErased } from "./buckets.ts";
import { dataStores } from "./stores.ts";

const TITLE = "finds, exports and erases the data of tenants and users";

/** The capability, for a Shield's list. */
export const DATA: Capability = {
  name: "data",
  title: TITLE,
  admin: { tables: [DATA_ROUTES], tags: { data: TITLE } },
  start({ config, spine, log, now }, { node_id, logs, running, cluster: { asker } }) {
    const onErased: OnErased = async (tenant, entries) => {
      const growing = running.of(GROWING);
      const erased = growing?.erased(entries) ?? [];
      for (let at = 0; at < erased.length; at += ERASED_MAX) {
        const params = { tenant, messages: erased.slice(at, at + ERASED_MAX) };
        growing?.forget(params);
        await asker?.ask("forget_growing", ForgetAnswer, { params, of: "shield" });
      }
    };
    const stores = dataStores({ spine, now, logs, blocks: running.keeps(), asker, onErased });
    const part = log.child({ part: "data" });
    const context = { config, stores, asker, spine, node_id, now, log: part };
    const forget = (params: unknown) =>
      forgetHere((tenant_id) => running.forget(tenant_id), params);
    const forgetGrowing = (params: unknown) => {
      running.of(GROWING)?.forget(params);
      return { forgotten: true };
    };
    return {
      routes: DATA_ROUTES.serve(context),
      questions: { forget, forget_growing: forgetGrowing },
    };
  },
};
