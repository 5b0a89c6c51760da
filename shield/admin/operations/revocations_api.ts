/**
 * `/v1/revocations` of the admin listener: revokes tokens, lists revocations, and lifts them. The router has checked
 * the caller.
 */
import { BOOLEAN, ID, inQuery, list, object, TENANT, TEXT } from "../../openapi/openapi_parts.ts";
import { ArqonError, isId } from "@arqon/proto";
import { z } from "zod";
import type { Config } from "../../../shared/config/schema.ts";
import type { Env } from "../../../shared/env.ts";
import {
  decodeRevocation,
  encodeRevocation,
  EVERY_TOKEN,
  REVOCATION_KINDS,
  REVOCATION_REASON_UNITS_MAX,
  revocationIdProblem,
  revocationKey,
  widest,
} from "../../../shared/records/revocations.ts";
import type { Revocation } from "../../../shared/records/revocations.ts";
import type { KeyValue, KvEntry } from "../../../shared/spine/contract/spine.ts";
import { storeTimeOf } from "../../../shared/spine/contract/store_time.ts";
import { type AdminCall, AdminTable, inBody, jsonBody } from "../routing/admin_routes.ts";
import { Id } from "../routing/query.ts";
import { parameterOf, settingsWithin } from "../../../shared/listeners/request_body.ts";
import type { Revocations } from "../../auth/revocations.ts";
import { changeDocument } from "../../../shared/spine/contract/compare_and_set.ts";

/** Largest body, in bytes. */
const BODY_BYTES = 4_096;
/** The most revocations in one listing. */
const SHOWN = 2_000;
/** An `issued_before_ms` further ahead than this is refused as a mistake, as is one in seconds. */
const AHEAD_MS = 86_400_000;
const EARLIEST_MS = 1_000_000_000_000;

/** What the admin API needs of the process. */
interface RevocationsAdminContext extends Pick<Env, "log" | "node_id" | "now"> {
  readonly revocations: Revocations;
  readonly bucket: KeyValue;
  readonly auth: Pick<Config["auth"], "revocation_seconds">;
  readonly limits: Pick<Config["limits"], "revocations">;
}

const Body = z.strictObject({
  tenant: Id,
  user: z.string().optional(),
  token_id: z.string().optional(),
  issued_before_ms: z.int().min(EARLIEST_MS, { error: "expected Unix ms" }).optional(),
  until_ms: z.int().min(0).max(8_640_000_000_000_000).optional(),
  reason: z.string().max(REVOCATION_REASON_UNITS_MAX).default(""),
});

type Body = z.output<typeof Body>;

/** The routes of this part. */
export const REVOCATION_ROUTES = new AdminTable<RevocationsAdminContext>("revocations", {
  "GET /v1/revocations": {
    id: "listRevocations",
    summary: "lists revocations",
    query: [inQuery("tenant", "only of this tenant", TEXT)],
    answer: object({ node_id: ID, revocations: list({ type: "object" }), truncated: BOOLEAN }),
    scope: "own",
    handle: listed,
  },
  "POST /v1/revocations": {
    audit: "revocation.add",
    id: "revoke",
    summary: "revokes a user's tokens, one token, or a tenant's earlier ones",
    answer: object({ node_id: ID, tenant: ID, revocation: { type: "object" } }),
    refusals: [409, 429],
    ...inBody(jsonBody(Body, settingsWithin(BODY_BYTES)), revoke),
  },
  "DELETE /v1/revocations": {
    audit: "revocation.lift",
    id: "liftRevocation",
    summary: "lifts a revocation",
    query: [
      TENANT,
      inQuery(
        "kind",
        "the kind of revocation",
        { type: "string", enum: [...REVOCATION_KINDS] },
        true,
      ),
      inQuery("id", "the user or the token id; not for issued-before", TEXT),
    ],
    answer: object({ node_id: ID, tenant: ID, lifted: BOOLEAN }),
    scope: "tenant-in-query",
    handle: lift,
  },
});

const refuse = (detail: string): never => {
  throw new ArqonError("invalid-settings", detail);
};

/** The revocation that a body describes. Throws `invalid-settings`, which names what is expected. */
function revocationFrom(
  { tenant, user, token_id, issued_before_ms, until_ms, reason }: Body,
  by: string,
  now_ms: number,
  stands_ms: number,
): { tenant_id: string; revocation: Revocation } {
  if (user !== undefined && token_id !== undefined) refuse("user and token_id exclude each other");
  if (token_id !== undefined && issued_before_ms !== undefined) {
    refuse("issued_before_ms is for a user or for the whole tenant; a token_id names one token");
  }
  if (user === undefined && token_id === undefined && issued_before_ms === undefined) {
    refuse("expected user, token_id or issued_before_ms");
  }
  if (issued_before_ms !== undefined && issued_before_ms > now_ms + AHEAD_MS) {
    refuse("issued_before_ms is more than a day ahead");
  }
  if (until_ms !== undefined && until_ms !== 0 && until_ms <= now_ms) {
    refuse("until_ms is in the past");
  }
  const about = user !== undefined
    ? { kind: "user" as const, id: user }
    : token_id !== undefined
    ? { kind: "token" as const, id: token_id }
    : { kind: "issued-before" as const, id: EVERY_TOKEN };
  const problem = revocationIdProblem(about.kind, about.id);
  if (problem !== undefined) refuse(`${about.kind === "user" ? "user" : "token_id"}: ${problem}`);
  const revocation = {
    ...about,
    issued_before_ms: about.kind === "token" ? 0 : issued_before_ms ?? now_ms,
    until_ms: until_ms ?? now_ms + stands_ms,
    reason,
    by: by.slice(0, REVOCATION_REASON_UNITS_MAX),
    created_ms: now_ms,
  };
  return { tenant_id: tenant, revocation };
}

