/** The schemas capability of a Shield: Protobuf schemas of events. */
import type { Capability } from "../capability.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { COMPATIBILITY_MODES, SCHEMA_ID_PATTERN } from "../../shared/schema_id.ts";
import {
  BOOLEAN,
  COUNT,
  inPath,
  inQuery,
  integer,
  list,
  object,
  ref,
  TEXT,
} from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Env } from "../../shared/env.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import { randomFraction } from "../../shared/ids.ts";
import type { Making } from "../../shared/turns/making.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import { plural } from "../../shared/plural.ts";
import { type CandidateVerdicts, NO_SCHEMAS } from "../message/gates.ts";
import type { Settings } from "../settings/settings.ts";
import { Adoption, type RefusedPut } from "./registry/adoption.ts";
import {
  changeSchema,
  checkSchema,
  DATA,
  listSchemas,
  MAPPINGS,
  removeMappings,
  removeSchema,
  rollbackSchema,
  SET,
  SET_OR_NOTHING,
  setMappings,
  showMappings,
  showSchema,
  showVersion,
  stageSchema,
  validateData,
} from "./admin/admin_schemas.ts";
import type { Call, SchemaAdminContext } from "./admin/admin_schemas.ts";
import { SchemaCache } from "./registry/cache.ts";
import { createViolationLog, DeadLetters, Gate, Mappings } from "./gate.ts";
import type { ConfigMappings, SchemaGate } from "./gate.ts";
import { registerSchemaMetrics, type SchemaFigures, type SchemaTotals } from "./metrics.ts";
import { openSchemaStore, requireSchemaId, type SchemaStore } from "./registry/store.ts";
import { SetWorker } from "./registry/set_work.ts";
import { startVersionSweep } from "./registry/sweep.ts";
import { WorkingSet } from "./registry/working_set.ts";
import { ArqonError } from "@arqon/proto";
import { problemOf } from "../../shared/problem.ts";
import { AdminTable, withBody } from "../admin/routing/admin_routes.ts";
import type { Answering, RouteBody } from "../admin/routing/admin_routes.ts";
import { IncompatibleError, MappedError } from "./registry/register.ts";

interface SchemaStart extends Pick<Env, "spine" | "registry" | "now" | "monotonic_ms" | "random"> {
  readonly config: Pick<Config, "platform">;
  /** The settings, which must be ready: tenants' mappings are known. */
  readonly settings: Settings;
  readonly candidates: CandidateVerdicts;
  /** A log of component `registry`. */
  readonly log: Logger;
}

/** A running schema check, and its admin API for operators. */
export interface StartedSchemas {
  readonly gate: SchemaGate;
  /** The context of its admin API; undefined if the schema check is disabled. */
  readonly admin: SchemaAdminContext | undefined;
  checks(): Record<string, HealthCheck>;
  status(): Record<string, unknown>;
  /** Applies the mappings of a changed configuration. */
  follow(changes: ConfigChanges): void;
  close(): void;
}

const DISABLED: StartedSchemas = {
  gate: { ...NO_SCHEMAS, schemaOf: () => "none" },
  admin: undefined,
  checks: () => ({}),
  status: () => ({}),
  follow: () => {},
  close: () => {},
};

/** The parts of the check, without those that follow the settings. */
interface Parts {
  readonly mappings: Mappings;
  readonly cache: SchemaCache;
  readonly working: WorkingSet;
  readonly totals: SchemaTotals;
  readonly puts: Adoption;
  readonly loads: SetWorker;
  /** Registers schemas for admins and other tools; loading never waits for it. */
  readonly checks: SetWorker;
}

function figuresOf(
  { cache, mappings, working, puts }: Parts,
  monotonic_ms: () => number,
): SchemaFigures {
  let packed_bytes = 0;
  const messages = { current: 0, outdated: 0, missing: 0 };
  const ages_seconds: [string, number][] = [];
  for (const schema of cache.schemas.values()) {
    const age_ms = monotonic_ms() - schema.confirmed_ms;
    packed_bytes += schema.packed_bytes;
    if (schema.confirmed_ms > 0) ages_seconds.push([schema.schema_id, age_ms / 1_000]);
    for (const { compiled, problem } of schema.messages) {
      messages[compiled === undefined ? "missing" : problem === "" ? "current" : "outdated"]++;
    }
  }
  const { tenant_mappings } = mappings;
  const schemas = cache.schemas.size;
  const refused = puts.refused();
  return { ages_seconds, schemas, messages, tenant_mappings, packed_bytes, working, refused };
}

