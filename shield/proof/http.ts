/**
 * Trees over HTTP, as c2sp.org/tlog-tiles has them, below `/v1/proof/{tree}/`: the checkpoint, tiles and bundles, and
 * the key that checks them. A tree is `TENANT.ROOM`, `audit`, `journal@TENANT` or `usage@TENANT`. A reader of a room's
 * history may read its tree. Anybody may read a public tree, and caches may keep its immutable parts.
 */
import { ArqonError, encodeVerifier, TILE_WIDTH, tileOf } from "@arqon/proto";
import { templateNames } from "../../shared/path_template.ts";
import { problemResponse } from "../../shared/problem.ts";
import { adminOf } from "../admin/routing/admin_scope.ts";
import { requireGrant } from "../auth/authorize.ts";
import type { Bans } from "../auth/bans.ts";
import type { ForeignEntry } from "../http/http.ts";
import { decodedPart, httpCaller } from "../http/route.ts";
import type { ClientCall, ClientRoute, DescribedRoute } from "../http/route.ts";
import { ID, inPath, object } from "../openapi/openapi_parts.ts";
import type { Policies } from "../message/gates.ts";
import type { HttpRates } from "../rates/http_rates.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import { BUS, type NamedTree, type ProofService } from "./service.ts";
import type { Env } from "../../shared/env.ts";
import { type AdminCall, AdminTable } from "../admin/routing/admin_routes.ts";
import { Id, readQuery } from "../admin/routing/query.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import type { ProofKeys } from "./keys.ts";

const PREFIX = "/v1/proof/";
/** The most running requests without a token, shared by the tenants of the trees. */
const PUBLIC_MAX = 64;
const RETRY_MS = 1_000;
/** Beside a checkpoint: the room's class leaves messages out for its readers, so that not every entry comes to them. */
const PARTIAL = "x-arqon-partial";
const FOREVER = "max-age=31536000, immutable";
/** Index and width of a tile are up to five parts of its path. */
const TILE_PARTS = ["{n}", "{n}/{m}", "{n}/{m}/{o}", "{n}/{m}/{o}/{p}", "{n}/{m}/{o}/{p}/{w}"];

const PARTS: Readonly<Record<string, string>> = {
  tree: "TENANT.ROOM, audit, journal@TENANT or usage@TENANT",
  level: "the level of the tile, or entries",
  n: "the index of the tile, or its first part",
  m: "the next part",
  o: "the next part",
  p: "the next part",
  w: "the last part: the width",
};

function route(id: string, path: string, summary: string, type: string): DescribedRoute {
  const query = ["tree", ...templateNames(path)].map((name) => inPath(name, PARTS[name] ?? ""));
  const about = { id, tag: "proof", summary, type, answer: {}, refusals: [404], query };
  return { method: "GET", template: `${PREFIX}{tree}/${path}`, about };
}

/** The routes, as they are described. */
export const PROOF_ROUTES: readonly DescribedRoute[] = [
  route("proofCheckpoint", "checkpoint", "The newest checkpoint of a record's tree", "text/plain"),
  route(
    "proofKey",
    "key",
    "The keys that check checkpoints, each a vkey in a line, the newest first",
    "text/plain",
  ),
  ...TILE_PARTS.map((parts, at) =>
    route(
      `proofTile${at + 1}`,
      `tile/{level}/${parts}`,
      "A tile of a record's tree; with the level `entries`, a bundle of its entries",
      "application/octet-stream",
    )
  ),
];

/** The dependencies of the routes. */
export interface ProofHttpContext {
  /** Undefined: it has not started. */
  readonly service: () => ProofService | undefined;
  readonly operators: () => readonly string[];
  readonly bans: Pick<Bans, "requireRoom">;
  readonly overseer: Pick<Policies, "onSubscribe">;
  readonly rates: Pick<HttpRates, "take">;
  readonly stats: Pick<ShieldStats, "ingress_ops" | "rejects">;
}

interface FileRequest extends NamedTree {
  readonly service: ProofService;
  /** The requested part: the path after the tree's name. */
  readonly what: string;
}

/** Undefined: there is no such tree. Throws `invalid-field` for a malformed % escape. */
function fileIn({ service: running }: ProofHttpContext, path: string): FileRequest | undefined {
  const [, name = "", what = ""] = /^\/v1\/proof\/([^/]+)\/(.+)$/.exec(path) ?? [];
  const service = running();
  const named = service?.find(decodedPart("tree", name));
  return named && service && { ...named, service, what };
}

