/**
 * `/v1/cluster`, `/v1/connections`, `/v1/rooms`, `/v1/tenants` and the other paths of the admin API that
 * are about the whole cluster: which request is which, and how it is answered. That the caller is an
 * admin has been checked before; what is asked of the cluster is `lists.ts` and `details.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/log.ts";
import { AdminTable, answerAdmin } from "../admin_routes.ts";
import type { AdminCall, AdminHandler } from "../admin_routes.ts";
import type { Admin } from "../admin_scope.ts";
import { readValue } from "../policy/admin_body.ts";
import { connection, disconnect, drain, limits, log, room, setLog } from "./details.ts";
import type { DetailContext } from "./details.ts";
import { roomHistory, roomState } from "./room_contents.ts";
import type { ContentsContext } from "./room_contents.ts";
import { ban, kick, publishTest } from "./room_orders.ts";
import type { OrderContext } from "./room_orders.ts";
import { cluster, clusterHistory, connections, policyStats, rooms, tenants } from "./lists.ts";
import type { Answer } from "./lists.ts";
import { readQuery, requireId } from "./query.ts";
import type { Tails } from "./tail.ts";

/** Largest body, in bytes. */
const BODY_BYTES = 4_096;

/** What these paths need of the process. */
export type InspectContext = DetailContext & ContentsContext & OrderContext & {
  readonly tails: Pick<Tails, "open">;
  readonly log: Logger;
  /** Removes the policy of that name: a policy may be called as a path here is. */
  readonly policies: ((request: Request, admin: Admin) => Promise<Response>) | undefined;
};

type Handler = AdminHandler<InspectContext>;

const json = (body: Answer, status = 200) => Response.json(body, { status });

const reading =
  (read: (context: InspectContext, call: AdminCall) => Answer | Promise<Answer>): Handler =>
  async (context, call) => json(await read(context, call));

/** The routes of this part. */
export const INSPECT_ROUTES = new AdminTable<InspectContext>({
  "/v1/cluster": { GET: { scope: "bus", query: ["node"], handle: reading(cluster) } },
  "/v1/cluster/history": {
    GET: { scope: "bus", query: ["node"], handle: reading(clusterHistory) },
  },
  "/v1/connections": {
    GET: {
      scope: "own",
      query: ["node", "tenant", "user", "room", "sort", "limit"],
      handle: reading(connections),
    },
  },
  // An id says nothing of its tenant: connections of others are not found.
  "/v1/connections/{connection}": {
    GET: { scope: "own", handle: reading(connection) },
    DELETE: {
      scope: "own",
      async handle(context, call) {
        await disconnect(context, call);
        return new Response(null, { status: 204 });
      },
    },
  },
  "/v1/rooms": {
    GET: {
      scope: "own",
      query: ["node", "tenant", "prefix", "sort", "limit"],
      handle: reading(rooms),
    },
  },
  "/v1/rooms/{tenant}/{room}": { GET: { scope: "tenant-in-path", handle: reading(room) } },
  "/v1/rooms/{tenant}/{room}/tail": { GET: { scope: "tenant-in-path", handle: tail } },
  "/v1/rooms/{tenant}/{room}/state": {
    GET: { scope: "tenant-in-path", query: ["key"], handle: roomState },
  },
  "/v1/rooms/{tenant}/{room}/messages": {
    GET: {
      scope: "tenant-in-path",
      query: ["after", "before", "limit", "reverse"],
      is_query_strict: true,
      handle: roomHistory,
    },
    POST: { scope: "tenant-in-path", handle: publishTest },
  },
  "/v1/rooms/{tenant}/{room}/kick": { POST: { scope: "tenant-in-path", handle: kick } },
  "/v1/rooms/{tenant}/{room}/ban": { POST: { scope: "tenant-in-path", handle: ban } },
  "/v1/tenants": {
    GET: { scope: "own", query: ["node", "sort", "limit"], handle: reading(tenants) },
  },
  "/v1/limits": { GET: { scope: "bus", handle: reading(limits) } },
  "/v1/policies/stats": {
    GET: { scope: "own", query: ["node", "tenant", "limit"], handle: reading(policyStats) },
    DELETE: { scope: "tenant-in-query", query: ["tenant"], handle: removePolicy },
  },
  "/v1/drain": { POST: { scope: "bus", handle: startDrain } },
  "/v1/log": {
    GET: { scope: "bus", query: ["node"], handle: reading(log) },
    PUT: { scope: "bus", handle: changeLog },
  },
});

/** Looks like a room of tenant "classes", and belongs to the room classes. */
const OTHERS = "/v1/rooms/classes/explain";

/** Whether a path is one for `handleInspect`. */
export function isInspectPath(path: string): boolean {
  return path !== OTHERS && INSPECT_ROUTES.has(path);
}

async function tail(context: InspectContext, call: AdminCall): Promise<Response> {
  readQuery(call.url, {});
  const { tenant: tenant_id, names, by, expires_ms, only_tenant } = call;
  const room_id = requireId(names.room ?? "", "room");
  const is_operator = only_tenant === undefined;
  const stream = await context.tails.open({ tenant_id, room_id, by, expires_ms, is_operator });
  return new Response(stream, { headers: { "content-type": "text/event-stream" } });
}

async function removePolicy(context: InspectContext, call: AdminCall): Promise<Response> {
  if (context.policies === undefined) throw new ArqonError("not-found", "policies are disabled");
  return await context.policies(call.request, call);
}

async function startDrain(
  context: InspectContext,
  { request, url, by }: AdminCall,
): Promise<Response> {
  readQuery(url, {});
  return json(await drain(context, await readValue(request, BODY_BYTES), by), 202);
}

async function changeLog(
  context: InspectContext,
  { request, url, by }: AdminCall,
): Promise<Response> {
  readQuery(url, {});
  return json(await setLog(context, await readValue(request, BODY_BYTES), by));
}

/** Answers one request of an admin. Never rejects. */
export function handleInspect(
  context: InspectContext,
  request: Request,
  admin: Admin,
): Promise<Response> {
  return answerAdmin(INSPECT_ROUTES, context, request, admin);
}
