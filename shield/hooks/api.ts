/**
 * `/v1/tenants/{tenant}/hooks…` of the admin listener: sets, shows, pauses, tests and removes hooks, and replays dead
 * letters. The caller is authorized already; `brain/hooks/` calls.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { type AfterHook, TenantHook, type Webhooks } from "../../shared/config/automation/hooks.ts";
import { CallFailed, callHook, callTerms } from "../../shared/hooks/call.ts";
import { newSecret, signedHeaders } from "../../shared/hooks/signature.ts";
import type { Env } from "../../shared/env.ts";
import { plural } from "../../shared/plural.ts";
import { settingsWithin } from "../../shared/listeners/request_body.ts";
import { slice } from "../../shared/turns/slices.ts";
import { type AdminCall, AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import { Id, readQuery } from "../admin/routing/query.ts";
import { hasOrder, resumed, withAgain } from "../../shared/records/hook_document.ts";
import type { HookDocument } from "../../shared/records/hook_document.ts";
import { COUNT, ID, inQuery, integer, list, object, TEXT } from "../openapi/openapi_parts.ts";
import type { HookStore, StoredHook } from "./hook_store.ts";

const FromMs = z.string().regex(/^\d{1,15}$/, { error: "expected a time in Unix ms" })
  .transform(Number).optional();
const BODY_BYTES = 16_384;
/** The most dead letters, and rooms, in one answer. */
const SHOWN = 100;

interface HookAdminContext extends Pick<Env, "log" | "node_id" | "now"> {
  readonly store: HookStore;
  readonly webhooks: Webhooks;
  /** Throws if the file does not exist. */
  readonly readTextFile: (path: string) => string;
  /** Whether some room class of the tenant is durable: without one no hook can be called. */
  readonly hasLog: (tenant: string) => boolean;
}

const OBJECT = { type: "object" };
const HOOK = object({ tenant: ID, hook: OBJECT, node_id: ID });
const about = (summary: string, answer: ReturnType<typeof object>) => ({
  tag: "hooks",
  summary,
  answer,
  refusals: [404],
});
const scope = "tenant-in-path" as const;

/** The routes of hooks. */
export const HOOK_ROUTES = new AdminTable<HookAdminContext>("hooks", {
  "GET /v1/tenants/{tenant}/hooks": {
    id: "listHooks",
    summary: "a tenant's hooks",
    answer: object({ tenant: ID, hooks: list(OBJECT), node_id: ID }),
    scope,
    handle: showAll,
  },
  "GET /v1/tenants/{tenant}/hooks/{hook}": {
    id: "getHook",
    ...about(
      "shows one hook, its position in each room, and its dead letters",
      object({ tenant: ID, hook: OBJECT, rooms: list(OBJECT), dead: list(OBJECT), node_id: ID }),
    ),
    scope,
    handle: show,
  },
  "PUT /v1/tenants/{tenant}/hooks/{hook}": {
    audit: "hook.set",
    id: "setHook",
    summary:
      "sets or changes a hook; without a secret it gets a generated one, which is shown only once",
    answer: HOOK,
    refusals: [409],
    scope,
    ...withBody(jsonBody(TenantHook, settingsWithin(BODY_BYTES)), set),
  },
  "DELETE /v1/tenants/{tenant}/hooks/{hook}": {
    audit: "hook.remove",
    id: "removeHook",
    ...about("removes a hook", object({ tenant: ID, removed: COUNT, node_id: ID })),
    refusals: [404, 409],
    scope,
    handle: remove,
  },
  "POST /v1/tenants/{tenant}/hooks/{hook}/pause": {
    audit: "hook.pause",
    id: "pauseHook",
    ...about("pauses a hook: it is not called until it is resumed", HOOK),
    scope,
    handle: (context, call) =>
      order(context, call, "paused", (document) => ({ ...resumed(document), paused: true })),
  },
  "POST /v1/tenants/{tenant}/hooks/{hook}/resume": {
    audit: "hook.resume",
    id: "resumeHook",
    ...about("resumes a hook: it is called for everything since it was paused", HOOK),
    scope,
    handle: (context, call) => order(context, call, "resumed", resumed),
  },
  "POST /v1/tenants/{tenant}/hooks/{hook}/replay": {
    audit: "hook.replay",
    id: "replayHook",
    ...about("calls it again for its dead letters, or for everything stored since a time", HOOK),
    query: [
      inQuery("from_ms", "start of the replay, Unix ms; absent: the dead letters", integer(0)),
    ],
    scope,
    handle: replay,
  },
  "POST /v1/tenants/{tenant}/hooks/{hook}/test": {
    audit: "hook.test",
    id: "testHook",
    ...about(
      "calls it once from this Shield, with a test event",
      object({ tenant: ID, status: COUNT, problem: TEXT, took_ms: COUNT, node_id: ID }),
    ),
    scope,
    handle: test,
  },
});

/** The id in the path. Throws `invalid-settings`. */
function idOf({ names: { hook = "" } }: AdminCall): string {
  if (Id.safeParse(hook).success) return hook;
  throw new ArqonError("invalid-settings", "hook: expected 1 to 64 of [A-Za-z0-9_~:=-]");
}

/** The note on a hook for events whose tenant has no log. */
export const NO_LOG =
  "no room class of the tenant is durable, so no events are stored that it could " +
  "be called for; events are queued on the Shields, and the oldest are dropped beyond the limit";

/** A hook without its secret. */
async function view({ store, hasLog }: HookAdminContext, { hook, source, document }: StoredHook) {
  const { secret: _, secret_file: __, tenant, ...shown } = hook;
  const { paused, off, since } = document;
  const called = hasOrder(document) ? "replaying" : "on";
  const state = !paused ? called : off === undefined ? "paused" : "off";
  const dead = await store.countDead(tenant, hook.id);
  const problem = hook.events.length > 0 && !hasLog(tenant) ? NO_LOG : off ?? "";
  return { ...shown, source, state, since: since ?? null, dead, problem };
}

