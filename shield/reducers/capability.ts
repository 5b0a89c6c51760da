/** The reducers capability of a Shield. */
import type { Capability } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { USAGE } from "../usage/capability.ts";
import { createReducerCheck, REDUCER_ROUTES } from "./api.ts";
import { reducersKind } from "./reducers_kind.ts";

/** Room programs. */
export const REDUCERS: Capability = {
  name: "reducers",
  title: "room programs",
  config: ["reducers"],
  room_class: ["reducer", "reducer_claims", "reducer_visible", "reducer_public"],
  stores: ["ARQON_REDUCERS", "ARQON_REDUCER_OBJECTS", "ARQON_REDUCER_DEPLOYS"],
  actions: {
    "room.values": "subscribe",
    "room.module": "subscribe",
    "room.past": "nobody",
  },
  admin: {
    tables: [REDUCER_ROUTES],
    tags: { reducers: "room programs" },
    names: { module: inPath("module", "its sha256") },
  },
  start({ config, spine, now, ...env }, { node_id, running, rooms: { classes } }) {
    const { check, close: drain } = createReducerCheck();
    const log = env.log.child({ part: "reducers" });
    const { reducers, limits } = config;
    const requireBudget = async (tenant_id: string) =>
      await running.of(USAGE)?.admin.budgets.takeRead(tenant_id);
    const own = { requireBudget, spine, classes, reducers, limits, check, now, node_id, log };
    return { kinds: { reducers: reducersKind(own) }, routes: REDUCER_ROUTES.serve(own), drain };
  },
};