/** Opens the parts; from now on puts of other tools are judged. */
function openParts(
  { config, log, registry, now, monotonic_ms, random }: SchemaStart,
  store: SchemaStore,
): Parts {
  const options = config.platform.registry;
  const { compiled_bytes, restore_ms } = options;
  const working = new WorkingSet({ compiled_bytes, restore_ms, monotonic_ms });
  const mappings = new Mappings(options.mappings, options);
  const totals = registerSchemaMetrics(registry, () => figuresOf(parts, monotonic_ms));
  const loads = new SetWorker();
  const checks = new SetWorker();
  const { message_parts, kv_bucket, versions: versions_max } = options;
  const ttl_ms = options.cache_ttl_seconds * 1_000;
  const cache = new SchemaCache({
    store,
    tools: { work: loads.work, message_parts },
    log,
    monotonic_ms,
    ttl_ms,
    schemas_max: options.schemas,
    working,
    onLoaded: (outcome) => void totals.loads[outcome]++,
  });
  const puts = new Adoption({
    store,
    work: checks.work,
    log,
    now,
    kv_bucket,
    versions_max,
    random: () => randomFraction(random),
    mapped: (schema_id) => mappings.messagesOf(schema_id),
    listed_ms: ttl_ms,
    onPut: (outcome) => void totals.puts[outcome]++,
    onHistory: (schema_id) => cache.refresh(schema_id),
  });
  const parts = { mappings, cache, working, totals, puts, loads, checks };
  return parts;
}

/**
 * Starts the schema check. Resolves after every mapped schema was read once. Rejects with `spine-unavailable` if the
 * bucket cannot be opened; a schema that cannot be loaded does not prevent the start.
 */
export async function startSchemas(start: SchemaStart): Promise<StartedSchemas> {
  const { config, spine, settings, log, now, monotonic_ms } = start;
  const options = config.platform.registry;
  if (!options.enabled) return DISABLED;
  const store = await openSchemaStore(spine, options.kv_bucket);
  const parts = openParts(start, store);
  const { mappings, cache, totals, puts, loads, checks } = parts;
  const pending = new FairBound(options.dead_letter_bytes);
  const gate = new Gate({
    ...parts,
    log: createViolationLog(log, now),
    dead_letters: new DeadLetters({ spine, totals, pending }),
    candidates: start.candidates,
  });
  const since_ms = now();
  await puts.ready;
  const random = () => randomFraction(start.random);
  const { registry } = start;
  const swept = { log, registry, monotonic_ms, random };
  const sweep = await startVersionSweep(spine, options.kv_bucket, swept);
  const apply = applying(() => cache.wanting(mappings.all()), gate);
  const stop = followSettings({ settings, mappings, log, apply });
  cache.want(mappings.all());
  await cache.settled();
  const { versions: versions_max, message_parts } = options;
  const shared = { store, cache, puts, settings, mappings, log };
  const common = { ...shared, now, monotonic_ms, versions_max };
  const figures = () => figuresOf(parts, monotonic_ms);
  return {
    gate,
    admin: { ...common, work: checks.work, message_parts },
    checks: () => ({ schemas: { ok: true, since_ms, detail: detailOf(figures()) } }),
    status: () => {
      const { schemas, messages, tenant_mappings, refused } = figures();
      const config_mappings = options.mappings.length;
      return { schemas, messages, tenant_mappings, config_mappings, refused: refused.length };
    },
    follow: (changes) =>
      changes.follow(
        ["platform.registry.mappings"],
        (config: ConfigMappings) => {
          mappings.replace(config);
          apply();
        },
        ({ platform }) => mappings.compiling(platform.registry.mappings),
      ),
    close() {
      stop();
      sweep.close();
      puts.close();
      cache.close();
      loads.close();
      checks.close();
    },
  };
}

/** The detail of the health check. A missing schema refuses its own subjects only. */
function detailOf({ schemas, messages: { outdated, missing }, refused }: SchemaFigures): string {
  const trouble = [
    ...(missing === 0 ? [] : [`${plural(missing, "message")} without a schema`]),
    ...(outdated === 0 ? [] : [`${outdated} out of date`]),
    ...(refused.length === 0 ? [] : [refusedText(refused)]),
  ];
  return [plural(schemas, "schema"), ...trouble].join(", ");
}

/** The most refused puts that a detail names with their reasons. */
const SHOWN_MAX = 3;

function refusedText(refused: readonly RefusedPut[]): string {
  const shown = refused.slice(0, SHOWN_MAX).map(({ schema_id, problem }) =>
    `${schema_id}: ${problem.slice(0, 200)}`
  );
  const more = refused.length > SHOWN_MAX ? "; …" : "";
  return `${refused.length} refused in the bucket (${shown.join("; ")}${more})`;
}

