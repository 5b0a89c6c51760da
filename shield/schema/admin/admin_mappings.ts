/**
 * The admin API of a tenant's mappings, which are in its settings. `admin_api.ts` has the paths; `gate.ts` applies
 * mappings.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { TENANT_RULES_MAX } from "../../../shared/records/tenant_settings.ts";
import { jsonBody, type RouteBody } from "../../admin/routing/admin_routes.ts";
import { inTurn } from "../../../shared/turns/check_queue.ts";
import { readValue } from "../../../shared/listeners/request_body.ts";
import type { StoredSettings } from "../../settings/settings.ts";
import { type Call, type SchemaAdminContext, settled } from "./admin_schemas.ts";
import { latestOf } from "../registry/schema_record.ts";
import { onSchema } from "../registry/register.ts";
import { problemOfCut } from "../registry/set_work.ts";

/** The largest body, in bytes: the most mappings with the longest names. */
const BODY_BYTES = 1_048_576;
/** How long an answer waits for its change to take effect in this process, in ms. */
const IN_FORCE_MS = 5_000;

/** The body of a change: one mapping, which joins the others, or the list of all. */
const Body = z.union([
  z.strictObject({ mappings: z.array(SchemaMapping).max(TENANT_RULES_MAX) }),
  SchemaMapping,
]);

function view({ settings, revision }: StoredSettings) {
  const { version, by, changed_ms, mappings } = settings;
  return { version, revision, by, changed_ms, mappings };
}

/** Answers `GET /v1/tenants/{tenant}/mappings`. */
export async function showMappings(
  { settings }: SchemaAdminContext,
  { name: tenant }: Call,
): Promise<Response> {
  const stored = await settings.read(tenant);
  const here = { version: settings.get(tenant).version, problem: settings.problem(tenant) ?? null };
  return Response.json({ tenant, ...view(stored), here });
}

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
  mappings: readonly SchemaMapping[],
  staged: ReadonlyMap<string, Uint8Array> = new Map(),
): Promise<void> {
  const messages = new Map<string, Set<string>>();
  for (const { schema_id, message } of mappings) {
    const known = messages.get(schema_id);
    if (known === undefined) messages.set(schema_id, new Set([message]));
    else known.add(message);
  }
  for (const [schema_id, names] of messages) {
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
  const { settings, log } = context;
  let wrote = false;
  const stored = await settings.change(tenant, by, (before) => {
    const mappings = changed(before.mappings);
    wrote = JSON.stringify(mappings) !== JSON.stringify(before.mappings);
    return wrote ? { ...before, mappings } : before;
  });
  const { version } = stored.settings;
  if (wrote) log.info("a tenant's mappings were changed", { tenant_id: tenant, version, by });
  const in_force = stored.revision === 0 ||
    await settings.reached(tenant, stored.revision, IN_FORCE_MS);
  await settled(context);
  return Response.json({ tenant, changed: wrote, ...view(stored), here: { in_force } });
}
