/**
 * `/v1/policies…` of the admin listener: upload and check modules, deploy, list, roll back, remove, follow logs. The
 * caller is authorized already, and `check` judges modules.
 */
import { COUNT, ID, inQuery, list, object, ref, TENANT, TEXT } from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";
import { StorageFull } from "../../shared/spine/contract/write_errors.ts";
import type { ModuleSweep } from "./modules/module_sweep.ts";
import { ArqonError, isId } from "@arqon/proto";
import { z } from "zod";
import type { Env } from "../../shared/env.ts";
import { problemResponse } from "../../shared/problem.ts";
import { AdminTable, inBody, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import type { AdminCall, RouteBody } from "../admin/routing/admin_routes.ts";
import { inTurn } from "../admin/routing/admin_scope.ts";
import { withoutEnd } from "../admin/routing/admin_safety.ts";
import {
  flagOf,
  readBytes,
  readJson,
  requireType,
  tenantOf,
} from "../../shared/listeners/request_body.ts";
import { Binding, rollingBack, withoutPolicy, withPolicy } from "./chain/chain.ts";
import type { PolicyVersion } from "./chain/chain.ts";
import type { LogFollowers, LogMemory } from "./logs/policy_logs.ts";
import type { Quarantine, QuarantinedModule } from "./modules/quarantine.ts";
import type { Hook } from "../../shared/records/verdict.ts";
import type { PolicyRegistry } from "./chain/registry.ts";
import type { StoredDocument } from "./chain/store.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";

const OBJECT: Schema = { type: "object" };

const id = z.string().refine(isId, { error: "expected 1 to 64 of [A-Za-z0-9_~:=-]" })
  .meta({ pattern: "^[A-Za-z0-9_~:=-]{1,64}$" });

/** The body of `POST /v1/policies/deploy`. */
const Deployment = z.strictObject({
  tenant: id,
  name: Binding.shape.name,
  sha256: Binding.shape.sha256,
  room: Binding.shape.room.default("*"),
  /** The hooks to bind; absent: every hook that the module has. */
  hooks: Binding.shape.hooks.optional(),
  order: Binding.shape.order.default(0),
  mode: Binding.shape.mode.default("enforce"),
  percent: Binding.shape.percent.default(1),
});

/** The body of `POST /v1/policies/rollback`. */
const Rollback = z.strictObject({
  tenant: id,
  /** The version to roll back to; absent: the one before the current. */
  version: z.int().min(0).optional(),
});

/** The body of `POST /v1/policies/reset`. */
const Reset = z.strictObject({ tenant: id });

/** The body of a change that makes a new version of a tenant's policies. */
const change = (summary: string) => ({
  tag: "policies",
  summary,
  answer: ref("PolicyChange"),
  refusals: [404, 409],
});

/** The schemas that several paths use. */
export const POLICY_SCHEMAS: Readonly<Record<string, Schema>> = {
  PolicyChange: object({ tenant: ID, revision: COUNT, version: COUNT, here: OBJECT }),
};

/** The largest upload in bytes: 1 MiB, the limit of a module, with some slack so that the refusal can name the size. */
const UPLOAD_BYTES = 1_048_576 + 65_536;
/** How long an answer waits until its change is in force in this process, in ms. */
const ENFORCED_MS = 5_000;
/** The most tenants in one listing. */
const TENANTS_MAX = 1_000;
/** The most modules in one answer about the quarantine. */
const QUARANTINED_MAX = 1_000;

/** The checked capabilities and costs of a module. */
export interface CheckedModule {
  readonly hooks: readonly Hook[];
  readonly size_bytes: number;
  /** Further results of the check, unchanged in the answer. */
  readonly [figure: string]: unknown;
}

/** The dependencies of the admin API. */
export interface PolicyAdminContext extends Pick<Env, "log" | "now"> {
  readonly registry: PolicyRegistry;
  /** Checks a module. Rejects with `PolicyModuleError`, whose message is a sentence for people. */
  readonly check: (bytes: Uint8Array) => Promise<CheckedModule>;
  readonly quarantine: Pick<Quarantine, "list" | "release">;
  /** Whether a module may keep memory from call to call; undefined while it is not loaded here. */
  readonly isStateful: (sha256: string) => boolean | undefined;
  readonly sweep: Pick<ModuleSweep, "makeRoom">;
  readonly followers: LogFollowers;
  readonly memory: Pick<LogMemory, "read">;
}

/** The body of an upload: a module. */
export const MODULE: RouteBody<unknown, Uint8Array> = {
  type: "application/wasm",
  schema: { type: "string", format: "binary" },
  async read(request) {
    requireType(request, "application/wasm");
    return await readBytes(request, UPLOAD_BYTES);
  },
};

/** The routes of the policies' admin API. Modules belong to no tenant: whoever has the bytes knows their digest. */
export const POLICY_ROUTES = new AdminTable<PolicyAdminContext>("policies", {
  "GET /v1/policies": {
    id: "listPolicies",
    summary: "tenants with policies, or one tenant's document",
    query: [inQuery("tenant", "only this tenant's document and its history")],
    answer: OBJECT,
    scope: "own",
    handle: listed,
  },
  "PUT /v1/policies/modules": {
    audit: "policy.upload",
    id: "uploadModule",
    summary: "checks and stores a WebAssembly module",
    answer: object({ sha256: TEXT, hooks: list(TEXT), size_bytes: COUNT }),
    scope: "shared",
    ...withBody(MODULE, upload),
  },
  "GET /v1/policies/modules/{module}": {
    id: "downloadModule",
    summary: "the bytes of a module that a tenant's policies or a version in its history name",
    query: [TENANT],
    answer: { type: "string", format: "binary" },
    type: "application/wasm",
    refusals: [404],
    scope: "tenant-in-query",
    handle: download,
  },
  "POST /v1/policies/deploy": {
    audit: "policy.deploy",
    id: "deployPolicy",
    ...change("binds a module to a tenant's rooms and hooks"),
    ...inBody(jsonBody(Deployment, readJson), deploy),
  },
  "POST /v1/policies/rollback": {
    audit: "policy.rollback",
    id: "rollBackPolicies",
    ...change("puts the policies of an earlier version in force as the next one"),
    ...inBody(jsonBody(Rollback, readJson), rollback),
  },
  "POST /v1/policies/reset": {
    audit: "policy.reset",
    id: "resetPolicies",
    ...change("replaces an unreadable document by an empty one"),
    ...inBody(jsonBody(Reset, readJson), reset),
  },
  "GET /v1/policies/logs": {
    audit: "policy.read_logs",
    id: "followPolicyLogs",
    summary:
      "the lines that policies of this Shield log from now on, without end, or have logged: lines of JSON",
    query: [
      TENANT,
      inQuery("follow", "false: only the last lines that the Shield remembers", {
        type: "boolean",
        default: true,
      }),
    ],
    answer: TEXT,
    type: "application/x-ndjson",
    refusals: [429],
    scope: "tenant-in-query",
    handle: logs,
  },
  "GET /v1/policies/quarantine": {
    audit: { refused: "policy.read_quarantine" },
    id: "listQuarantine",
    summary: "modules that no node runs because they wedged or killed a worker",
    query: [inQuery("tenant", "only those that this tenant's policies name")],
    answer: object({
      modules: list(object({ sha256: TEXT, why: TEXT, at_ms: COUNT, node: TEXT })),
      truncated: { type: "boolean" },
    }),
    scope: "own",
    handle: quarantined,
  },
  "DELETE /v1/policies/quarantine/{module}": {
    audit: "policy.release",
    id: "releaseModule",
    summary: "releases a module from quarantine, on every node",
    answer: object({ sha256: TEXT, released: { type: "boolean" } }),
    refusals: [404],
    handle: release,
  },
  // A policy may be named like a route, so methods other than the route's own are about the policy.
  "DELETE /v1/policies/{policy}": {
    audit: "policy.remove",
    id: "removePolicy",
    ...change("removes a policy from a tenant's chain"),
    query: [TENANT],
    scope: "tenant-in-query",
    handle: remove,
  },
}, badModule);

function badModule(error: unknown): Response | undefined {
  if (!(error instanceof PolicyModuleError)) return undefined;
  return problemResponse(new ArqonError("invalid-policy", error.message, { cause: error }));
}

async function upload(
  context: PolicyAdminContext,
  { by, tenant_id, checks }: AdminCall,
  bytes: Uint8Array,
): Promise<Response> {
  const checked = await inTurn({ checks }, tenant_id, () => context.check(bytes));
  const put = () => context.registry.store.putModule(bytes);
  const sha256 = await put().catch(async (error) => {
    if (!(error instanceof StorageFull)) throw error;
    // Any admin may upload, and what is not deployed stays for a day: nobody may fill the store with that.
    await context.sweep.makeRoom();
    return await put();
  });
  context.log.info("a policy module was uploaded", { sha256, size_bytes: bytes.length, by });
  return Response.json({ sha256, ...checked });
}

/**
 * The bytes of an uploaded module, for running it elsewhere. A tenant's own admin gets only modules that its policies
 * or a version in its history name.
 */
async function download(
  context: PolicyAdminContext,
  { url, names: { module: sha256 = "" }, only_tenant }: AdminCall,
): Promise<Response> {
  const { store } = context.registry;
  const { document: { current, history } } = await store.read(tenantOf(url));
  const is_named = [current, ...history].some(({ policies }) =>
    policies.some((policy) => policy.sha256 === sha256)
  );
  const is_shown = /^[0-9a-f]{64}$/.test(sha256) && (is_named || only_tenant === undefined);
  const bytes = is_shown ? await store.module(sha256) : undefined;
  if (bytes === undefined) {
    const shown = JSON.stringify(sha256.slice(0, 64));
    throw new ArqonError("policy-unknown", `the tenant has no module ${shown}`);
  }
  const headers = { "content-type": "application/wasm" };
  return new Response(new Uint8Array(bytes), { headers });
}

async function deploy(
  context: PolicyAdminContext,
  { by, checks }: AdminCall,
  { tenant, hooks: wanted, ...rest }: z.output<typeof Deployment>,
): Promise<Response> {
  const { store } = context.registry;
  const bytes = await store.module(rest.sha256);
  if (bytes === undefined) {
    throw new ArqonError("policy-unknown", `module ${rest.sha256} has not been uploaded`);
  }
  // The module is checked again: this version may refuse a module that an earlier one accepted.
  const { hooks: there } = await inTurn({ checks }, tenant, () => context.check(bytes));
  const lacking = (wanted ?? []).filter((hook) => !there.includes(hook));
  if (lacking.length > 0) {
    const exports = lacking.map((hook) => `arqon_${hook}`).join(", ");
    throw new ArqonError("invalid-policy", `the module does not export ${exports}`);
  }
  const binding = { ...rest, hooks: wanted ?? [...there] };
  const author = { by, at_ms: context.now() };
  const stored = await store.change(tenant, (document) => withPolicy(document, binding, author));
  // From now on no sweep deletes the module, but one may have deleted it since the upload.
  await store.keepModule(rest.sha256, bytes);
  return await changed(context, tenant, stored, by);
}

async function rollback(
  context: PolicyAdminContext,
  { by }: AdminCall,
  { tenant, version }: z.output<typeof Rollback>,
): Promise<Response> {
  const author = { by, at_ms: context.now() };
  const stored = await context.registry.store.change(tenant, rollingBack(version, author));
  return await changed(context, tenant, stored, by);
}

async function remove(context: PolicyAdminContext, { url, by }: AdminCall): Promise<Response> {
  const tenant = tenantOf(url);
  const name = decodeName(url.pathname.slice("/v1/policies/".length));
  const author = { by, at_ms: context.now() };
  const { store } = context.registry;
  const stored = await store.change(tenant, (document) => withoutPolicy(document, name, author));
  return await changed(context, tenant, stored, by);
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ArqonError("malformed-body", "the path has a malformed % escape");
  }
}

