/**
 * `/v1/tenants/{tenant}/reducers…` of the admin listener: lists, deploys and rolls back the modules of room classes.
 * The router has authorized the caller; Brains load the module, and rooms use it (`brain/reducers/class_programs.ts`).
 */
import { ArqonError } from "@arqon/proto";
import type { ReducerEntry } from "../../shared/config/schema_durable.ts";
import type { Env } from "../../shared/env.ts";
import { plural } from "../../shared/plural.ts";
import {
  decodeDeployment,
  DEPLOYMENTS_BUCKET,
  encodeDeployment,
  notDeployed,
  type ReducerDeployment,
  withModule,
  withoutLast,
  withStored,
} from "../../shared/records/reducer_deployment.ts";
import {
  decodeRemoval,
  moduleName,
  REDUCER_OBJECTS,
  REDUCERS_BUCKET,
  REMOVAL_KEY,
} from "../../shared/records/reducer_record.ts";
import type { OwnedClass } from "../../shared/rooms/room_class.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";
import { z } from "zod";
import { readBytes, requireType } from "../../shared/listeners/request_body.ts";
import { AdminTable, withBody } from "../admin/routing/admin_routes.ts";
import type { AdminCall, RouteBody } from "../admin/routing/admin_routes.ts";
import { inTurn } from "../admin/routing/admin_scope.ts";
import { readQuery } from "../admin/routing/query.ts";
import { COUNT, ID, inQuery, integer, list, object, TEXT } from "../openapi/openapi_parts.ts";
import { Compiler } from "../policy/modules/compile.ts";
import { Kept } from "../policy/modules/kept.ts";
import { Metering } from "../policy/modules/metering.ts";

/** The largest upload in bytes: 1 MiB, the limit of a module, and some slack for the refusal's text. */
const UPLOAD_BYTES = 1_048_576 + 65_536;

/** The context of the reducers' routes. */
export interface ReducerAdminContext extends Pick<Env, "log" | "node_id" | "now"> {
  readonly spine: Pick<Spine, "keyValue" | "objects">;
  readonly classes: Pick<RoomClasses, "explain" | "list" | "withTenant">;
  readonly reducers: readonly ReducerEntry[];
  /** The most stored modules of one class. */
  readonly limits: { readonly reducer_modules: number };
  readonly check: ReducerCheck["check"];
  /** Checks the tenant's budgets, as for each of its messages. Rejects with `budget-exhausted` or `tenant-quota`. */
  readonly requireBudget: (tenant_id: string) => Promise<void>;
}

const OBJECT = { type: "object" };
const CLASS = object({ tenant: ID, reducer: OBJECT, node_id: ID });
const number = inQuery("number", "only if this is the current deploy number", integer(0));
/** The body of a deploy: a module. */
const MODULE: RouteBody<ReducerAdminContext, Uint8Array> = {
  type: "application/wasm",
  schema: { type: "string", format: "binary" },
  async read(request) {
    requireType(request, "application/wasm");
    return await readBytes(request, UPLOAD_BYTES);
  },
};

const scope = "tenant-in-path" as const;

