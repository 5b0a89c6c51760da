/**
 * `/v1/tenants/{tenant}/state` of the admin listener: all that a tenant has in force, and all of it
 * replaced in one step. It knows requests and answers, and checks what is to be in force; how the step is
 * made is `applies.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { MirrorRule, SchemaMapping } from "../../shared/config/schema_governance.ts";
import { always, refuseRepeated } from "../../shared/config/schema_values.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { problemResponse, problemText } from "../../shared/problem.ts";
import { TENANT_RULES_MAX } from "../../shared/records/tenant_settings.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";
import { readValue } from "../admin/routing/admin_body.ts";
import { AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import type { AdminCall } from "../admin/routing/admin_routes.ts";
import { inTurn } from "../admin/routing/check_queue.ts";
import { STATE_ABOUT } from "../openapi/openapi_settings.ts";
import type { PolicyAdminContext } from "../policy/admin_api.ts";
import { Policies } from "../policy/chain/chain.ts";
import type { SchemaAdminContext } from "../schema/admin/admin_api.ts";
import { requireMessages } from "../schema/admin/admin_mappings.ts";
import { settled } from "../schema/admin/admin_schemas.ts";
import type { Settings } from "../settings/settings.ts";
import { Applies } from "./applies.ts";
import type { AppliesOptions, StoredState } from "./applies.ts";

/** The largest body, in bytes: what one document can hold, twice. */
const BODY_BYTES = 2_097_152;
/** How long an answer waits until its change is in force in this process, in ms. */
const IN_FORCE_MS = 5_000;

/** What the admin API needs of the process. */
export interface ApplyAdminContext {
  readonly applies: Applies;
  readonly settings: Settings;
  readonly policies: PolicyAdminContext;
  /** Undefined where schemas are switched off: mappings are then not looked at. */
  readonly schemas: SchemaAdminContext | undefined;
  readonly log: Logger;
  /** The id of this Shield. */
  readonly node_id: string;
}

/** A list whose entries differ in `member`. */
function listOf<Z extends z.ZodType>(list: string, entry: Z, member: string) {
  const same = { same: `the same ${member}`, expected: `expected each ${member} once` };
  return z.array(entry).max(TENANT_RULES_MAX)
    .superRefine(refuseRepeated({ list, members: [member], shown: member, ...same }), always)
    .optional();
}

const Body = z.strictObject({
  /** The revisions that the change was planned on; 0 for a document that is not there. */
  basis: z.strictObject({ settings: z.int().min(0), policies: z.int().min(0) }),
  policies: Policies.optional(),
  mirror: listOf("mirror", MirrorRule, "prefix"),
  mappings: listOf("mappings", SchemaMapping, "subject"),
  rooms: listOf("rooms", TenantRoomClass, "room"),
});
type Body = z.output<typeof Body>;

/** The routes of a tenant's whole state. */
export const APPLY_ROUTES = new AdminTable<ApplyAdminContext>(
  {
    "/v1/tenants/{tenant}/state": {
      GET: { scope: "tenant-in-path", about: STATE_ABOUT.getTenantState, handle: show },
      PUT: {
        scope: "tenant-in-path",
        about: STATE_ABOUT.applyTenantState,
        ...withBody(jsonBody(Body, readBody), apply),
      },
    },
  },
  (error) =>
    error instanceof PolicyModuleError
      ? problemResponse(new ArqonError("invalid-policy", error.message, { cause: error }))
      : undefined,
);

async function readBody(request: Request, schema: typeof Body): Promise<Body> {
  const parsed = schema.safeParse(await readValue(request, BODY_BYTES));
  if (parsed.success) return parsed.data;
  throw new ArqonError("invalid-settings", problemText(parsed.error));
}

const answer = (body: unknown): Response =>
  Response.json(body, { headers: { "cache-control": "no-store" } });

