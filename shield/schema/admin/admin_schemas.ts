/** The admin API of schemas: list, show, register, check, download, try data. `capability.ts` has the paths. */
import { COMPATIBILITY_MODES, isCompatibilityMode } from "../../../shared/schema_id.ts";
import type { CompatibilityMode } from "../../../shared/schema_id.ts";
import { ArqonError } from "@arqon/proto";
import { DESCRIPTOR_LIMITS } from "../../../shared/schema/descriptors/descriptor_set.ts";
import { errorsOf } from "../../../shared/schema/compatibility/findings.ts";
import { canMatchBelow } from "../../../shared/subjects/subject_pattern.ts";
import { inTurn } from "../../admin/routing/admin_scope.ts";
import { type AdminCall, jsonBody, type RouteBody } from "../../admin/routing/admin_routes.ts";
import { readBytes, readValue } from "../../../shared/listeners/request_body.ts";
import {
  checkCandidate,
  deleteSchema,
  missingMessages,
  onSchema,
  register,
  rollBack,
  setCompatibility,
  stage,
} from "../registry/register.ts";
import { latestOf } from "../registry/store.ts";
import type { SchemaRecord, SchemaStore, SchemaVersion, StoredHead } from "../registry/store.ts";
import type { UnknownFields } from "../validation/message_schema.ts";
import type { Env } from "../../../shared/env.ts";
import { Section } from "../../settings/section.ts";
import type { Settings } from "../../settings/settings.ts";
import type { Adoption } from "../registry/adoption.ts";
import type { SchemaCache } from "../registry/cache.ts";
import type { Mappings } from "../gate.ts";
import { problemOfCut, type SetWork } from "../registry/set_work.ts";
import { within } from "../../../shared/within.ts";
import { z } from "zod";
import { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { TENANT_RULES_MAX } from "../../../shared/records/tenant_settings.ts";

/** One request, in its parts. */
export interface Call extends AdminCall {
  /** The schema or the tenant in the path; "" for a listing. */
  readonly name: string;
  /** The part of the path after the kind: a version. */
  readonly rest: string;
}

/** What the admin API needs of the process. */
export interface SchemaAdminContext extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly store: SchemaStore;
  /** Does long work on schemas without holding up messages. */
  readonly work: SetWork;
  /** `platform.registry.message_parts`. */
  readonly message_parts: number;
  readonly cache: SchemaCache;
  readonly puts: Pick<Adoption, "refused">;
  readonly mappings: Mappings;
  readonly settings: Settings;
  readonly versions_max: number;
}

/** The largest payload that `validate` takes, in bytes: the largest frame that a config allows. */
const PAYLOAD_BYTES = 16_777_216;
/** How long an answer waits until this process has read its own write, in ms. */
const IN_FORCE_MS = 5_000;
const UPLOAD_TYPES = ["application/gzip", "application/x-gzip", "application/octet-stream"];
const UNKNOWN_FIELDS: readonly string[] = ["allow", "warn", "refuse"];

/** Resolves once this process has checked every cached schema, or after a timeout. */
export async function settled({ cache }: Pick<SchemaAdminContext, "cache">): Promise<void> {
  await within(IN_FORCE_MS, cache.settled(), () => {});
}

/** The messages of each schema that mappings of a tenant's subjects name. */
function mappedBy(
  { mappings }: Pick<SchemaAdminContext, "mappings">,
  tenant_id: string,
): Map<string, Set<string>> {
  const mapped = new Map<string, Set<string>>();
  for (const { subject, schema_id, message } of mappings.all()) {
    if (!canMatchBelow(subject, `in.t.${tenant_id}.`)) continue;
    const messages = mapped.get(schema_id) ?? new Set();
    mapped.set(schema_id, messages.add(message));
  }
  return mapped;
}

/**
 * The state of a schema in this process; null if nothing is mapped to it. `own`: the messages that the requesting
 * tenant has mapped to it.
 */
function here(
  { cache, monotonic_ms }: SchemaAdminContext,
  schema_id: string,
  own?: { readonly messages: ReadonlySet<string> | undefined },
) {
  const schema = cache.schemas.get(schema_id);
  if (schema === undefined || (own !== undefined && own.messages === undefined)) return null;
  const { outcome, confirmed_ms } = schema;
  const messages = [...schema.messages].filter(({ type_name }) =>
    own === undefined || own.messages?.has(type_name) === true
  );
  return {
    state: outcome ?? "loading",
    age_ms: confirmed_ms === 0 ? null : Math.floor(monotonic_ms() - confirmed_ms),
    messages: messages.map(({ type_name, compiled, problem }) => ({
      message: type_name,
      version: compiled?.version ?? null,
      problem: problem === "" ? null : problem,
    })),
  };
}

