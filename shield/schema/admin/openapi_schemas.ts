/** What the routes of the admin API about schemas say of themselves. */
import { COMPATIBILITY_MODES } from "../../../shared/schema_id.ts";
import {
  abouts,
  BOOLEAN,
  COUNT,
  inQuery,
  list,
  object,
  ref,
  TEXT,
} from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";

const OBJECT: Schema = { type: "object" };

/** What several paths use. */
export const SCHEMA_SCHEMAS: Readonly<Record<string, Schema>> = {
  Registered: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
};

const COMPATIBILITY = inQuery("compatibility", "what a new version is checked for", {
  type: "string",
  enum: [...COMPATIBILITY_MODES],
});
/** A version of a schema. */
export const VERSION: Schema = { type: "string", pattern: "^(latest|[1-9][0-9]{0,8})$" };

/** Routes of schemas. */
export const SCHEMAS_ABOUT = abouts({
  listSchemas: {
    tag: "schemas",
    summary: "every schema and what of it is in force here",
    answer: object({ schemas: list(OBJECT), refused: list(OBJECT) }),
  },
  getSchema: {
    tag: "schemas",
    summary: "one schema and its versions",
    answer: object({ schema_id: TEXT, compatibility: TEXT, versions: list(OBJECT) }),
    refusals: [404],
  },
  deleteSchema: {
    tag: "schemas",
    summary: "deletes a schema to which nothing is mapped, with all of its versions",
    answer: object({ schema_id: TEXT, deleted: BOOLEAN, version: COUNT, versions: COUNT }),
    refusals: [404, 409],
  },
  registerSchema: {
    tag: "schemas",
    summary: "registers a version; without a body changes only the compatibility",
    query: [COMPATIBILITY],
    answer: ref("Registered"),
    refusals: [404, 409],
  },
  checkSchema: {
    tag: "schemas",
    summary: "what registering would say",
    query: [COMPATIBILITY],
    answer: object({ schema_id: TEXT, compatible: BOOLEAN, findings: list(OBJECT) }),
    refusals: [409],
  },
  stageSchema: {
    tag: "schemas",
    summary: "stores a version that is not in force until an apply of a tenant's state names it",
    query: [COMPATIBILITY],
    answer: object({ schema_id: TEXT, after: COUNT, version: COUNT, sha256: TEXT }),
    refusals: [409],
  },
  rollbackSchema: {
    tag: "schemas",
    summary: "puts an earlier version in force again, as the next one",
    query: [inQuery("version", "which; absent: the one before", { type: "integer", minimum: 1 })],
    answer: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
    refusals: [404, 409],
  },
  validateData: {
    tag: "schemas",
    summary: "what the gate would say of an event's data",
    query: [
      inQuery("message", "full name of the message", TEXT),
      inQuery("version", "which version; the latest by default", VERSION),
      inQuery("unknown_fields", "what a field outside the schema does", {
        type: "string",
        enum: ["allow", "warn", "refuse"],
        default: "allow",
      }),
    ],
    answer: object({ schema_id: TEXT, valid: BOOLEAN }),
    refusals: [404],
  },
  getSchemaVersion: {
    tag: "schemas",
    summary: "a version's gzipped FileDescriptorSet as it was registered",
    answer: { type: "string", format: "binary" },
    type: "application/gzip",
    refusals: [404],
  },
});

const SETTINGS = ref("TenantSettings");

/** Routes of mappings. */
export const MAPPINGS_ABOUT = abouts({
  getMappings: {
    tag: "schemas",
    summary: "which message the events of which subject must be",
    answer: SETTINGS,
  },
  setMappings: {
    tag: "schemas",
    summary: "puts one mapping beside the others, or all in their place",
    answer: SETTINGS,
    refusals: [404, 409],
  },
  removeMappings: {
    tag: "schemas",
    summary: "removes the mapping of a subject, or all of them",
    query: [inQuery("subject", "only of this subject", TEXT)],
    answer: SETTINGS,
    refusals: [409],
  },
});