async function revoke(
  context: RevocationsAdminContext,
  { by, only_tenant }: AdminCall,
  body: Body,
): Promise<Response> {
  const { auth, bucket, log, now, node_id } = context;
  const now_ms = await storeTimeOf(bucket, now);
  const given = revocationFrom(body, by, now_ms, auth.revocation_seconds * 1_000);
  const { tenant_id } = given;
  const is_operator = only_tenant === undefined;
  const revocation = await revokeTokens(context, tenant_id, given.revocation, is_operator);
  // Token ids stay out of the log.
  log.info("tokens were revoked", { tenant_id, kind: revocation.kind, by });
  return Response.json({ node_id, tenant: tenant_id, revocation });
}

function listed(
  { revocations, node_id }: RevocationsAdminContext,
  { url, only_tenant }: AdminCall,
): Response {
  const wanted = url.searchParams.has("tenant") ? parameterOf(url, "tenant") : undefined;
  const tenant = only_tenant ?? wanted;
  const shown: unknown[] = [];
  let truncated = false;
  for (const { tenant_id, revocation } of revocations.list(tenant)) {
    truncated = shown.length === SHOWN;
    if (truncated) break;
    shown.push({ tenant: tenant_id, ...revocation });
  }
  return Response.json({ node_id, revocations: shown, truncated });
}

async function lift(context: RevocationsAdminContext, { url, by }: AdminCall): Promise<Response> {
  const tenant_id = parameterOf(url, "tenant");
  const named = parameterOf(url, "kind");
  const kind = REVOCATION_KINDS.find((known) => known === named) ??
    refuse(`kind: expected one of ${REVOCATION_KINDS.join(", ")}`);
  const id = kind === "issued-before" ? EVERY_TOKEN : parameterOf(url, "id");
  if (!isId(tenant_id)) refuse("tenant: expected 1 to 64 of [A-Za-z0-9_~:=-]");
  const problem = revocationIdProblem(kind, id);
  if (problem !== undefined) refuse(`id: ${problem}`);
  const key = revocationKey(tenant_id, { kind, id });
  const stood = await context.bucket.get(key) !== undefined;
  if (stood) await context.bucket.delete(key);
  if (stood) context.log.info("a revocation was lifted", { tenant_id, kind, by });
  return Response.json({ node_id: context.node_id, tenant: tenant_id, lifted: stood });
}

/** With n concurrent writers the last one succeeds at its n-th attempt. */
const ATTEMPTS = 16;

/** Where a revocation is stored and applied. */
interface RevokeContext {
  readonly revocations: Pick<Revocations, "hasRoom" | "take">;
  readonly bucket: Pick<KeyValue, "get" | "update">;
  readonly limits: Pick<Config["limits"], "revocations">;
}

/**
 * Resolves with the merged revocation, in force here. Rejects with `revocation-limit` (429) above the tenant's share
 * of them, unless an operator asks, `version-conflict` or `spine-unavailable`.
 */
export async function revokeTokens(
  { revocations, bucket, limits }: RevokeContext,
  tenant_id: string,
  wanted: Revocation,
  is_operator: boolean,
): Promise<Revocation> {
  if (!revocations.hasRoom(tenant_id, wanted, is_operator)) {
    const detail = `${limits.revocations} of all tenants, of which each has a share`;
    throw new ArqonError("revocation-limit", detail);
  }
  const entry = await store(bucket, tenant_id, wanted);
  revocations.take(entry);
  return decodeRevocation(entry.value);
}

/** Stores it merged with the earlier one, never instead of it. */
function store(
  bucket: RevokeContext["bucket"],
  tenant_id: string,
  wanted: Revocation,
): Promise<KvEntry> {
  const key = revocationKey(tenant_id, wanted);
  return changeDocument(async (mayLose) => {
    const before = await bucket.get(key);
    const value = encodeRevocation(before === undefined ? wanted : merged(before, wanted));
    const revision = await mayLose(bucket.update(key, value, before?.revision ?? 0));
    return { key, value, revision };
  }, { attempts: ATTEMPTS });
}

/**
 * A revocation merged with a stored one. An unreadable one is replaced: until then it applies to everything that it can
 * match.
 */
function merged({ value }: KvEntry, wanted: Revocation): Revocation {
  try {
    return widest(decodeRevocation(value), wanted);
  } catch {
    return wanted;
  }
}