/** Answers `GET /v1/schemas`. The admin of a tenant gets the schemas that its subjects are mapped to. */
export async function listSchemas(
  context: SchemaAdminContext,
  { only_tenant }: Call,
): Promise<Response> {
  const mapped = only_tenant === undefined ? undefined : mappedBy(context, only_tenant);
  const listed = await context.store.list();
  const isShown = ({ schema_id }: { readonly schema_id: string }) => mapped?.has(schema_id) ?? true;
  const shown = listed.filter(isShown);
  return Response.json({
    schemas: shown.map(({ schema_id, head }) => ({
      schema_id,
      compatibility: head.compatibility,
      versions: head.versions.length,
      latest: latestOf(head),
      here: here(context, schema_id, mapped && { messages: mapped.get(schema_id) }),
    })),
    refused: context.puts.refused().filter(isShown),
  });
}

/** Answers `GET /v1/schemas/{id}`. */
export async function showSchema(
  context: SchemaAdminContext,
  { name: schema_id, only_tenant }: Call,
): Promise<Response> {
  const { head } = await context.store.require(schema_id);
  const { compatibility, versions, deleted = null } = head;
  const own = only_tenant === undefined
    ? undefined
    : { messages: mappedBy(context, only_tenant).get(schema_id) };
  const refused = context.puts.refused().find((put) => put.schema_id === schema_id) ?? null;
  const in_force = here(context, schema_id, own);
  return Response.json({ schema_id, compatibility, versions, deleted, refused, here: in_force });
}

function modeOf(url: URL): CompatibilityMode | undefined {
  const text = url.searchParams.get("compatibility");
  if (text === null || isCompatibilityMode(text)) return text ?? undefined;
  throw new ArqonError(
    "invalid-schema",
    `${JSON.stringify(text)} is not a compatibility mode; expected ${
      COMPATIBILITY_MODES.join(", ")
    }`,
  );
}

/** The body of a registration: a gzipped FileDescriptorSet. */
export const SET: RouteBody<SchemaAdminContext, Uint8Array> = {
  type: "application/gzip",
  schema: { type: "string", format: "binary" },
  read: readSet,
};

/** The body of a registration, or none. */
export const SET_OR_NOTHING: RouteBody<SchemaAdminContext, Uint8Array> = { ...SET, optional: true };

/** An event's data, and whether it is JSON. */
interface Data {
  readonly bytes: Uint8Array;
  readonly is_json: boolean;
}

/** The body of a trial: JSON if its content type is JSON, otherwise binary data. */
export const DATA: RouteBody<SchemaAdminContext, Data> = {
  schema: {},
  optional: true,
  async read(request) {
    const is_json = /^application\/json\b/i.test(request.headers.get("content-type") ?? "");
    return { bytes: await readBytes(request, PAYLOAD_BYTES), is_json };
  },
};

async function readSet(request: Request): Promise<Uint8Array> {
  const header = request.headers.get("content-type") ?? "";
  const type = (header.split(";")[0] ?? "").trim().toLowerCase();
  const bytes = await readBytes(request, DESCRIPTOR_LIMITS.gzipped_bytes);
  if (bytes.length === 0 || UPLOAD_TYPES.includes(type)) return bytes;
  const detail = `${JSON.stringify(type.slice(0, 100))}; expected ${UPLOAD_TYPES[0]}`;
  throw new ArqonError("unsupported-media-type", detail);
}

/** Answers `PUT /v1/schemas/{id}`, with a version or, without a body, only another compatibility. */
export async function changeSchema(
  context: SchemaAdminContext,
  { url, name: schema_id, by, tenant_id, checks }: Call,
  bytes: Uint8Array,
): Promise<Response> {
  const { store, work, cache, log, now, versions_max } = context;
  const compatibility = modeOf(url);
  if (bytes.length === 0 && compatibility !== undefined) {
    const head = await setCompatibility(store, schema_id, compatibility);
    log.info("a schema's compatibility was changed", { schema: schema_id, compatibility, by });
    return Response.json({ schema_id, ...registered(head, false), findings: [] });
  }
  const mapped = context.mappings.messagesOf(schema_id);
  const request_ = { schema_id, bytes, compatibility, by, now_ms: now(), versions_max, mapped };
  const { head, is_new, findings, against } = await inTurn(
    { checks },
    tenant_id,
    () => register({ store, work }, request_),
  );
  const { version } = latestOf(head);
  if (is_new) log.info("a schema was registered", { schema: schema_id, version, by });
  cache.refresh(schema_id);
  await settled(context);
  const in_force = here(context, schema_id);
  return Response.json({
    schema_id,
    ...registered(head, is_new),
    against,
    findings,
    here: in_force,
  });
}

