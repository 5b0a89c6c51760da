/** The inspect capability of a Shield. */
import type { Capability } from "../../capability.ts";
import { inPath } from "../../openapi/openapi_parts.ts";
import { CLUSTER_SCHEMAS, INSPECT_ROUTES } from "./api.ts";
import type { ListContext } from "./lists.ts";
import { startInspect } from "./start.ts";
import { registerTenantSeries } from "./tenant_series.ts";

/** State of all processes of the bus, and orders of operators to them. */
export const INSPECT: Capability<ListContext> = {
  name: "inspect",
  title: "the state of all processes of the bus, and orders to them",
  admin: {
    tables: [INSPECT_ROUTES],
    tags: {},
    names: {
      connection: inPath("connection", "a connection's id"),
      object: inPath("object", "program-ID, module-SHA256, or one of `snapshots`"),
    },
    schemas: CLUSTER_SCHEMAS,
  },
  start(env, parts) {
    const { admin, questions, drain, close } = startInspect(env, parts);
    registerTenantSeries(parts.tenants, env.config.telemetry.tenant_series, env.registry);
    return {
      own: admin,
      routes: INSPECT_ROUTES.serve(admin),
      questions,
      drain,
      [Symbol.asyncDispose]: () => Promise.resolve(close()),
    };
  },
};