async function reset(
  context: PolicyAdminContext,
  { by }: AdminCall,
  { tenant }: z.output<typeof Reset>,
): Promise<Response> {
  const stored = await context.registry.store.reset(tenant);
  return await changed(context, tenant, stored, by);
}

/** The answer to a change: what is stored, and its outcome in this process. */
async function changed(
  context: PolicyAdminContext,
  tenant: string,
  { document, revision }: StoredDocument,
  by: string,
): Promise<Response> {
  const { registry, log, now } = context;
  const { version, change } = document.current;
  log.info("a tenant's policies were changed", { tenant_id: tenant, version, change, by });
  const began_ms = now();
  const settled = await registry.reached(tenant, revision, ENFORCED_MS);
  const here = registry.tenant(tenant);
  return Response.json({
    tenant,
    revision,
    ...document.current,
    here: {
      state: settled ? here?.state : "loading",
      detail: settled ? here?.detail : `not settled within ${ENFORCED_MS} ms`,
      enforced_version: here?.enforced_version ?? null,
      waited_ms: now() - began_ms,
    },
  });
}

/** An earlier version in a listing: its policies by name only. */
function past({ policies, ...version }: PolicyVersion) {
  const modules = Object.fromEntries(policies.map(({ name, sha256 }) => [name, sha256]));
  return { ...version, policies: policies.map(({ name }) => name), modules };
}