interface Following extends Pick<Env, "log"> {
  readonly settings: Settings;
  readonly mappings: Mappings;
  /** Called when the mappings have changed. */
  readonly apply: () => void;
}

/** Puts tenants' mappings in force, now and whenever they change. All known ones come into force in one step. */
function followSettings({ settings, mappings, log, apply }: Following): () => void {
  let starting = true;
  const stop = settings.onChange((tenant_id, { mappings: wanted }) => {
    if (!starting && mappings.has(tenant_id, wanted)) return;
    const problem = mappings.set(tenant_id, wanted);
    if (problem !== undefined) {
      log.error("a tenant's mappings cannot be used", { error: problem, tenant_id });
    }
    if (!starting) apply();
  });
  for (const tenant_id of settings.tenants()) {
    const problem = settings.problem(tenant_id);
    // Former mappings are unknown, and their subjects must not pass unchecked.
    if (problem !== undefined && settings.get(tenant_id).version === 0) {
      mappings.refuse(tenant_id, "the tenant's settings cannot be read");
    }
  }
  starting = false;
  return stop;
}

/** Mappings in one piece: all tenants have up to 100,000. */
const A_PIECE = 512;

/** Puts changed mappings in force, a large number in slices; what changes meanwhile follows. */
function applying(put: () => Making<void>, gate: Gate): () => void {
  let is_running = false;
  let is_due = false;
  const run = async () => {
    is_running = true;
    try {
      while (is_due) {
        is_due = false;
        gate.forget();
        await inPieces(STRANGERS, put(), A_PIECE);
        gate.forget();
      }
    } finally {
      is_running = false;
    }
  };
  return () => {
    is_due = true;
    if (!is_running) void run();
  };
}

const OBJECT: Schema = { type: "object" };

/** Shared by several paths. */
const SCHEMA_SCHEMAS: Readonly<Record<string, Schema>> = {
  Registered: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
};

const COMPATIBILITY = inQuery("compatibility", "compatibility mode of new versions", {
  type: "string",
  enum: [...COMPATIBILITY_MODES],
});
const VERSION: Schema = { type: "string", pattern: "^(latest|[1-9][0-9]{0,8})$" };

const SETTINGS = ref("TenantSettings");

const FINDINGS_SHOWN = 200;
/** The most mappings in one refusal. */
const MAPPINGS_SHOWN = 100;

/** Answers one method of one path. */
type Handler = (context: SchemaAdminContext, call: Call) => Promise<Response>;

type Scope = "bus" | "shared" | "own" | "tenant-in-path";

/** A method; a schema in its path is checked before anything is read. */
const of = <B>(
  scope: Scope,
  handler: (context: SchemaAdminContext, call: Call, body: B) => Promise<Response>,
  body?: RouteBody<SchemaAdminContext, B>,
): Answering<SchemaAdminContext> => {
  const { handle } = body === undefined ? { handle: handler as Handler } : withBody(body, handler);
  return {
    scope,
    ...(body && { body }),
    handle(context, call) {
      const { schema, tenant = "", version: rest = "" } = call.names;
      if (schema !== undefined) requireSchemaId(schema);
      return handle(context, { ...call, name: schema ?? tenant, rest });
    },
  };
};

/**
 * The routes of the schemas' admin API. Schema ids belong to the whole bus: registering under one affects every tenant
 * that is mapped to it. Stored schemas are no secret: any admin who knows an id may read it and try data.
 */
