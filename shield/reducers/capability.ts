/** The reducers capability of a Shield. */
import { ArqonError } from "@arqon/proto";
import {
  callerHeaders,
  CLAIMS_UNITS_MAX,
  pickClaims,
} from "../../shared/records/caller_headers.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import type { Identity } from "../auth/identity.ts";
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
  open: () => ({ gives: { callerOf } }),
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

/** The caller of a command in a room with a reducer. Throws `invalid-command` for claims that are too long. */
function callerOf(
  { role, claims }: Identity,
  { reducer, reducer_claims }: Pick<RoomClass, "reducer" | "reducer_claims">,
): SpineHeaders | undefined {
  if (reducer === undefined) return undefined;
  const picked = pickClaims(reducer_claims, claims);
  const units = Object.entries(picked).reduce(
    (sum, [name, value]) => sum + name.length + value.length,
    0,
  );
  if (units <= CLAIMS_UNITS_MAX) return callerHeaders({ role, claims: picked });
  const names = Object.keys(picked).join(", ");
  const detail =
    `the token's claims ${names} have ${units} characters; at most ${CLAIMS_UNITS_MAX}`;
  throw new ArqonError("invalid-command", detail);
}