/** Answers `PUT /v1/schemas/{id}/staged`: stores a version that an apply can put in force. */
export async function stageSchema(
  { store, work }: SchemaAdminContext,
  { url, name: schema_id, tenant_id, checks }: Call,
  bytes: Uint8Array,
): Promise<Response> {
  const request = { schema_id, bytes, compatibility: modeOf(url) };
  const staged = await inTurn({ checks }, tenant_id, () => stage({ store, work }, request));
  return Response.json({ schema_id, ...staged });
}

/** Answers `POST /v1/schemas/{id}/rollback`: an earlier version, or the one before, becomes the next one. */
export async function rollbackSchema(
  context: SchemaAdminContext,
  { url, name: schema_id, by }: Call,
): Promise<Response> {
  const { store, cache, log, now, versions_max } = context;
  const text = url.searchParams.get("version");
  if (text !== null && !/^[1-9][0-9]{0,8}$/.test(text)) {
    throw new ArqonError("invalid-settings", "version: expected a version's number");
  }
  const version = text === null ? undefined : Number(text);
  const request = { schema_id, version, by, now_ms: now(), versions_max };
  const { head, is_new } = await rollBack(store, request);
  const { version: latest, restores } = latestOf(head);
  if (is_new) {
    log.warn("a schema was rolled back", { schema: schema_id, version: latest, restores, by });
  }
  cache.refresh(schema_id);
  await settled(context);
  return Response.json({ schema_id, ...registered(head, is_new), here: here(context, schema_id) });
}

/** Answers `DELETE /v1/schemas/{id}`, for a schema that nothing is mapped to. */
export async function removeSchema(
  { store, mappings, cache, log, now }: SchemaAdminContext,
  { name: schema_id, by }: Call,
): Promise<Response> {
  const mapped = () => [...mappings.all()].filter((one) => one.schema_id === schema_id);
  const deleted = await deleteSchema(store, { schema_id, by, now_ms: now(), mapped });
  const { version, versions } = deleted;
  log.warn("a schema was deleted", { schema: schema_id, version, versions, by });
  cache.refresh(schema_id);
  return Response.json({ schema_id, deleted: true, ...deleted });
}

function registered(head: SchemaRecord, is_new: boolean) {
  const { compatibility, versions } = head;
  return { registered: is_new, ...latestOf(head), compatibility, versions: versions.length };
}

/** Answers `POST /v1/schemas/{id}/check`: the result of registering, without doing it, and of mapping `messages`. */
export async function checkSchema(
  context: SchemaAdminContext,
  { url, name: schema_id, tenant_id, checks }: Call,
  candidate: Uint8Array,
): Promise<Response> {
  const { store, work, mappings } = context;
  const mode = modeOf(url);
  const mapped = [...mappings.messagesOf(schema_id) ?? []];
  const read = () => onSchema(work.read(candidate, mapped));
  const { missing } = await inTurn({ checks }, tenant_id, read);
  const named = url.searchParams.get("messages")?.split(",") ?? [];
  const coming = named.map((message) => ({ schema_id, message }));
  const sets = new Map([[schema_id, candidate]]);
  await inTurn({ checks }, tenant_id, () => requireMessages(context, coming, sets));
  const stored = await store.read(schema_id);
  const tools = { store, work };
  const compare = () => checkCandidate(tools, schema_id, stored, candidate, mode);
  const found = await inTurn({ checks }, tenant_id, compare);
  const { findings: differences, ...check } = found;
  const findings = [...differences, ...missingMessages(missing, stored)];
  const compatible = errorsOf(findings).length === 0;
  return Response.json({ schema_id, exists: stored !== undefined, compatible, ...check, findings });
}

/** The version that a text names, which may be `latest`. Throws `schema-unknown`. */
function versionOf(schema_id: string, { head }: StoredHead, text: string): SchemaVersion {
  if (text === "latest") return latestOf(head);
  const found = head.versions.find(({ version }) => String(version) === text);
  if (found !== undefined) return found;
  throw new ArqonError("schema-unknown", `${JSON.stringify(schema_id)} version ${text}`);
}

/** Answers `GET /v1/schemas/{id}/versions/{n|latest}`: the bytes as they were registered. */
export async function showVersion(
  { store }: SchemaAdminContext,
  { name: schema_id, rest }: Call,
): Promise<Response> {
  const stored = await store.require(schema_id);
  const version = versionOf(schema_id, stored, rest);
  const bytes = await store.bytes(schema_id, version);
  return new Response(new Uint8Array(bytes), {
    headers: {
      "content-type": "application/gzip",
      "etag": `"${version.sha256}"`,
      "x-arqon-schema-version": String(version.version),
    },
  });
}

function unknownFieldsOf(url: URL): UnknownFields {
  const text = url.searchParams.get("unknown_fields") ?? "allow";
  if (UNKNOWN_FIELDS.includes(text)) return text as UnknownFields;
  const detail = `${JSON.stringify(text)}; expected unknown_fields of ${UNKNOWN_FIELDS.join(", ")}`;
  throw new ArqonError("malformed-body", detail);
}

