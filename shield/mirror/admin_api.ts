/**
 * `/v1/mirror…` and `/v1/tenants/{tenant}/mirror` of the admin listener: rules of tenants, the rule of a subject, and
 * candidates' verdicts. The caller is authorized already.
 */
import { BOOLEAN, ID, inQuery, list, object, ref, TENANT, TEXT } from "../openapi/openapi_parts.ts";
import { ArqonError } from "@arqon/proto";
import { MirrorRule } from "../../shared/config/schema_governance.ts";
import type { Env } from "../../shared/env.ts";
import { parseRoomSubject } from "../../shared/subjects/subject.ts";
import { canMatchBelow } from "../../shared/subjects/subject_pattern.ts";
import { type AdminCall, AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import { parameterOf, readValue, tenantOf } from "../../shared/listeners/request_body.ts";
import { Section } from "../settings/section.ts";
import type { Settings } from "../settings/settings.ts";
import type { DiffBook } from "./diff.ts";
import type { MirrorRules } from "./rules.ts";

const SETTINGS = ref("TenantSettings");
const OBJECT = { type: "object" };

/** The largest body of a request, in bytes. */
const RULE_BYTES = 4_096;
/** The most rules in one listing. */
const RULES_SHOWN = 2_000;

/** The context of the mirror's routes. */
export interface MirrorAdminContext extends Pick<Env, "log"> {
  readonly rules: MirrorRules;
  readonly settings: Settings;
  readonly book: DiffBook;
  /** The id of this Shield: each compares only its own mirrored messages. */
  readonly node_id: string;
}

/** The routes of the mirror's admin API. */
export const MIRROR_ROUTES = new AdminTable<MirrorAdminContext>("mirror", {
  "GET /v1/mirror": {
    id: "listMirrorRules",
    summary: "lists the mirror rules in force on this Shield",
    answer: object({ node_id: ID, rules: list(OBJECT), truncated: BOOLEAN }),
    scope: "own",
    handle: listRules,
  },
  "GET /v1/mirror/explain": {
    id: "explainMirror",
    summary: "explains which rule applies to a subject, and whether a key is mirrored",
    query: [
      inQuery("subject", "in.t.TENANT.r.ROOM", TEXT, true),
      inQuery("key", "a trace id, or a connection's id", TEXT),
    ],
    answer: OBJECT,
    scope: "tenant-in-subject",
    handle: explain,
  },
  "GET /v1/mirror/diff": {
    id: "getMirrorDiff",
    summary: "shows different decisions of candidates on this Shield",
    query: [TENANT, inQuery("candidate", "only this candidate", TEXT)],
    answer: object({ node_id: ID, tenant: ID, candidates: list(OBJECT) }),
    scope: "tenant-in-query",
    handle: showDiff,
  },
  "DELETE /v1/mirror/diff": {
    audit: "mirror.forget_diff",
    id: "resetMirrorDiff",
    summary: "clears the counted decisions of candidates",
    query: [TENANT, inQuery("candidate", "only this candidate", TEXT)],
    answer: OBJECT,
    scope: "tenant-in-query",
    handle: resetDiff,
  },
  "GET /v1/tenants/{tenant}/mirror": {
    id: "getMirrorRules",
    summary: "lists a tenant's own mirror rules",
    answer: SETTINGS,
    scope: "tenant-in-path",
    handle: (context, { tenant }) => RULES.show(context, tenant),
  },
  "PUT /v1/tenants/{tenant}/mirror": {
    audit: "mirror.set",
    id: "setMirrorRule",
    summary: "sets a tenant's mirror rule for one prefix",
    answer: SETTINGS,
    refusals: [409],
    scope: "tenant-in-path",
    ...withBody(jsonBody(MirrorRule, readRule), setRule),
  },
  "DELETE /v1/tenants/{tenant}/mirror": {
    audit: "mirror.remove",
    id: "removeMirrorRule",
    summary: "removes a tenant's mirror rule",
    query: [inQuery("prefix", "the rule's prefix", TEXT, true)],
    answer: SETTINGS,
    refusals: [409],
    scope: "tenant-in-path",
    handle: removeRule,
  },
  "POST /v1/tenants/{tenant}/reset": {
    audit: "settings.reset",
    id: "resetSettings",
    summary: "resets a tenant's unreadable settings",
    answer: SETTINGS,
    refusals: [409],
    scope: "tenant-in-path",
    handle: resetTenant,
  },
});

/** Lists rules; the admin of a tenant sees those that can apply to the tenant's subjects. */
function listRules({ rules, node_id }: MirrorAdminContext, { only_tenant }: AdminCall): Response {
  const all = only_tenant === undefined
    ? rules.list()
    : rules.list().filter(({ prefix }) => canMatchBelow(prefix, `in.t.${only_tenant}.`));
  const shown = all.slice(0, RULES_SHOWN);
  return Response.json({ node_id, rules: shown, truncated: all.length > shown.length });
}

function explain({ rules, node_id }: MirrorAdminContext, { url }: AdminCall): Response {
  const subject = parameterOf(url, "subject");
  const room = subject.startsWith("in.") ? parseRoomSubject(subject) : undefined;
  if (room === undefined) {
    const detail =
      `${JSON.stringify(subject)} is not a subject that clients publish on; expected ` +
      "in.t.TENANT.r.ROOM";
    throw new ArqonError("invalid-settings", detail);
  }
  const [rule, ...others] = rules.explain(subject, room.tenantId);
  const key = url.searchParams.get("key");
  const compiled = rules.match(subject, room.tenantId);
  const mirrored = key === null || compiled === undefined
    ? {}
    : { key, mirrored: rules.picks(compiled, key) };
  return Response.json({
    node_id,
    subject,
    rule: rule ?? null,
    others,
    why: why(rule),
    ...mirrored,
  });
}

function why(rule: MirrorRule & { source: string } | undefined): string {
  if (rule === undefined) return "no rule matches: nothing is mirrored";
  const source = rule.source === "config" ? "the configuration" : "the tenant's settings";
  return `${rule.prefix} of ${source} has the longest prefix that matches`;
}

const RULES = new Section("mirror", "mirror rules", ({ mirror: { rules } }) => ({ rules }));

async function setRule(
  context: MirrorAdminContext,
  call: AdminCall,
  rule: MirrorRule,
): Promise<Response> {
  return await RULES.change(context, call, (mirror) => {
    const before = mirror.rules.find(({ prefix }) => prefix === rule.prefix);
    if (before?.percent === rule.percent) return mirror;
    const others = mirror.rules.filter(({ prefix }) => prefix !== rule.prefix);
    return { ...mirror, rules: [...others, rule] };
  });
}

async function removeRule(context: MirrorAdminContext, call: AdminCall): Promise<Response> {
  const removed = parameterOf(call.url, "prefix");
  return await RULES.change(context, call, (mirror) => {
    return { ...mirror, rules: mirror.rules.filter(({ prefix }) => prefix !== removed) };
  });
}

async function resetTenant(context: MirrorAdminContext, call: AdminCall): Promise<Response> {
  const stored = await context.settings.reset(call.tenant, call.by);
  return await RULES.written(context, call, stored, true);
}

/** Parses the rule in a body. Rejects with `invalid-settings`, which names the fault. */
async function readRule(request: Request, schema: typeof MirrorRule): Promise<MirrorRule> {
  const value = await readValue(request, RULE_BYTES);
  const parsed = schema.safeParse(value);
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

function showDiff({ book, node_id }: MirrorAdminContext, { url }: AdminCall): Response {
  const tenant = tenantOf(url);
  const candidate = url.searchParams.get("candidate");
  const candidates = book.list(tenant)
    .filter((one) => candidate === null || one.candidate === candidate);
  return Response.json({ node_id, tenant, candidates });
}

function resetDiff({ book, node_id }: MirrorAdminContext, { url }: AdminCall): Response {
  const tenant = tenantOf(url);
  const candidate = url.searchParams.get("candidate") ?? undefined;
  return Response.json({ node_id, tenant, forgotten: book.reset(tenant, candidate) });
}