/** The tenant's policies with modules in quarantine, with reason and time. */
function quarantinedOf({ quarantine }: PolicyAdminContext, { policies }: PolicyVersion) {
  const by_sha256 = new Map(quarantine.list().map((one) => [one.sha256, one]));
  return policies.flatMap(({ name, sha256 }) => {
    const found = by_sha256.get(sha256);
    return found === undefined ? [] : [{ name, ...found }];
  });
}

/** Modules in quarantine: all, or for a tenant's own admin those that its policies name. */
async function quarantined(
  context: PolicyAdminContext,
  { url, only_tenant }: AdminCall,
): Promise<Response> {
  let modules: readonly QuarantinedModule[] = context.quarantine.list();
  const tenant = url.searchParams.has("tenant") ? tenantOf(url) : only_tenant;
  if (tenant !== undefined) {
    const { document } = await context.registry.store.read(tenant);
    const own = new Set(document.current.policies.map(({ sha256 }) => sha256));
    modules = modules.filter(({ sha256 }) => own.has(sha256));
  }
  const truncated = modules.length > QUARANTINED_MAX;
  return Response.json({ modules: modules.slice(0, QUARANTINED_MAX), truncated });
}

async function release(context: PolicyAdminContext, { names, by }: AdminCall): Promise<Response> {
  const { module: sha256 = "" } = names;
  if (!await context.quarantine.release(sha256)) {
    throw new ArqonError("policy-unknown", `module ${JSON.stringify(sha256)} is not in quarantine`);
  }
  context.log.info("a policy module was released from quarantine", { sha256, by });
  return Response.json({ sha256, released: true });
}

