/** What inspect brings to a Shield. */
import type { Capability } from "../../capability.ts";
import { inPath } from "../../openapi/openapi_parts.ts";
import { CLUSTER_SCHEMAS, INSPECT_ROUTES } from "./api.ts";
import type { ListContext } from "./lists.ts";

import { startInspect } from "./start.ts";

/** What all processes of the bus do now, and what operators ask of them. */
export const INSPECT: Capability<ListContext> = {
  name: "inspect",
  title: "what all processes of the bus do now, and what operators ask of them",
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
    return {
      own: admin,
      routes: INSPECT_ROUTES.serve(admin),
      ...{ questions, drain },
      [Symbol.asyncDispose]: () => Promise.resolve(close()),
    };
  },
};