async function found({ store }: HookAdminContext, tenant: string, id: string): Promise<StoredHook> {
  const hook = await store.find(tenant, id);
  if (hook !== undefined) return hook;
  throw new ArqonError("not-found", `tenant ${tenant} has no hook ${id}`);
}

async function showAll(context: HookAdminContext, { tenant }: AdminCall): Promise<Response> {
  const hooks = [];
  for (const one of await context.store.all(tenant)) {
    await slice(tenant);
    if ("hook" in one) hooks.push(await view(context, one));
    else hooks.push({ ...one, state: "unreadable", problem: one.problem.message });
  }
  return Response.json({ tenant, hooks, node_id: context.node_id });
}

async function show(context: HookAdminContext, call: AdminCall): Promise<Response> {
  const { store, node_id } = context;
  const { tenant } = call;
  const id = idOf(call);
  const hook = await view(context, await found(context, tenant, id));
  const { dead, rooms } = await store.contents(tenant, id, SHOWN);
  const letters = dead.map(({ body: _, ...letter }) => letter);
  return Response.json({ tenant, hook, rooms, dead: letters, node_id });
}

async function answerOne(
  context: HookAdminContext,
  { tenant }: AdminCall,
  id: string,
  more: object = {},
): Promise<Response> {
  const hook = { ...await view(context, await found(context, tenant, id)), ...more };
  return Response.json({ tenant, hook, node_id: context.node_id });
}

/** Throws `settings-conflict` for a hook of the configuration. */
function requireOwn(stored: Pick<StoredHook, "source"> | undefined, id: string): void {
  if (stored?.source !== "config") return;
  throw new ArqonError("settings-conflict", `hook ${id} is in the configuration`);
}

async function set(
  context: HookAdminContext,
  call: AdminCall,
  body: TenantHook,
): Promise<Response> {
  const { store, webhooks: { tenant_hooks }, log } = context;
  const { tenant, by } = call;
  const id = idOf(call);
  const before = await store.find(tenant, id);
  requireOwn(before, id);
  let begin: Pick<HookDocument, "since"> = {};
  if (before === undefined) {
    const own = (await store.all(tenant)).filter(({ source }) => source === "tenant");
    if (own.length >= tenant_hooks) {
      const many = plural(own.length, "hook");
      throw new ArqonError("settings-conflict", `tenant ${tenant} has ${many}, which is the limit`);
    }
    begin = await store.begin(tenant, id);
  }
  let made: string | undefined;
  await store.change(tenant, id, (document) => {
    const secret = body.secret ?? document.spec?.secret ?? (made = newSecret());
    return { ...document, ...begin, spec: { ...body, secret } };
  });
  log.info("a hook was set", { tenant_id: tenant, hook: id, by });
  return await answerOne(context, call, id, made === undefined ? {} : { secret: made });
}

async function remove(context: HookAdminContext, call: AdminCall): Promise<Response> {
  const { store, log, node_id } = context;
  const { tenant, by } = call;
  const id = idOf(call);
  requireOwn(await store.look(tenant, id) ?? await found(context, tenant, id), id);
  await store.remove(tenant, id);
  log.info("a hook was removed", { tenant_id: tenant, hook: id, by });
  return Response.json({ tenant, removed: 1, node_id });
}

async function order(
  context: HookAdminContext,
  call: AdminCall,
  word: string,
  change: (before: HookDocument) => HookDocument,
): Promise<Response> {
  const { tenant, by } = call;
  const id = idOf(call);
  await found(context, tenant, id);
  await context.store.change(tenant, id, change);
  context.log.info(`a hook was ${word}`, { tenant_id: tenant, hook: id, by });
  return await answerOne(context, call, id);
}

function replay(context: HookAdminContext, call: AdminCall): Promise<Response> {
  const { from_ms } = readQuery(call.url, { from_ms: FromMs });
  if (from_ms === undefined) {
    return order(context, call, "set to replay", (document) => ({
      ...document,
      replay: document.replay + 1,
    }));
  }
  if (from_ms > context.now()) {
    throw new ArqonError("invalid-settings", "from_ms: expected a past time in Unix ms");
  }
  return order(context, call, "set to call again", (document) => withAgain(document, from_ms));
}

function secretOf({ readTextFile }: HookAdminContext, { secret, secret_file }: AfterHook): string {
  return secret ?? readTextFile(secret_file ?? "").trim();
}

async function test(context: HookAdminContext, call: AdminCall): Promise<Response> {
  const { now, node_id, webhooks } = context;
  const { tenant } = call;
  const { hook, source } = await found(context, tenant, idOf(call));
  const { url, timeout_ms } = hook;
  const now_ms = now();
  const timestamp = new Date(now_ms).toISOString();
  const body = JSON.stringify({ type: "hook.test", timestamp, data: { tenant } });
  const id = `test_${crypto.randomUUID()}`;
  let status = 0, problem = "";
  try {
    const signed = signedHeaders(secretOf(context, hook), { id, now_ms, body });
    const headers = { ...signed, "content-type": "application/json" };
    const terms = callTerms(webhooks, source === "tenant", context.readTextFile);
    const request = { url, headers, body, timeout_ms, ...terms, answer_bytes: 0 };
    ({ status } = await callHook(request));
  } catch (error) {
    problem = error instanceof CallFailed ? error.message : "the secret cannot be read";
  }
  return Response.json({ tenant, status, problem, took_ms: Math.max(0, now() - now_ms), node_id });
}
