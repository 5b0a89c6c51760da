/**
 * `/v1/mirror…` and `/v1/tenants/{tenant}/mirror` of the admin listener: rules of tenants, which rule
 * is about a subject, and what candidates would have decided. Knows requests and answers; that the
 * caller is an admin has been checked before.
 */
import { ArqonError } from "@arqon/proto";
import { MirrorRule } from "../../shared/config/schema_governance.ts";
import type { Logger } from "../../shared/log.ts";
import { problemResponse } from "../../shared/problem.ts";
import { parseRoomSubject } from "../../shared/subject.ts";
import type { TenantSettings } from "../../shared/tenant_settings.ts";
import { parameterOf, readValue, tenantInPath, tenantOf } from "../policy/admin_body.ts";
import type { Settings, StoredSettings } from "../settings.ts";
import type { DiffBook } from "./diff.ts";
import type { MirrorRules } from "./rules.ts";

/** Largest body, in bytes. */
const RULE_BYTES = 4_096;
/** How long an answer waits until this process has in force what it has written, in ms. */
const IN_FORCE_MS = 5_000;
/** Rules that one listing shows. */
const RULES_SHOWN = 2_000;
const NO_STORE = { "cache-control": "no-store" };

/** What the admin API needs of the process. */
export interface MirrorAdminContext {
  readonly rules: MirrorRules;
  readonly settings: Settings;
  readonly book: DiffBook;
  readonly log: Logger;
  /** Of this Shield: each compares only what it has mirrored itself. */
  readonly node_id: string;
}

const TENANT_PATH = /^\/v1\/tenants\/([^/]+)\/(mirror|reset)$/;

/** Whether a path is one for `handleMirror`. */
export function isMirrorPath(path: string): boolean {
  return path === "/v1/mirror" || path.startsWith("/v1/mirror/") || TENANT_PATH.test(path);
}

/** One request, taken apart. */
interface Call {
  readonly request: Request;
  readonly url: URL;
  /** Of a path below `/v1/tenants/`, else "". */
  readonly tenant: string;
  /** User id of the admin. */
  readonly by: string;
}

type Handler = (context: MirrorAdminContext, call: Call) => Response | Promise<Response>;
type Methods = Readonly<Record<string, Handler>>;

const ROUTES: Readonly<Record<string, Methods>> = {
  "/v1/mirror": { GET: listRules },
  "/v1/mirror/explain": { GET: explain },
  "/v1/mirror/diff": { GET: showDiff, DELETE: resetDiff },
};
const TENANT_ROUTES: Readonly<Record<string, Methods>> = {
  mirror: { GET: showTenant, PUT: setRule, DELETE: removeRule },
  reset: { POST: resetTenant },
};

/** Answers one request of an admin, whose user id is `by`. Never rejects. */
export async function handleMirror(
  context: MirrorAdminContext,
  request: Request,
  by: string,
): Promise<Response> {
  const url = new URL(request.url);
  const path = url.pathname;
  const [, encoded, what] = TENANT_PATH.exec(path) ?? [];
  const methods = (what === undefined ? ROUTES[path] : TENANT_ROUTES[what]) ?? {};
  try {
    const allowed = Object.keys(methods);
    if (allowed.length === 0) throw new ArqonError("not-found", path);
    if (!allowed.includes(request.method)) {
      const refusal = new ArqonError("method-not-allowed", request.method);
      return problemResponse(refusal, { allow: allowed.join(", ") });
    }
    const tenant = encoded === undefined ? "" : tenantInPath(encoded);
    return await methods[request.method]!(context, { request, url, tenant, by });
  } catch (error) {
    const known = error instanceof ArqonError ? error : undefined;
    if (known === undefined || known.reason === "internal") {
      context.log.error("admin request failed", { path, error });
    }
    return problemResponse(known ?? new ArqonError("internal"));
  }
}

const answer = (body: unknown): Response => Response.json(body, { headers: NO_STORE });

function listRules({ rules, node_id }: MirrorAdminContext): Response {
  const all = rules.list();
  const shown = all.slice(0, RULES_SHOWN);
  return answer({ node_id, rules: shown, truncated: all.length > shown.length });
}