export const SCHEMA_ROUTES = new AdminTable<SchemaAdminContext>("schemas", {
  "GET /v1/schemas": {
    id: "listSchemas",
    summary: "lists the schemas, and their state on this Shield",
    answer: object({ schemas: list(OBJECT), refused: list(OBJECT) }),
    ...of("own", listSchemas),
  },
  "GET /v1/schemas/{schema}": {
    id: "getSchema",
    summary: "shows a schema and its versions",
    answer: object({ schema_id: TEXT, compatibility: TEXT, versions: list(OBJECT) }),
    refusals: [404],
    ...of("shared", showSchema),
  },
  "PUT /v1/schemas/{schema}": {
    audit: "schema.push",
    id: "registerSchema",
    summary: "registers a version; without a body, changes only the compatibility",
    query: [COMPATIBILITY],
    answer: ref("Registered"),
    refusals: [404, 409],
    ...of("bus", changeSchema, SET_OR_NOTHING),
  },
  "DELETE /v1/schemas/{schema}": {
    audit: "schema.delete",
    id: "deleteSchema",
    summary: "deletes an unmapped schema with all of its versions",
    answer: object({ schema_id: TEXT, deleted: BOOLEAN, version: COUNT, versions: COUNT }),
    refusals: [404, 409],
    ...of("bus", removeSchema),
  },
  "POST /v1/schemas/{schema}/check": {
    audit: { refused: "schema.check" },
    id: "checkSchema",
    summary: "checks a version as a registration would, without storing it",
    query: [COMPATIBILITY, inQuery("messages", "messages that mappings will name", TEXT)],
    answer: object({ schema_id: TEXT, compatible: BOOLEAN, findings: list(OBJECT) }),
    refusals: [409],
    ...of("bus", checkSchema, SET),
  },
  "POST /v1/schemas/{schema}/rollback": {
    audit: "schema.rollback",
    id: "rollbackSchema",
    summary: "rolls a schema back: an earlier version becomes the next one",
    query: [
      inQuery("version", "the version to restore; absent: the previous one", integer(1)),
    ],
    answer: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
    refusals: [404, 409],
    ...of("bus", rollbackSchema),
  },
  "PUT /v1/schemas/{schema}/staged": {
    audit: "schema.stage",
    id: "stageSchema",
    summary: "stages a version, which an apply of a tenant's state can activate",
    query: [COMPATIBILITY],
    answer: object({ schema_id: TEXT, after: COUNT, version: COUNT, sha256: TEXT }),
    refusals: [409],
    ...of("bus", stageSchema, SET),
  },
  "POST /v1/schemas/{schema}/validate": {
    audit: { refused: "schema.validate" },
    id: "validateData",
    summary: "checks an event's data as the gate would",
    query: [
      inQuery("message", "full name of the message", TEXT),
      inQuery("version", "the version; the latest by default", VERSION),
      inQuery("unknown_fields", "the treatment of fields outside the schema", {
        type: "string",
        enum: ["allow", "warn", "refuse"],
        default: "allow",
      }),
    ],
    answer: object({ schema_id: TEXT, valid: BOOLEAN }),
    refusals: [404],
    ...of("shared", validateData, DATA),
  },
  "GET /v1/schemas/{schema}/versions/{version}": {
    id: "getSchemaVersion",
    summary: "downloads a version's gzipped FileDescriptorSet, as registered",
    answer: { type: "string", format: "binary" },
    type: "application/gzip",
    refusals: [404],
    ...of("shared", showVersion),
  },
  "GET /v1/tenants/{tenant}/mappings": {
    id: "getMappings",
    summary: "lists the mappings of subjects to messages",
    answer: SETTINGS,
    ...of("tenant-in-path", showMappings),
  },
  "PUT /v1/tenants/{tenant}/mappings": {
    audit: "mapping.set",
    id: "setMappings",
    summary: "adds or replaces one mapping, or replaces all",
    answer: SETTINGS,
    refusals: [404, 409],
    ...of("tenant-in-path", setMappings, MAPPINGS),
  },
  "DELETE /v1/tenants/{tenant}/mappings": {
    audit: "mapping.remove",
    id: "removeMappings",
    summary: "removes the mapping of a subject, or all mappings",
    query: [inQuery("subject", "only of this subject", TEXT)],
    answer: SETTINGS,
    refusals: [409],
    ...of("tenant-in-path", removeMappings),
  },
}, refusalOf);

/** The answer to an error of this part. */
function refusalOf(error: unknown): Response | undefined {
  if (error instanceof IncompatibleError) return incompatible(error);
  return error instanceof MappedError ? stillMapped(error) : undefined;
}

/** The answer to a refusal, with members besides those that all refusals have. */
function refusal(error: ArqonError, members: Readonly<Record<string, unknown>>): Response {
  return new Response(JSON.stringify({ ...problemOf(error), ...members }), {
    status: error.code,
    headers: { "content-type": "application/problem+json" },
  });
}

function stillMapped({ message, mappings: all }: MappedError): Response {
  const mappings = all.slice(0, MAPPINGS_SHOWN).map(({ subject, message, mode }) => ({
    subject,
    message,
    mode,
  }));
  const truncated = mappings.length < all.length;
  return refusal(new ArqonError("settings-conflict", message), { mappings, truncated });
}

function incompatible({ message, check }: IncompatibleError): Response {
  const error = new ArqonError("schema-incompatible", message);
  const { compatibility, against } = check;
  const findings = check.findings.slice(0, FINDINGS_SHOWN);
  const truncated = findings.length < check.findings.length;
  return refusal(error, { compatibility, against, findings, truncated });
}

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
