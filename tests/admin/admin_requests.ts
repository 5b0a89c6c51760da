/**
 * One request to every route of the admin API about a tenant that is chosen, for tests of who may do
 * what: in an order in which each finds what it is about. `admin_tenants_test.ts` holds the list to the
 * route tables.
 */
import type { AdminRoute } from "./admin_routes.ts";
import { ping } from "../../shield/schema/testing/schemas.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** What is sent for one tenant. */
export interface AdminRequest {
  /** With its query. */
  readonly path: string;
  /** JSON, or bytes as they are. */
  readonly body?: object | Uint8Array<ArrayBuffer>;
  /** Of bytes. */
  readonly type?: string;
}

/** A route with what is sent to it. */
export interface RequestOf {
  readonly method: AdminRoute["method"];
  /** As the route tables have it. */
  readonly template: string;
  readonly about: (tenant: string) => AdminRequest;
  /** What who may do it is answered; 200 unless it says otherwise. */
  readonly status: number;
}

/** SHA-256 of the module that is uploaded, in hex. */
export async function moduleHash(): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await moduleBytes()));
  return hash.toHex();
}

function moduleBytes(): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`);
}

const rule = (tenant: string) => `in.t.${tenant}.r.mirrored*`;
const at = (path: string) => (tenant: string): AdminRequest => ({
  path: path.replaceAll("TENANT", tenant),
});
const sending =
  (path: string, body: (tenant: string) => object) => (tenant: string): AdminRequest => ({
    ...at(path)(tenant),
    body: body(tenant),
  });

/** Of a room that `startBusWith` makes durable. */
const inRoom = (what: string) => `/v1/rooms/TENANT/logged-1/${what}`;

type Row = readonly [
  method: AdminRoute["method"],
  template: string,
  about: (tenant: string) => AdminRequest,
  status?: number,
];

function policies(module: Uint8Array<ArrayBuffer>, sha256: string): Row[] {
  const named = (tenant: string) => ({ tenant });
  const upload = { path: "/v1/policies/modules", body: module, type: "application/wasm" };
  const words = (tenant: string) => ({ tenant, name: "words", sha256, room: "worded" });
  return [
    ["PUT", "/v1/policies/modules", () => upload],
    ["POST", "/v1/policies/deploy", sending("/v1/policies/deploy", words)],
    [
      "GET",
      "/v1/policies/modules/{module}",
      at(`/v1/policies/modules/${sha256}?tenant=TENANT`),
    ],
    ["GET", "/v1/policies", at("/v1/policies?tenant=TENANT")],
    ["GET", "/v1/policies/stats", at("/v1/policies/stats?tenant=TENANT")],
    ["GET", "/v1/policies/logs", at("/v1/policies/logs?tenant=TENANT")],
    ["GET", "/v1/policies/quarantine", at("/v1/policies/quarantine?tenant=TENANT")],
    ["DELETE", "/v1/policies/quarantine/{module}", at("/v1/policies/quarantine/none"), 404],
    ["DELETE", "/v1/policies/{policy}", at("/v1/policies/words?tenant=TENANT")],
    ["POST", "/v1/policies/rollback", sending("/v1/policies/rollback", named)],
    // Only what cannot be read is begun anew.
    ["POST", "/v1/policies/reset", sending("/v1/policies/reset", named), 409],
  ];
}

function schemas(): Row[] {
  const set = { body: ping(), type: "application/gzip" };
  const mapping = (tenant: string) => ({
    subject: `in.t.${tenant}.r.mapped*`,
    schema_id: "everyones",
    message: "t.Ping",
  });
  const mappings = "/v1/tenants/{tenant}/mappings";
  return [
    ["PUT", "/v1/schemas/{schema}", () => ({ path: "/v1/schemas/everyones", ...set })],
    ["GET", "/v1/schemas", at("/v1/schemas?tenant=TENANT")],
    ["GET", "/v1/schemas/{schema}", at("/v1/schemas/everyones")],
    [
      "POST",
      "/v1/schemas/{schema}/check",
      () => ({ path: "/v1/schemas/everyones/check", ...set }),
    ],
    [
      "PUT",
      "/v1/schemas/{schema}/staged",
      () => ({ path: "/v1/schemas/everyones/staged", ...set }),
    ],
    [
      "POST",
      "/v1/schemas/{schema}/rollback",
      at("/v1/schemas/everyones/rollback?version=1"),
    ],
    [
      "POST",
      "/v1/schemas/{schema}/validate",
      sending("/v1/schemas/everyones/validate?message=t.Ping", () => ({ n: 1 })),
    ],
    ["GET", "/v1/schemas/{schema}/versions/{version}", at("/v1/schemas/everyones/versions/1")],
    ["PUT", mappings, sending("/v1/tenants/TENANT/mappings", mapping)],
    ["GET", mappings, at("/v1/tenants/TENANT/mappings")],
    ["DELETE", mappings, at("/v1/tenants/TENANT/mappings")],
    ["DELETE", "/v1/schemas/{schema}", at("/v1/schemas/everyones")],
  ];
}

function settings(): Row[] {
  const mirror = "/v1/tenants/{tenant}/mirror";
  const rooms = "/v1/tenants/{tenant}/rooms";
  const prefix = (tenant: string) => ({ prefix: rule(tenant), percent: 0.5 });
  const unset = (tenant: string) => ({
    path: `/v1/tenants/${tenant}/mirror?prefix=${encodeURIComponent(rule(tenant))}`,
  });
  const room = () => ({ room: "vip-*", max_members: 3 });
  const budgets = "/v1/tenants/{tenant}/budgets";
  const budget = () => ({ per: "day", unit: "messages_in", limit: 1e9, action: "warn" });
  const planned = () => ({ basis: { settings: 999_999, policies: 0 } });
  const rolled = () => ({ ...planned(), policies: [], canary: 0.1, for_ms: 1_000 });
  return [
    ["PUT", mirror, sending("/v1/tenants/TENANT/mirror", prefix)],
    ["GET", mirror, at("/v1/tenants/TENANT/mirror")],
    ["DELETE", mirror, unset],
    ["GET", "/v1/mirror", at("/v1/mirror?tenant=TENANT")],
    ["GET", "/v1/mirror/explain", at("/v1/mirror/explain?subject=in.t.TENANT.r.lobby")],
    ["GET", "/v1/mirror/diff", at("/v1/mirror/diff?tenant=TENANT")],
    ["DELETE", "/v1/mirror/diff", at("/v1/mirror/diff?tenant=TENANT")],
    ["PUT", rooms, sending("/v1/tenants/TENANT/rooms", room)],
    ["GET", rooms, at("/v1/tenants/TENANT/rooms")],
    ["DELETE", rooms, at("/v1/tenants/TENANT/rooms?room=vip-*")],
    [
      "POST",
      `${rooms}/unreachable`,
      sending("/v1/tenants/TENANT/rooms/unreachable", () => ({ rooms: [] })),
    ],
    ["GET", budgets, at("/v1/tenants/TENANT/budgets")],
    ["PUT", budgets, sending("/v1/tenants/TENANT/budgets", budget)],
    [
      "DELETE",
      budgets,
      at("/v1/tenants/TENANT/budgets?per=day&unit=messages_in&action=warn"),
    ],
    ...schedules(),
    ...hooks(),
    ...reducers(),
    ["GET", "/v1/rooms/classes", at("/v1/rooms/classes?tenant=TENANT")],
    [
      "GET",
      "/v1/rooms/classes/explain",
      at("/v1/rooms/classes/explain?tenant=TENANT&room=lobby"),
    ],
    ["POST", "/v1/tenants/{tenant}/reset", at("/v1/tenants/TENANT/reset"), 409],
    ["GET", "/v1/state", at("/v1/state")],
    ["PUT", "/v1/state", sending("/v1/state", () => ({ schemas: [] }))],
    ["GET", "/v1/tenants/{tenant}/state", at("/v1/tenants/TENANT/state")],
    ["GET", "/v1/rollouts", at("/v1/rollouts?tenant=TENANT")],
    ["GET", "/v1/rollouts/{tenant}", at("/v1/rollouts/TENANT"), 404],
    ["POST", "/v1/rollouts/{tenant}", sending("/v1/rollouts/TENANT", rolled), 409],
    ...["pause", "resume", "abort"].map((order): Row => {
      const path = `/v1/rollouts/{tenant}/${order}`;
      return ["POST", path, at(`/v1/rollouts/TENANT/${order}`), 404];
    }),
    // Nobody has planned on that revision.
    ["PUT", "/v1/tenants/{tenant}/state", sending("/v1/tenants/TENANT/state", planned), 409],
  ];
}

function schedules(): Row[] {
  const all = "/v1/tenants/{tenant}/schedules";
  const [one, path] = [`${all}/{schedule}`, "/v1/tenants/TENANT/schedules/hourly"];
  const hourly = () => ({
    room: "lobby",
    message: { type: "tick", data: {} },
    every_ms: 3_600_000,
  });
  return [
    ["PUT", one, sending(path, hourly)],
    ["GET", all, at("/v1/tenants/TENANT/schedules")],
    ["GET", one, at(path)],
    ["POST", `${one}/pause`, at(`${path}/pause`)],
    ["POST", `${one}/resume`, at(`${path}/resume`)],
    ["DELETE", one, at(path)],
  ];
}

function hooks(): Row[] {
  const all = "/v1/tenants/{tenant}/hooks";
  const [one, path] = [`${all}/{hook}`, "/v1/tenants/TENANT/hooks/billing"];
  const billing = () => ({ url: "https://127.0.0.1:1/" });
  return [
    ["PUT", one, sending(path, billing)],
    ["GET", all, at("/v1/tenants/TENANT/hooks")],
    ["GET", one, at(path)],
    ["POST", `${one}/replay`, at(`${path}/replay?from_ms=1`)],
    ...["pause", "resume", "test"].map((word): Row => {
      return ["POST", `${one}/${word}`, at(`${path}/${word}`)];
    }),
    ["DELETE", one, at(path)],
  ];
}

/** No class of these tenants has a reducer. */
function reducers(): Row[] {
  const all = "/v1/tenants/{tenant}/reducers";
  const path = "/v1/tenants/TENANT/reducers/auction-*";
  return [
    ["GET", all, at("/v1/tenants/TENANT/reducers")],
    ["GET", `${all}/{class}`, at(path), 404],
    [
      "PUT",
      `${all}/{class}`,
      (tenant) => ({ ...at(path)(tenant), body: new Uint8Array(8), type: "application/wasm" }),
      404,
    ],
    ["POST", `${all}/{class}/rollback`, at(`${path}/rollback`), 404],
    ["GET", `${all}/{class}/modules/{module}`, at(`${path}/modules/00`), 404],
    [
      "PUT",
      `${all}/{class}/modules/{module}`,
      (tenant) => ({
        ...{ ...at(`${path}/modules/00`)(tenant), body: new Uint8Array(8) },
        type: "application/wasm",
      }),
      404,
    ],
  ];
}

function cluster(): Row[] {
  const level = () => ({ component: "shield", level: "warn" });
  const message = () => ({ type: "chat", data: { text: "by an admin" } });
  const nobody = () => ({ user_id: "nobody" });
  const banned = () => ({ user_id: "nobody", scope: "room", ttl_ms: 60_000 });
  const gone = (tenant: string) => ({ tenant, user: "gone" });
  return [
    ["POST", "/v1/revocations", sending("/v1/revocations", gone)],
    ["GET", "/v1/revocations", at("/v1/revocations?tenant=TENANT")],
    ["DELETE", "/v1/revocations", at("/v1/revocations?tenant=TENANT&kind=user&id=gone")],
    ["GET", "/v1/status", at("/v1/status")],
    ["GET", "/v1/access", at("/v1/access")],
    ["GET", "/v1/cluster", at("/v1/cluster")],
    ["GET", "/v1/cluster/history", at("/v1/cluster/history")],
    ["GET", "/v1/connections", at("/v1/connections?tenant=TENANT")],
    ["GET", "/v1/connections/{connection}", at("/v1/connections/c-none"), 404],
    ["DELETE", "/v1/connections/{connection}", at("/v1/connections/c-none"), 404],
    ["GET", "/v1/rooms", at("/v1/rooms?tenant=TENANT")],
    ["GET", "/v1/rooms/stored", at("/v1/rooms/stored?tenant=TENANT&prefix=l")],
    ["GET", "/v1/rooms/{tenant}/{room}", at("/v1/rooms/TENANT/lobby")],
    ["GET", "/v1/rooms/{tenant}/{room}/tail", at("/v1/rooms/TENANT/lobby/tail")],
    ["POST", "/v1/rooms/{tenant}/{room}/messages", sending(inRoom("messages"), message)],
    ["GET", "/v1/rooms/{tenant}/{room}/messages", at(inRoom("messages"))],
    ["GET", "/v1/rooms/{tenant}/{room}/state", at(inRoom("state"))],
    // It has no reducer; `tests/admin/admin_reduced_room_test.ts` has rooms with one.
    ["GET", "/v1/rooms/{tenant}/{room}/reducer", at(inRoom("reducer")), 404],
    ["GET", "/v1/rooms/{tenant}/{room}/reducer/{object}", at(inRoom("reducer/x")), 404],
    ["GET", "/v1/rooms/{tenant}/{room}/past", at(inRoom("past")), 404],
    [
      "POST",
      "/v1/rooms/{tenant}/{room}/fork",
      sending(inRoom("fork"), () => ({ to: "other" })),
      404,
    ],
    ["POST", "/v1/rooms/{tenant}/{room}/trim", sending(inRoom("trim"), () => ({ before: 5 })), 404],
    [
      "POST",
      "/v1/rooms/{tenant}/{room}/repair",
      sending(inRoom("repair"), () => ({ accept_loss: true })),
      404,
    ],
    ["POST", "/v1/rooms/{tenant}/{room}/kick", sending(inRoom("kick"), nobody)],
    ["POST", "/v1/rooms/{tenant}/{room}/ban", sending(inRoom("ban"), banned)],
    ["GET", "/v1/bans", at("/v1/bans?tenant=TENANT")],
    ["DELETE", "/v1/bans", at("/v1/bans?tenant=TENANT&room=logged-1&user=nobody")],
    ["GET", "/v1/tenants", at("/v1/tenants")],
    ["GET", "/v1/limits", at("/v1/limits")],
    ["GET", "/v1/why", at("/v1/why?tenant=TENANT&user=ann")],
    ["POST", "/v1/drain", sending("/v1/drain", () => ({ node_id: "nobody" })), 404],
    ["GET", "/v1/log", at("/v1/log")],
    ["GET", "/v1/config", at("/v1/config")],
    ["POST", "/v1/config/reload", sending("/v1/config/reload", () => ({ node_id: "nobody" })), 404],
    ["GET", "/v1/audit", at("/v1/audit?tenant=TENANT")],
    ["GET", "/v1/audit/entries", at("/v1/audit/entries")],
    ["GET", "/v1/journal", at("/v1/journal?tenant=TENANT")],
    ["GET", "/v1/journal/status", at("/v1/journal/status?tenant=TENANT")],
    ["POST", "/v1/journal/erase", sending("/v1/journal/erase", gone)],
    ["GET", "/v1/usage", at("/v1/usage?tenant=TENANT&by=room,policy,user")],
    // It has nothing to hand out: all is in memory.
    ["GET", "/v1/backup", at("/v1/backup"), 400],
    ["PUT", "/v1/log", sending("/v1/log", level)],
  ];
}

/** All of them. */
export async function adminRequests(): Promise<RequestOf[]> {
  const rows = [
    ...policies(await moduleBytes(), await moduleHash()),
    ...schemas(),
    ...settings(),
    ...cluster(),
  ];
  return rows.map(([method, template, about, status = 200]) => ({
    method,
    template,
    about,
    status,
  }));
}

/** Some lists have no `?tenant=`; they are asked with one only by who is refused for it. */
export function withoutUnknown({ template }: RequestOf, request: AdminRequest): AdminRequest {
  const has_none = ["/v1/schemas", "/v1/mirror", "/v1/rooms/classes"].includes(template);
  return has_none ? { ...request, path: template } : request;
}