/** The routes of reducers. */
export const REDUCER_ROUTES = new AdminTable<ReducerAdminContext>("reducers", {
  "GET /v1/tenants/{tenant}/reducers": {
    id: "listReducers",
    summary: "lists the tenant's room classes with reducers, and their deployed modules",
    answer: object({ tenant: ID, reducers: list(OBJECT), node_id: ID }),
    scope,
    handle: showAll,
  },
  "GET /v1/tenants/{tenant}/reducers/{class}": {
    id: "getReducer",
    summary: "shows the deployed module of one class, and its limits",
    answer: CLASS,
    refusals: [404],
    scope,
    handle: show,
  },
  "PUT /v1/tenants/{tenant}/reducers/{class}": {
    audit: "reducer.deploy",
    id: "deployReducer",
    summary: "deploys a module to all rooms of a class",
    query: [number],
    answer: object({ tenant: ID, reducer: OBJECT, size_bytes: COUNT, node_id: ID }),
    refusals: [404, 409, 413, 415, 429],
    scope,
    ...withBody(MODULE, deploy),
  },
  "GET /v1/tenants/{tenant}/reducers/{class}/modules/{module}": {
    id: "getReducerModule",
    summary: "downloads a stored module of one class, as WebAssembly",
    answer: { type: "string", format: "binary" },
    refusals: [404],
    scope,
    handle: readModule,
  },
  "PUT /v1/tenants/{tenant}/reducers/{class}/modules/{module}": {
    audit: "reducer.upload",
    id: "storeReducerModule",
    summary: "stores a module for one class, which an apply or a deploy can activate",
    answer: object({ tenant: ID, class: TEXT, module: TEXT, size_bytes: COUNT, node_id: ID }),
    refusals: [404, 409, 413, 415, 429],
    scope,
    ...withBody(MODULE, storeModule),
  },
  "POST /v1/tenants/{tenant}/reducers/{class}/rollback": {
    audit: "reducer.rollback",
    id: "rollBackReducer",
    summary: "rolls back to the previous module",
    query: [number],
    answer: CLASS,
    refusals: [404, 409],
    scope,
    handle: rollBack,
  },
});

const QUERY = {
  number: z.string().regex(/^\d{1,15}$/, { error: "expected a whole number" }).transform(Number)
    .optional(),
};

/** The tenant's class with this pattern in force; undefined: it has no reducer. */
function reducedClass(
  { classes }: ReducerAdminContext,
  tenant: string,
  pattern: string,
): (OwnedClass & { readonly reducer: string }) | undefined {
  const room_id = pattern.endsWith("*") ? pattern.slice(0, -1) : pattern;
  const found = classes.explain(tenant, room_id).find((one) => one.pattern === pattern);
  return found?.reducer === undefined ? undefined : { ...found, reducer: found.reducer };
}

/** A room class with a reducer, and the limits of its module. */
export interface Named {
  readonly tenant: string;
  readonly pattern: string;
  readonly entry: ReducerEntry;
}

/** The class with this pattern; undefined: the tenant has no such class, or the class has no reducer. */
export function namedClass(
  context: ReducerAdminContext,
  tenant: string,
  pattern: string,
): Named | undefined {
  const { reducer } = reducedClass(context, tenant, pattern) ?? {};
  const entry = context.reducers.find(({ name }) => name === reducer);
  return entry === undefined ? undefined : { tenant, pattern, entry };
}

/** The context with these own classes of a tenant, which have no reducer. */
export const withOwn = (
  context: ReducerAdminContext,
  ...own: Parameters<RoomClasses["withTenant"]>
): ReducerAdminContext => ({ ...context, classes: context.classes.withTenant(...own) });

/** Throws `not-found` for a class without a reducer. */
function namedIn(context: ReducerAdminContext, { tenant, names }: AdminCall): Named {
  const pattern = names["class"] ?? "";
  const found = namedClass(context, tenant, pattern);
  if (found !== undefined) return found;
  const known = deployedClasses(context, tenant).map((one) => JSON.stringify(one.pattern)).join(
    ", ",
  );
  const shown = JSON.stringify(pattern.slice(0, 64));
  throw new ArqonError(
    "not-found",
    `tenant ${tenant} has no class of rooms ${shown} with a reducer; it has ${known || "none"}`,
  );
}

/** The tenant's classes with reducers, by their patterns. */
export function deployedClasses(context: ReducerAdminContext, tenant: string): Named[] {
  const patterns = context.classes.list()
    .filter((one) => one.reducer !== undefined && (one.tenant === "*" || one.tenant === tenant))
    .map(({ pattern }) => pattern);
  return [...new Set(patterns)].sort().flatMap((one) => namedClass(context, tenant, one) ?? []);
}

/** The stored deployment of a class. */
export interface StoredDeployment {
  readonly deployment: ReducerDeployment;
  readonly revision: number;
}