function explain({ rules, node_id }: MirrorAdminContext, { url }: Call): Response {
  const subject = parameterOf(url, "subject");
  const room = subject.startsWith("in.") ? parseRoomSubject(subject) : undefined;
  if (room === undefined) {
    const detail = `${JSON.stringify(subject)} is no subject that clients publish on; expected ` +
      "in.t.TENANT.r.ROOM";
    throw new ArqonError("invalid-settings", detail);
  }
  const [rule, ...others] = rules.explain(subject, room.tenantId);
  const key = url.searchParams.get("key");
  const compiled = rules.match(subject, room.tenantId);
  const mirrored = key === null || compiled === undefined
    ? {}
    : { key, mirrored: rules.picks(compiled, key) };
  return answer({ node_id, subject, rule: rule ?? null, others, why: why(rule), ...mirrored });
}

function why(rule: MirrorRule & { source: string } | undefined): string {
  if (rule === undefined) return "no rule matches: nothing is mirrored";
  const source = rule.source === "config" ? "the configuration" : "the tenant's settings";
  return `${rule.prefix} of ${source} has the longest prefix that matches`;
}

function view({ settings, revision }: StoredSettings) {
  const { version, by, changed_ms, mirror } = settings;
  return { version, revision, by, changed_ms, rules: mirror.rules };
}

async function showTenant(
  { settings, node_id }: MirrorAdminContext,
  { tenant }: Call,
): Promise<Response> {
  const stored = await settings.read(tenant);
  const { version } = settings.get(tenant);
  const here = { node_id, version, problem: settings.problem(tenant) ?? null };
  return answer({ tenant, ...view(stored), here });
}

async function setRule(context: MirrorAdminContext, call: Call): Promise<Response> {
  const rule = await readRule(call.request);
  return await changeRules(context, call, (rules) => {
    const before = rules.find(({ prefix }) => prefix === rule.prefix);
    if (before?.percent === rule.percent) return rules;
    const others = rules.filter(({ prefix }) => prefix !== rule.prefix);
    return [...others, rule];
  });
}

async function removeRule(context: MirrorAdminContext, call: Call): Promise<Response> {
  const prefix = parameterOf(call.url, "prefix");
  return await changeRules(context, call, (rules) => {
    const others = rules.filter((rule) => rule.prefix !== prefix);
    return others.length === rules.length ? rules : others;
  });
}

type Rules = TenantSettings["mirror"]["rules"];

/** `change` returns what it got where there is nothing to write. */
async function changeRules(
  context: MirrorAdminContext,
  call: Call,
  change: (rules: Rules) => Rules,
): Promise<Response> {
  const { settings } = context;
  let changed = false;
  const stored = await settings.change(call.tenant, call.by, (before) => {
    const rules = change(before.mirror.rules);
    changed = rules !== before.mirror.rules;
    return changed ? { ...before, mirror: { ...before.mirror, rules } } : before;
  });
  return await written(context, call, stored, changed);
}

async function resetTenant(context: MirrorAdminContext, call: Call): Promise<Response> {
  return await written(context, call, await context.settings.reset(call.tenant, call.by), true);
}

/** The answer to a change: what is stored, and whether this process has it in force. */
async function written(
  { settings, log, node_id }: MirrorAdminContext,
  { tenant, by }: Call,
  stored: StoredSettings,
  changed: boolean,
): Promise<Response> {
  const { version } = stored.settings;
  if (changed) log.info("a tenant's mirror rules were changed", { tenant_id: tenant, version, by });
  const in_force = stored.revision === 0 ||
    await settings.reached(tenant, stored.revision, IN_FORCE_MS);
  return answer({ tenant, changed, ...view(stored), here: { node_id, in_force } });
}

/** The rule of a body. Rejects with `invalid-settings` that names what is wrong. */
async function readRule(request: Request): Promise<MirrorRule> {
  const value = await readValue(request, RULE_BYTES);
  const parsed = MirrorRule.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.slice(0, 8).map((issue) => {
    const where = issue.path.join(".") || "the body";
    const given = where === "percent" ? ` ${JSON.stringify(percentOf(value))}` : "";
    const right = where === "percent" ? "; expected a fraction from 0 to 1, 0.1 being 10 %" : "";
    return `${where}${given}: ${issue.message}${right}`;
  });
  throw new ArqonError("invalid-settings", problems.join("; "));
}

function percentOf(value: unknown): unknown {
  return typeof value === "object" && value !== null && "percent" in value ? value.percent : null;
}

function showDiff({ book, node_id }: MirrorAdminContext, { url }: Call): Response {
  const tenant = tenantOf(url);
  return answer({ node_id, tenant, candidates: book.list(tenant) });
}

function resetDiff({ book, node_id }: MirrorAdminContext, { url }: Call): Response {
  const tenant = tenantOf(url);
  const candidate = url.searchParams.get("candidate") ?? undefined;
  return answer({ node_id, tenant, forgotten: book.reset(tenant, candidate) });
}