function view({ settings: { settings, revision }, policies }: StoredState) {
  const { current } = policies.document;
  return {
    basis: { settings: revision, policies: policies.revision },
    policies: current.policies,
    mirror: settings.mirror.rules,
    mappings: settings.mappings,
    rooms: settings.rooms,
    versions: {
      settings: { version: settings.version, by: settings.by, at_ms: settings.changed_ms },
      policies: {
        version: current.version,
        by: current.by,
        at_ms: current.at_ms,
        change: current.change,
      },
    },
    applied: settings.applied ?? null,
  };
}

async function show({ applies }: ApplyAdminContext, { tenant }: AdminCall): Promise<Response> {
  return answer({ tenant, ...view(await applies.read(tenant)) });
}

async function apply(
  context: ApplyAdminContext,
  { tenant, by, checks }: AdminCall,
  { basis, mirror, ...wanted }: Body,
): Promise<Response> {
  const { applies, policies: { registry }, schemas, settings, log, node_id } = context;
  const modules = await inTurn({ checks }, tenant, () => requireModules(context, wanted.policies));
  if (schemas !== undefined && wanted.mappings !== undefined) {
    const { mappings } = wanted;
    await inTurn({ checks }, tenant, () => requireMessages(schemas, mappings));
  }
  const given = { ...wanted, ...(mirror === undefined ? {} : { mirror: { rules: mirror } }) };
  const stored = await applies.apply(tenant, basis, given, by);
  for (const [sha256, bytes] of modules) await registry.store.keepModule(sha256, bytes);
  const { id } = stored.settings.settings.applied ?? { id: "" };
  log.info("a tenant's state was applied", { tenant_id: tenant, apply: id, by });
  const reached = await Promise.all([
    settings.reached(tenant, stored.settings.revision, IN_FORCE_MS),
    stored.policies.revision === 0 ||
    registry.reached(tenant, stored.policies.revision, IN_FORCE_MS),
  ]);
  if (schemas !== undefined) await settled(schemas);
  const here = registry.tenant(tenant);
  const policies = { state: here?.state ?? null, detail: here?.detail ?? null };
  const in_force = reached.every(Boolean) && (here === undefined || here.state === "active");
  return answer({ tenant, ...view(stored), here: { node_id, in_force, policies } });
}

/** The modules that policies name, each checked as a deployment checks it. */
async function requireModules(
  { policies: { registry: { store }, check } }: ApplyAdminContext,
  policies: Body["policies"] = [],
): Promise<Map<string, Uint8Array>> {
  const modules = new Map<string, Uint8Array>();
  for (const { name, sha256, hooks } of policies) {
    const bytes = modules.get(sha256) ?? await store.module(sha256);
    if (bytes === undefined) {
      const detail = `${name}: module ${sha256} has not been uploaded`;
      throw new ArqonError("policy-unknown", detail);
    }
    modules.set(sha256, bytes);
    const { hooks: there } = await check(bytes);
    const lacking = hooks.filter((hook) => !there.includes(hook));
    if (lacking.length === 0) continue;
    const exports = lacking.map((hook) => `arqon_${hook}`).join(", ");
    throw new ArqonError("invalid-policy", `${name}: the module does not export ${exports}`);
  }
  return modules;
}

/** The parts of the process that applies act on; one that is switched off has no context. */
interface ApplyParts extends Pick<ApplyAdminContext, "settings" | "node_id"> {
  readonly policies: { readonly admin: PolicyAdminContext | undefined };
  readonly schemas: { readonly admin: SchemaAdminContext | undefined };
}

/** Starts to finish what other Shields have begun; undefined where policies are switched off. */
export function startApplies(
  { log, now, random }: Pick<AppliesOptions, "log" | "now" | "random">,
  { settings, node_id, schemas, policies: { admin: policies } }: ApplyParts,
): ApplyAdminContext | undefined {
  if (policies === undefined) return undefined;
  const { store } = policies.registry;
  const applies = new Applies({ settings, policies: store, log, now, random });
  return { applies, settings, policies, schemas: schemas.admin, log, node_id };
}