/** The deployment of a class. Rejects with `settings-conflict` if it cannot be read. */
export async function deployed(
  { spine }: ReducerAdminContext,
  { tenant, pattern, entry: { name } }: Named,
): Promise<StoredDeployment> {
  const found = await (await spine.keyValue(DEPLOYMENTS_BUCKET)).get([tenant, pattern]);
  if (found === undefined) return { deployment: notDeployed(name), revision: 0 };
  const deployment = decodeDeployment(found.value);
  const { revision } = found;
  if (deployment === undefined) {
    throw new ArqonError("settings-conflict", `the deployment of ${pattern} cannot be read`);
  }
  // The class has another reducer since then, so the deployment no longer applies.
  const is_same = deployment.reducer === name;
  return { deployment: is_same ? deployment : notDeployed(name, deployment), revision };
}

function view({ pattern, entry }: Named, { deployment }: StoredDeployment) {
  const { name, file: _file, snapshot_entries: _entries, ...limits } = entry;
  const { number, current, before, modules } = deployment;
  return { class: pattern, reducer: name, number, current, before, modules, limits };
}

async function showAll(context: ReducerAdminContext, { tenant }: AdminCall): Promise<Response> {
  const reducers = [];
  for (const one of deployedClasses(context, tenant)) {
    reducers.push(view(one, await deployed(context, one)));
  }
  return Response.json({ tenant, reducers, node_id: context.node_id });
}

async function show(context: ReducerAdminContext, call: AdminCall): Promise<Response> {
  const one = namedIn(context, call);
  const reducer = view(one, await deployed(context, one));
  return Response.json({ tenant: call.tenant, reducer, node_id: context.node_id });
}

/** Changes the deployment. Rejects with `settings-conflict` if it is not the one that the caller has seen. */
async function change(
  context: ReducerAdminContext,
  { url }: AdminCall,
  one: Named,
  next: (before: ReducerDeployment) => ReducerDeployment,
): Promise<StoredDeployment> {
  const { number: expected } = readQuery(url, QUERY);
  const bucket = await context.spine.keyValue(DEPLOYMENTS_BUCKET);
  return await changeDocument(async (mayLose) => {
    const before = await deployed(context, one);
    const { number } = before.deployment;
    if (expected !== undefined && expected !== number) {
      const detail = `${one.pattern} is at deploy ${number}, not ${expected}`;
      throw new ArqonError("settings-conflict", detail);
    }
    const deployment = next(before.deployment);
    const key = [one.tenant, one.pattern];
    const write = bucket.update(key, encodeDeployment(deployment), before.revision);
    return { deployment, revision: await mayLose(write) };
  });
}

/** The class of a module that may be deployed to it. */
export async function requireModule(
  context: ReducerAdminContext,
  call: AdminCall,
  bytes: Uint8Array,
): Promise<Named> {
  const one = namedIn(context, call);
  await context.requireBudget(one.tenant);
  const { memory_limit_pages } = one.entry;
  try {
    await inTurn(call, one.tenant, () => context.check(bytes, memory_limit_pages));
    return one;
  } catch (error) {
    if (!(error instanceof PolicyModuleError)) throw error;
    const detail = `the module is refused (${error.reason}): ${error.message}`;
    throw new ArqonError("invalid-settings", detail, { cause: error });
  }
}

const beingRemoved = ({ pattern }: Named, module: string): ArqonError => {
  const detail = `${module} is unused in ${pattern} and is being removed`;
  return new ArqonError("settings-conflict", `${detail}: deploy it again later`);
};

/**
 * Stores a module, so that it stays until it is deployed. The class names the module first: a concurrent removal of the
 * module is either seen here, or removes the name, and the module is then not deployed.
 */
async function store(
  context: ReducerAdminContext,
  call: AdminCall,
  one: Named,
  { module, bytes }: { readonly module: string; readonly bytes: Uint8Array },
): Promise<void> {
  const { spine, limits: { reducer_modules } } = context;
  const { modules } = (await deployed(context, one)).deployment;
  if (!modules.includes(module)) {
    await change(context, call, one, (before) => {
      const { modules: known } = before;
      if (known.length < reducer_modules || known.includes(module)) {
        return withStored(before, module);
      }
      const many = plural(known.length, "module");
      const detail = `${one.pattern} has ${many} stored, limits.reducer_modules`;
      const until = "unused modules are removed after brain.reducer_unused_ms";
      throw new ArqonError("settings-conflict", `${detail}; ${until}`);
    });
  }
  const removal = await (await spine.keyValue(REDUCERS_BUCKET)).get(REMOVAL_KEY);
  if (decodeRemoval(removal?.value).modules.includes(module)) throw beingRemoved(one, module);
  await (await spine.objects(REDUCER_OBJECTS)).put(moduleName(module), bytes);
}