/**
 * Answers `POST /v1/schemas/{id}/validate?message=M`: the gate's verdict on the body, which is JSON with the content
 * type `application/json`, otherwise binary.
 */
export async function validateData(
  { store, work }: SchemaAdminContext,
  { url, name: schema_id }: Call,
  { bytes: data, is_json }: Data,
): Promise<Response> {
  const unknown_fields = unknownFieldsOf(url);
  const type_name = url.searchParams.get("message") ?? "";
  const stored = await store.require(schema_id);
  const version = versionOf(schema_id, stored, url.searchParams.get("version") ?? "latest");
  const set = await store.bytes(schema_id, version);
  const options = { unknown_fields, is_json };
  const found = await onSchema(work.validate(set, type_name, data, options));
  const valid = found.total === 0;
  return Response.json({
    schema_id,
    version: version.version,
    message: type_name,
    valid,
    ...found,
  });
}

/** The largest body, in bytes: the most mappings with the longest names. */
const BODY_BYTES = 1_048_576;

/** The body of a change: one mapping, which joins the others, or the list of all. */
const Body = z.union([
  z.strictObject({ mappings: z.array(SchemaMapping).max(TENANT_RULES_MAX) }),
  SchemaMapping,
]);

const MAPPED = new Section("mappings", "mappings", ({ mappings }) => ({ mappings }));

/** Answers `GET /v1/tenants/{tenant}/mappings`. */
export const showMappings = (context: SchemaAdminContext, { name }: Call): Promise<Response> =>
  MAPPED.show(context, name);

/** The body of a change. */
export const MAPPINGS: RouteBody<SchemaAdminContext, z.output<typeof Body>> = jsonBody(
  Body,
  readMappings,
);

async function readMappings(request: Request, schema: typeof Body): Promise<z.output<typeof Body>> {
  const value = await readValue(request, BODY_BYTES);
  const is_list = typeof value === "object" && value !== null && "mappings" in value;
  // Only one of the two is parsed, so that the error is about the intended form.
  const parsed = schema.options[is_list ? 0 : 1].safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.slice(0, 8).map(({ path, message }) =>
    `${path.join(".") || "the body"}: ${message}`
  );
  throw new ArqonError("invalid-settings", problems.join("; "));
}

/**
 * Refuses a mapping to a missing message, since it would refuse every event. `staged` has the sets of schemas that come
 * into force with the mappings.
 */
export async function requireMessages(
  { store, work, message_parts }: Pick<SchemaAdminContext, "store" | "work" | "message_parts">,
  mappings: readonly Pick<SchemaMapping, "schema_id" | "message">[],
  staged: ReadonlyMap<string, Uint8Array> = new Map(),
): Promise<void> {
  for (const [schema_id, mapped] of Map.groupBy(mappings, ({ schema_id }) => schema_id)) {
    const names = new Set(mapped.map(({ message }) => message));
    const bytes = staged.get(schema_id) ??
      await store.bytes(schema_id, latestOf((await store.require(schema_id)).head));
    const cut = await onSchema(work.cut(bytes, [...names], message_parts));
    for (const name of names) {
      const problem = problemOfCut(cut[name]);
      if (problem !== undefined) {
        throw new ArqonError("invalid-settings", `${schema_id}: ${problem}`);
      }
    }
  }
}

/** Answers `PUT /v1/tenants/{tenant}/mappings`. */
export async function setMappings(
  context: SchemaAdminContext,
  call: Call,
  body: z.output<typeof Body>,
): Promise<Response> {
  const given = "mappings" in body ? body.mappings : [body];
  const subjects = new Set(given.map(({ subject }) => subject));
  if (subjects.size < given.length) {
    throw new ArqonError("invalid-settings", "two mappings have the same subject");
  }
  await inTurn(call, call.name, () => requireMessages(context, given));
  return await change(context, call, (before) => {
    if ("mappings" in body) return given;
    return [...before.filter(({ subject }) => !subjects.has(subject)), ...given];
  });
}

/** Answers `DELETE /v1/tenants/{tenant}/mappings?subject=S`; without a subject, it removes all mappings. */
export async function removeMappings(context: SchemaAdminContext, call: Call): Promise<Response> {
  const subject = call.url.searchParams.get("subject");
  return await change(
    context,
    call,
    (before) => subject === null ? [] : before.filter((mapping) => mapping.subject !== subject),
  );
}

async function change(
  context: SchemaAdminContext,
  { name: tenant, by }: Call,
  changed: (before: readonly SchemaMapping[]) => SchemaMapping[],
): Promise<Response> {
  const answer = await MAPPED.change(context, { tenant, by }, (before) => {
    const after = changed(before);
    context.mappings.requireRoom(tenant, after);
    return after;
  });
  await settled(context);
  return answer;
}
