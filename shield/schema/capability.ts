/** The schemas capability of a Shield: Protobuf schemas of events. */
import type { Capability } from "../capability.ts";
import { SCHEMA_ROUTES } from "./admin/admin_api.ts";
import { SCHEMA_ID_PATTERN } from "../../shared/schema_id.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { SCHEMA_SCHEMAS, VERSION } from "./admin/admin_api.ts";
import { type StartedSchemas, startSchemas } from "./start.ts";

/** The capability, for a Shield's list. */
export const SCHEMAS: Capability<StartedSchemas> = {
  name: "schemas",
  title: "Protobuf schemas of events",
  tenant: ["mappings"],
  stores: ["ARQON_SCHEMAS"],
  off: ({ platform }) => platform.registry.enabled ? undefined : "platform.registry",
  admin: {
    tables: [SCHEMA_ROUTES],
    tags: { schemas: "Protobuf schemas of events" },
    names: {
      schema: inPath("schema", "the schema's id", { type: "string", pattern: SCHEMA_ID_PATTERN }),
      version: inPath("version", "a number, or latest", VERSION),
    },
    schemas: SCHEMA_SCHEMAS,
  },
  async open(env, { settings, running }) {
    const { candidates } = running.given;
    const schemas = await startSchemas({ ...env, settings, candidates, log: env.registry_log });
    const { gate, checks, status, close } = schemas;
    return {
      own: schemas,
      gives: { schemas: gate },
      checks,
      status,
      close,
      start: () => ({
        routes: SCHEMA_ROUTES.serve(schemas.admin),
        follow: schemas.follow,
      }),
    };
  },
};