async function listed(
  context: PolicyAdminContext,
  { url, only_tenant }: AdminCall,
): Promise<Response> {
  const { registry } = context;
  if (!url.searchParams.has("tenant")) return Response.json(overview(registry, only_tenant));
  const tenant = tenantOf(url);
  const { document, revision } = await registry.store.read(tenant);
  return Response.json({
    tenant,
    revision,
    ...document.current,
    policies: document.current.policies.map((policy) => ({
      ...policy,
      stateful: context.isStateful(policy.sha256) ?? null,
    })),
    history: document.history.map(past),
    quarantined: quarantinedOf(context, document.current),
    here: registry.tenant(tenant) ?? null,
  });
}

/** Every tenant with policies. A tenant's own admin sees only that tenant, without the number of modules. */
function overview(registry: PolicyRegistry, only_tenant: string | undefined) {
  if (only_tenant !== undefined) {
    const own = registry.tenant(only_tenant);
    const { ready } = registry.status();
    return { ready, tenants: own === undefined ? [] : [own], truncated: false };
  }
  const all = registry.tenants();
  const tenants = all.slice(0, TENANTS_MAX);
  return { ...registry.status(), tenants, truncated: all.length > tenants.length };
}

function logs(context: PolicyAdminContext, { url }: AdminCall): Response {
  const tenant = tenantOf(url);
  const follow = flagOf(url, "follow", true);
  const headers = { "content-type": "application/x-ndjson" };
  return follow
    ? withoutEnd(new Response(context.followers.follow(tenant), { headers }))
    : new Response(context.memory.read(tenant), { headers });
}