async function deploy(
  context: ReducerAdminContext,
  call: AdminCall,
  bytes: Uint8Array,
): Promise<Response> {
  const { log, now, node_id } = context;
  const { tenant, by } = call;
  const one = await requireModule(context, call, bytes);
  const module = await sha256Hex(bytes);
  await store(context, call, one, { module, bytes });
  const changed = await change(context, call, one, (before) => {
    if (!before.modules.includes(module)) throw beingRemoved(one, module);
    return withModule(before, { module, at_ms: now(), by });
  });
  const { number: deploy } = changed.deployment;
  const about = { tenant_id: tenant, class: one.pattern, deploy, module, by };
  log.info("a reducer was deployed", about);
  return Response.json({ tenant, reducer: view(one, changed), size_bytes: bytes.length, node_id });
}

async function readModule(context: ReducerAdminContext, call: AdminCall): Promise<Response> {
  const one = namedIn(withOwn(context, call.tenant, []), call);
  const module = call.names["module"] ?? "";
  const { deployment: { modules } } = await deployed(context, one);
  const objects = await context.spine.objects(REDUCER_OBJECTS);
  const bytes = modules.includes(module) ? await objects.get(moduleName(module)) : undefined;
  if (bytes === undefined) {
    const shown = JSON.stringify(module.slice(0, 64));
    throw new ArqonError("not-found", `${one.pattern} has no module ${shown} stored`);
  }
  const headers = { "content-type": "application/wasm" };
  return new Response(new Uint8Array(bytes), { headers });
}

async function storeModule(
  context: ReducerAdminContext,
  call: AdminCall,
  bytes: Uint8Array,
): Promise<Response> {
  const one = await requireModule(withOwn(context, call.tenant, []), call, bytes);
  const module = await sha256Hex(bytes);
  if (module !== call.names["module"]) {
    throw new ArqonError("invalid-settings", `the path names another module than ${module}`);
  }
  await store(context, call, one, { module, bytes });
  const { tenant } = call;
  const { node_id } = context;
  return Response.json({ tenant, class: one.pattern, module, size_bytes: bytes.length, node_id });
}

async function rollBack(context: ReducerAdminContext, call: AdminCall): Promise<Response> {
  const { log, now, node_id } = context;
  const { tenant, by } = call;
  const one = namedIn(context, call);
  const changed = await change(context, call, one, (before) => {
    const next = withoutLast(before, { at_ms: now(), by });
    if (next !== undefined) return next;
    throw new ArqonError("settings-conflict", `${one.pattern} has no deploy to roll back`);
  });
  const { number: deploy, current: { module } } = changed.deployment;
  const about = { tenant_id: tenant, class: one.pattern, deploy, module, by };
  log.info("a reducer was rolled back", about);
  return Response.json({ tenant, reducer: view(one, changed), node_id });
}

/** Checks modules. */
export interface ReducerCheck {
  /** Rejects with `PolicyModuleError`, whose message is a sentence for people. */
  check(bytes: Uint8Array, memory_limit_pages: number): Promise<void>;
  close(): void;
}

/** Makes the check; the worker starts with the first module. */
export function createReducerCheck(): ReducerCheck {
  // Brains compile the modules that they run: here the compilation is only a test.
  const compiler = new Compiler();
  const metering = new Metering({ memory_limit_pages: 1 });
  // One module is often deployed to several room classes in a row.
  const tried = new Kept<void>({ max: 1 });
  return {
    async check(bytes, memory_limit_pages) {
      const metered = await metering.meterReducer(bytes, memory_limit_pages);
      const sha256 = await sha256Hex(bytes);
      await tried.get(sha256, async () => void await compiler.compile(sha256, metered.bytes));
    },
    close: () => metering.close(),
  };
}
