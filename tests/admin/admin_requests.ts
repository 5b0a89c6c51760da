/**
 * One request to every route of the admin API about a chosen tenant, for tests of authorization: in an order in which
 * each finds its subject. `admin_tenants_test.ts` compares the list with the route tables.
 */
import { listedRoutes } from "../../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { ping } from "../../shield/schema/testing/schemas.ts";
import { send } from "../peers/own_connections.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** The request for one tenant. */
export interface AdminRequest {
  /** Includes the query. */
  readonly path: string;
  /** JSON, or raw bytes. */
  readonly body?: object | Uint8Array<ArrayBuffer>;
  /** Content type of bytes. */
  readonly type?: string;
}

/** A route with its request. */
export interface RequestOf {
  readonly method: string;
  /** As in the route tables. */
  readonly template: string;
  readonly about: (tenant: string) => AdminRequest;
  /** The status for an authorized caller; 200 unless stated. */
  readonly status: number;
}

/** SHA-256 of the uploaded module, in hex. */
export async function moduleHash(): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await moduleBytes()));
  return hash.toHex();
}

function moduleBytes(): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`);
}

/** Method and path, in which TENANT is replaced by the tenant; the body; the status. */
type Row = readonly [
  line: string,
  body?: object | Uint8Array<ArrayBuffer> | ((tenant: string) => object) | undefined,
  status?: number,
];

/** A room that `startBusWith` makes durable. */
const ROOM = "/v1/rooms/TENANT/logged-1";

function policies(module: Uint8Array<ArrayBuffer>, sha256: string): Row[] {
  const named = (tenant: string) => ({ tenant });
  return [
    ["PUT /v1/policies/modules", module],
    ["POST /v1/tenants/TENANT/state/modules", module],
    [
      "POST /v1/policies/deploy",
      (tenant) => ({ tenant, name: "words", sha256, room: "worded" }),
    ],
    [`GET /v1/policies/modules/${sha256}?tenant=TENANT`],
    ["GET /v1/policies?tenant=TENANT"],
    ["GET /v1/policies/stats?tenant=TENANT"],
    ["GET /v1/policies/logs?tenant=TENANT"],
    ["GET /v1/policies/quarantine?tenant=TENANT"],
    ["DELETE /v1/policies/quarantine/none", undefined, 404],
    ["DELETE /v1/policies/words?tenant=TENANT"],
    ["POST /v1/policies/rollback", named],
    // Only unreadable policies can be reset.
    ["POST /v1/policies/reset", named, 409],
  ];
}

function schemas(): Row[] {
  const set = ping();
  const mappings = "/v1/tenants/TENANT/mappings";
  return [
    ["PUT /v1/schemas/everyones", set],
    ["GET /v1/schemas?tenant=TENANT"],
    ["GET /v1/schemas/everyones"],
    ["POST /v1/schemas/everyones/check", set],
    ["PUT /v1/schemas/everyones/staged", set],
    ["POST /v1/schemas/everyones/rollback?version=1"],
    ["POST /v1/schemas/everyones/validate?message=t.Ping", { n: 1 }],
    ["GET /v1/schemas/everyones/versions/1"],
    [`PUT ${mappings}`, (tenant) => ({
      subject: `in.t.${tenant}.r.mapped*`,
      schema_id: "everyones",
      message: "t.Ping",
    })],
    [`GET ${mappings}`],
    [`DELETE ${mappings}`],
    ["DELETE /v1/schemas/everyones"],
  ];
}

function settings(): Row[] {
  const tenant = "/v1/tenants/TENANT";
  const rolled = { policies: [], canary: 0.1, for_ms: 1_000 };
  const basis = { settings: 999_999, policies: 0 };
  const prefix = "in.t.TENANT.r.mirrored*";
  return [
    [`PUT ${tenant}/mirror`, (name) => ({ prefix: prefix.replace("TENANT", name), percent: 0.5 })],
    [`GET ${tenant}/mirror`],
    [`DELETE ${tenant}/mirror?prefix=${prefix}`],
    ["GET /v1/mirror?tenant=TENANT"],
    ["GET /v1/mirror/explain?subject=in.t.TENANT.r.lobby"],
    ["GET /v1/mirror/diff?tenant=TENANT"],
    ["DELETE /v1/mirror/diff?tenant=TENANT"],
    [`PUT ${tenant}/rooms`, { room: "vip-*", max_members: 3 }],
    [`GET ${tenant}/rooms`],
    [`DELETE ${tenant}/rooms?room=vip-*`],
    [`POST ${tenant}/rooms/unreachable`, { rooms: [] }],
    [`GET ${tenant}/budgets`],
    [`PUT ${tenant}/budgets`, { per: "day", unit: "messages_in", limit: 1e9, action: "warn" }],
    [`DELETE ${tenant}/budgets?per=day&unit=messages_in&action=warn`],
    ...schedules(`${tenant}/schedules`),
    ...hooks(`${tenant}/hooks`),
    ...reducers(`${tenant}/reducers`),
    ["GET /v1/rooms/classes?tenant=TENANT"],
    ["GET /v1/rooms/classes/explain?tenant=TENANT&room=lobby"],
    [`POST ${tenant}/reset`, undefined, 409],
    ["GET /v1/state"],
    ["PUT /v1/state", { schemas: [] }],
    [`GET ${tenant}/state`],
    ["GET /v1/rollouts?tenant=TENANT"],
    ["GET /v1/rollouts/TENANT", undefined, 404],
    ["POST /v1/rollouts/TENANT", { basis, ...rolled }, 409],
    ...["pause", "resume", "abort"].map((order): Row => {
      return [`POST /v1/rollouts/TENANT/${order}`, undefined, 404];
    }),
    // No plan was made on that revision.
    [`PUT ${tenant}/state`, { basis }, 409],
    [`POST ${tenant}/state/check`, { mirror: [] }],
  ];
}

function schedules(all: string): Row[] {
  const one = `${all}/hourly`;
  return [
    [`PUT ${one}`, {
      room: "lobby",
      message: { type: "tick", data: {} },
      every_ms: 3_600_000,
    }],
    [`GET ${all}`],
    [`GET ${one}`],
    [`POST ${one}/pause`],
    [`POST ${one}/resume`],
    [`DELETE ${one}`],
  ];
}

function hooks(all: string): Row[] {
  const one = `${all}/billing`;
  return [
    [`PUT ${one}`, { url: "https://127.0.0.1:1/" }],
    [`GET ${all}`],
    [`GET ${one}`],
    [`POST ${one}/replay?from_ms=1`],
    ...["pause", "resume", "test"].map((word): Row => [`POST ${one}/${word}`]),
    [`DELETE ${one}`],
  ];
}

/** No class of these tenants has a reducer. */
function reducers(all: string): Row[] {
  const one = `${all}/auction-*`;
  const module = new Uint8Array(8);
  return [
    [`GET ${all}`],
    [`GET ${one}`, undefined, 404],
    [`PUT ${one}`, module, 404],
    [`POST ${one}/rollback`, undefined, 404],
    [`GET ${one}/modules/00`, undefined, 404],
    [`PUT ${one}/modules/00`, module, 404],
  ];
}

function cluster(): Row[] {
  const gone = (tenant: string) => ({ tenant, user: "gone" });
  return [
    ["POST /v1/revocations", gone],
    ["GET /v1/revocations?tenant=TENANT"],
    ["DELETE /v1/revocations?tenant=TENANT&kind=user&id=gone"],
    ["POST /v1/proof/rotate?tenant=TENANT"],
    ["GET /v1/status"],
    ["GET /v1/access"],
    ["GET /v1/cluster"],
    ["GET /v1/cluster/history"],
    ["GET /v1/connections?tenant=TENANT"],
    ["GET /v1/connections/c-none", undefined, 404],
    ["DELETE /v1/connections/c-none", undefined, 404],
    ["GET /v1/rooms?tenant=TENANT"],
    ["GET /v1/rooms/stored?tenant=TENANT&prefix=l"],
    ["GET /v1/tenants/TENANT/rooms/cut-off"],
    ["GET /v1/rooms/TENANT/lobby"],
    ["GET /v1/rooms/TENANT/lobby/tail"],
    [`POST ${ROOM}/messages`, { type: "chat", data: { text: "by an admin" } }],
    [`GET ${ROOM}/messages`],
    [`GET ${ROOM}/state`],
    // It has no reducer; `tests/admin/admin_reduced_room_test.ts` has rooms with one.
    [`GET ${ROOM}/reducer`, undefined, 404],
    [`GET ${ROOM}/reducer/x`, undefined, 404],
    [`GET ${ROOM}/past`, undefined, 404],
    [`POST ${ROOM}/fork`, { to: "other" }, 404],
    [`POST ${ROOM}/repair`, { accept_loss: true }, 404],
    [`POST ${ROOM}/trim`, { before: 5 }],
    [`POST ${ROOM}/kick`, { user_id: "nobody" }],
    [`POST ${ROOM}/ban`, { user_id: "nobody", scope: "room", ttl_ms: 60_000 }],
    ["GET /v1/bans?tenant=TENANT"],
    ["DELETE /v1/bans?tenant=TENANT&room=logged-1&user=nobody"],
    ["GET /v1/tenants"],
    ["GET /v1/limits"],
    ["GET /v1/why?tenant=TENANT&user=ann"],
    ["POST /v1/drain", { node_id: "nobody" }, 404],
    ["GET /v1/log"],
    ["GET /v1/config"],
    ["POST /v1/config/reload", { node_id: "nobody" }, 404],
    ["GET /v1/audit?tenant=TENANT"],
    ["GET /v1/audit/entries"],
    ["GET /v1/journal?tenant=TENANT"],
    ["GET /v1/journal/status?tenant=TENANT"],
    ["POST /v1/journal/erase", gone],
    ["GET /v1/data?tenant=TENANT"],
    ["GET /v1/data/export?tenant=TENANT&user=nobody"],
    ["POST /v1/data/erase", gone],
    ["GET /v1/usage?tenant=TENANT&by=room,policy,user"],
    // All data is in memory, so there is nothing to back up.
    ["GET /v1/backup", undefined, 400],
    ["PUT /v1/log", { component: "shield", level: "warn" }],
  ];
}

/** The route that matches: the one with the fewest names in its template. */
function templateOf(method: string, path: string): string {
  const [bare = ""] = path.split("?");
  const fitting = listedRoutes(SHIELD_CAPABILITIES).filter((route) =>
    route.method === method &&
    new RegExp(`^${route.template.replaceAll(/\{[a-z]+\}/g, "[^/]+")}$`).test(bare)
  );
  const names = ({ template }: { template: string }) => template.split("{").length;
  const [best] = fitting.sort((a, b) => names(a) - names(b));
  if (best === undefined) throw new TypeError(`no route takes ${method} ${path}`);
  return best.template;
}

/** All requests. */
export async function adminRequests(): Promise<RequestOf[]> {
  const rows = [
    ...policies(await moduleBytes(), await moduleHash()),
    ...schemas(),
    ...settings(),
    ...cluster(),
  ];
  return rows.map(([line, sent, status = 200]) => {
    const [method = "", path = ""] = line.split(" ");
    const template = templateOf(method, path);
    const type = template.startsWith("/v1/schemas") ? "application/gzip" : "application/wasm";
    const about = (tenant: string): AdminRequest => {
      const body = typeof sent === "function" ? sent(tenant) : sent;
      return {
        path: path.replaceAll("TENANT", tenant),
        ...body !== undefined && { body },
        ...body instanceof Uint8Array && { type },
      };
    };
    return { method, template, about, status };
  });
}

/** Sends a request to an admin listener. */
export function sendRequest(
  admin_url: string,
  token: string,
  method: string,
  { path, body, type }: AdminRequest,
): Promise<Response> {
  const headers = type === undefined ? {} : { "content-type": type };
  return send(`${admin_url}${path}`, token, method, body, headers);
}

/** Some lists do not accept `?tenant=`; only callers that are refused for it send one. */
export function withoutUnknown({ template }: RequestOf, request: AdminRequest): AdminRequest {
  const has_none = ["/v1/schemas", "/v1/mirror", "/v1/rooms/classes"].includes(template);
  return has_none ? { ...request, path: template } : request;
}