/** Answers a request for a tree. Rejects with a refusal. */
async function answer(request: FileRequest): Promise<Response> {
  const { service, what } = request;
  const tree = await service.open(request);
  // A browser's cache gives what one user has read to no other one.
  const kept = (cache: string): Record<string, string> =>
    request.is_public
      ? { "cache-control": `public, ${cache}` }
      : { "cache-control": `private, ${cache}`, vary: "authorization" };
  const text = (body: string, cache: string, more = {}) =>
    new Response(body, {
      headers: { "content-type": "text/plain; charset=utf-8", ...kept(cache), ...more },
    });
  if (what === "checkpoint") {
    const more = { [PARTIAL]: "1", "access-control-expose-headers": PARTIAL };
    return text(await service.checkpoint(tree), "max-age=1", request.is_partial ? more : {});
  }
  if (what === "key") {
    const { signers } = await tree.keys();
    return text(signers.map((signer) => `${encodeVerifier(signer)}\n`).join(""), "max-age=3600");
  }
  const tile = tileOf(what);
  const bytes = tile && await tree.tile(tile);
  if (bytes === undefined) throw new ArqonError("not-found", what);
  return new Response(new Uint8Array(bytes), {
    headers: {
      "content-type": "application/octet-stream",
      ...kept(tile?.width === TILE_WIDTH ? FOREVER : "max-age=3600, immutable"),
    },
  });
}

/** Runs all checks that can refuse a reader of the room's history. */
async function admit(
  context: ProofHttpContext,
  { client, request }: ClientCall,
  { tenant_id, room_id }: FileRequest,
): Promise<void> {
  const { identity } = client;
  if (room_id === undefined) {
    if (identity.role !== "admin") {
      throw new ArqonError("role-forbidden", "only admins may read this log");
    }
    const { only_tenant } = adminOf(client, context.operators());
    if (only_tenant === undefined || only_tenant === tenant_id) return;
    if (tenant_id !== undefined) throw new ArqonError("tenant-mismatch", tenant_id);
    throw new ArqonError("role-forbidden", "only operators may read this log");
  }
  if (tenant_id !== identity.tenant_id) throw new ArqonError("tenant-mismatch", tenant_id);
  requireGrant(identity, "subscribe", room_id);
  context.bans.requireRoom(identity, room_id);
  await context.overseer.onSubscribe(httpCaller(client, request.headers), room_id);
}

/** Makes the routes for clients with a token. */
export function proofRoutes(context: ProofHttpContext): ClientRoute[] {
  const answered = async (call: ClientCall) => {
    bump(context.stats.ingress_ops, "http_proof");
    context.rates.take(call.client.identity, call.request.url.length);
    const file = fileIn(context, call.url.pathname);
    if (file === undefined) throw new ArqonError("not-found", "no such transparency log");
    await admit(context, call, file);
    return await answer(file);
  };
  return PROOF_ROUTES.map((described) => ({ ...described, answer: answered }));
}

/** Answers requests for public trees, before the check of tokens. */
export function publicProofs(context: ProofHttpContext): ForeignEntry {
  const pending = new FairBound(PUBLIC_MAX);
  const refused = (error: unknown) => {
    const refusal = error instanceof ArqonError ? error : new ArqonError("internal");
    bump(context.stats.rejects, refusal.reason);
    return problemResponse(refusal, {});
  };
  const answered = async (file: FileRequest) => {
    const { tenant_id = "" } = file;
    if (!pending.take(tenant_id)) {
      throw new ArqonError("at-capacity", "readers without a token", { retry_after_ms: RETRY_MS });
    }
    try {
      if (!await file.service.isThere(file)) throw new ArqonError("not-found", "no such log yet");
      return await answer(file);
    } finally {
      pending.add(tenant_id, -1);
    }
  };
  return (request, url) => {
    if (!url.pathname.startsWith(PREFIX)) return undefined;
    if (request.method !== "GET" && request.method !== "HEAD") return undefined;
    let answering: Promise<Response>;
    try {
      const file = fileIn(context, url.pathname);
      if (file === undefined || !file.is_public) return undefined;
      answering = answered(file).catch(refused);
    } catch (error) {
      answering = Promise.resolve(refused(error));
    }
    return answering.then((response) => {
      response.headers.set("access-control-allow-origin", "*");
      return response;
    });
  };
}

interface ProofAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly keys: Pick<ProofKeys, "rotate">;
}

const QUERY = { tenant: Id.optional().describe("the tenant; absent: the records of the bus") };

/** The routes of transparency logs. */
export const PROOF_ADMIN_ROUTES = new AdminTable<ProofAdminContext>("proof", {
  "POST /v1/proof/rotate": {
    audit: "proof.rotate",
    id: "rotateProofKey",
    summary:
      "makes a new key for a tenant's transparency logs; the previous key also keeps signing",
    query: QUERY,
    answer: object({ node_id: ID }),
    scope: "tenant-in-query",
    handle: rotate,
  },
});

async function rotate({ keys, log, node_id }: ProofAdminContext, { url, by }: AdminCall) {
  const { tenant } = readQuery(url, QUERY);
  await keys.rotate(tenant ?? BUS);
  log.info("transparency logs have a new key", { tenant_id: tenant, by });
  return Response.json({ node_id }, { headers: { "cache-control": "no-store" } });
}
