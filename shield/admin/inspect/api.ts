/**
 * `/v1/cluster`, `/v1/connections`, `/v1/rooms`, `/v1/tenants` and the other paths of the admin API
 * about the whole cluster: which request is which, and how it is answered. Whether the caller is an
 * admin has been checked before; asking the cluster is `lists.ts` and `details.ts`.
 */
import { z } from "zod";
import type { Logger } from "../../../shared/logs/log.ts";
import { AdminTable, jsonBody, withBody } from "../routing/admin_routes.ts";
import type { AdminCall, AdminHandler } from "../routing/admin_routes.ts";
import { readValue } from "../routing/admin_body.ts";
import {
  connection,
  disconnect,
  drain,
  DrainBody,
  limits,
  log,
  LogBody,
  room,
  setLog,
} from "./details.ts";
import type { DetailContext } from "./details.ts";
import { cutOffRooms, reducedObject, reducedRoom } from "./reduced_room.ts";
import {
  ForkBody,
  forkRoom,
  RepairBody,
  repairRoom,
  roomPast,
  TrimBody,
  trimRoom,
} from "./reduced_past.ts";
import type { ReducedPastContext } from "./reduced_past.ts";
import { type ContentsContext, roomHistory, roomState } from "./room_contents.ts";
import { ban, BanBody, kick, KickBody, MESSAGE_BODY, publishTest } from "./room_orders.ts";
import type { OrderContext } from "./room_orders.ts";
import { cluster, clusterHistory, connections, rooms, tenants } from "./lists.ts";
import type { Answer, ListContext } from "./lists.ts";
import { CONNECTIONS_ABOUT, NODES_ABOUT } from "./openapi_cluster.ts";
import { CLUSTER_ROOMS_ABOUT } from "./openapi_rooms.ts";
import { REDUCED_ABOUT, REDUCED_PAST_ABOUT } from "./openapi_reduced.ts";
import { checked, Id, readQuery, requireId } from "../routing/query.ts";
import { storedRooms, type StoredRoomsContext } from "./stored_rooms.ts";
import type { Tails } from "./tail.ts";
import { NodeConfigAnswer } from "../../../shared/cluster/cluster_control.ts";
import type { Gathered } from "../../../shared/cluster/cluster_asker.ts";

/** The largest body, in bytes. */
const BODY_BYTES = 4_096;

/** What these paths need of the process. */
export type InspectContext =
  & DetailContext
  & ContentsContext
  & OrderContext
  & StoredRoomsContext
  & ReducedPastContext
  & {
    readonly tails: Pick<Tails, "open">;
    readonly log: Logger;
  };

type Handler = AdminHandler<InspectContext>;

const json = (body: Answer, status = 200) => Response.json(body, { status });

const reading =
  (read: (context: InspectContext, call: AdminCall) => Answer | Promise<Answer>): Handler =>
  async (context, call) => json(await read(context, call));

const doing = <B>(
  act: (context: InspectContext, call: AdminCall, body: B) => Promise<Answer>,
  status?: number,
) =>
async (context: InspectContext, call: AdminCall, body: B) =>
  json(await act(context, call, body), status);

/** The body of `POST /v1/config/reload`; without a node, all processes are asked. */
const ReloadBody = z.strictObject({ node_id: Id.optional() });

/** A small body that names what it is about. */
const smallBody = <Z extends z.ZodType>(schema: Z) =>
  jsonBody(
    schema,
    async (request: Request, schema) => checked(await readValue(request, BODY_BYTES), schema),
  );
const DRAIN_BODY = smallBody(DrainBody);
const LOG_BODY = smallBody(LogBody);
const RELOAD_BODY = smallBody(ReloadBody);
const KICK_BODY = smallBody(KickBody);
const BAN_BODY = smallBody(BanBody);
const FORK_BODY = smallBody(ForkBody);
const TRIM_BODY = smallBody(TrimBody);
const REPAIR_BODY = smallBody(RepairBody);

/** The routes of the admin API about the whole cluster. */
export const INSPECT_ROUTES = new AdminTable<InspectContext>({
  "/v1/cluster": {
    GET: { scope: "bus", about: NODES_ABOUT.getCluster, handle: reading(cluster) },
  },
  "/v1/cluster/history": {
    GET: { scope: "bus", about: NODES_ABOUT.getClusterHistory, handle: reading(clusterHistory) },
  },
  "/v1/connections": {
    GET: {
      scope: "own",
      about: CONNECTIONS_ABOUT.listConnections,
      handle: reading(connections),
    },
  },
  // An id does not tell its tenant, so connections of other tenants are not found.
  "/v1/connections/{connection}": {
    GET: { scope: "own", about: CONNECTIONS_ABOUT.getConnection, handle: reading(connection) },
    DELETE: {
      scope: "own",
      about: CONNECTIONS_ABOUT.disconnect,
      async handle(context, call) {
        await disconnect(context, call);
        return new Response(null, { status: 204 });
      },
    },
  },
  "/v1/rooms": {
    GET: {
      scope: "own",
      about: CLUSTER_ROOMS_ABOUT.listRooms,
      handle: reading(rooms),
    },
  },
  "/v1/rooms/stored": {
    GET: {
      scope: "own",
      about: CLUSTER_ROOMS_ABOUT.listStoredRooms,
      is_query_strict: true,
      handle: reading(storedRooms),
    },
  },
  "/v1/rooms/{tenant}/{room}": {
    GET: { scope: "tenant-in-path", about: CLUSTER_ROOMS_ABOUT.getRoom, handle: reading(room) },
  },
  "/v1/rooms/{tenant}/{room}/tail": {
    GET: { scope: "tenant-in-path", about: CLUSTER_ROOMS_ABOUT.tailRoom, handle: tail },
  },
  "/v1/rooms/{tenant}/{room}/state": {
    GET: { scope: "tenant-in-path", about: CLUSTER_ROOMS_ABOUT.getRoomState, handle: roomState },
  },
  "/v1/rooms/{tenant}/{room}/messages": {
    GET: {
      scope: "tenant-in-path",
      about: CLUSTER_ROOMS_ABOUT.readRoom,
      is_query_strict: true,
      handle: roomHistory,
    },
    POST: {
      scope: "tenant-in-path",
      about: CLUSTER_ROOMS_ABOUT.publishInRoom,
      ...withBody(MESSAGE_BODY, publishTest),
    },
  },
  "/v1/rooms/{tenant}/{room}/reducer": {
    GET: {
      scope: "tenant-in-path",
      about: REDUCED_ABOUT.getReducedRoom,
      handle: reading(reducedRoom),
    },
  },
  "/v1/rooms/{tenant}/{room}/reducer/{object}": {
    GET: {
      scope: "tenant-in-path",
      about: REDUCED_ABOUT.getReducedObject,
      handle: reducedObject,
    },
  },
  "/v1/rooms/{tenant}/{room}/past": {
    GET: {
      scope: "tenant-in-path",
      about: REDUCED_PAST_ABOUT.getRoomPast,
      handle: reading(roomPast),
    },
  },
  "/v1/rooms/{tenant}/{room}/fork": {
    POST: {
      scope: "tenant-in-path",
      about: REDUCED_PAST_ABOUT.forkRoom,
      ...withBody(FORK_BODY, doing(forkRoom)),
    },
  },
  "/v1/rooms/{tenant}/{room}/trim": {
    POST: {
      scope: "tenant-in-path",
      about: REDUCED_PAST_ABOUT.trimRoom,
      ...withBody(TRIM_BODY, doing(trimRoom)),
    },
  },
  "/v1/rooms/{tenant}/{room}/repair": {
    POST: {
      scope: "tenant-in-path",
      about: REDUCED_PAST_ABOUT.repairRoom,
      ...withBody(REPAIR_BODY, doing(repairRoom)),
    },
  },
  "/v1/rooms/{tenant}/{room}/kick": {
    POST: {
      scope: "tenant-in-path",
      about: CLUSTER_ROOMS_ABOUT.kick,
      ...withBody(KICK_BODY, doing(kick)),
    },
  },
  "/v1/rooms/{tenant}/{room}/ban": {
    POST: {
      scope: "tenant-in-path",
      about: CLUSTER_ROOMS_ABOUT.ban,
      ...withBody(BAN_BODY, doing(ban)),
    },
  },
  "/v1/tenants": {
    GET: { scope: "own", about: NODES_ABOUT.listTenants, handle: reading(tenants) },
  },
  "/v1/tenants/{tenant}/rooms/cut-off": {
    GET: {
      scope: "tenant-in-path",
      about: REDUCED_ABOUT.listCutOffRooms,
      handle: reading(cutOffRooms),
    },
  },
  "/v1/limits": { GET: { scope: "bus", about: NODES_ABOUT.getLimits, handle: reading(limits) } },
  "/v1/drain": {
    POST: { scope: "bus", about: NODES_ABOUT.drain, ...withBody(DRAIN_BODY, doing(drain, 202)) },
  },
  "/v1/config": { GET: { scope: "bus", about: NODES_ABOUT.getConfig, handle: reading(config) } },
  "/v1/config/reload": {
    POST: {
      scope: "bus",
      about: NODES_ABOUT.reloadConfig,
      ...withBody(RELOAD_BODY, doing(reloadConfig)),
    },
  },
  "/v1/log": {
    GET: { scope: "bus", about: NODES_ABOUT.getLogLevels, handle: reading(log) },
    PUT: { scope: "bus", about: NODES_ABOUT.setLogLevel, ...withBody(LOG_BODY, doing(setLog)) },
  },
});

async function tail(context: InspectContext, call: AdminCall): Promise<Response> {
  readQuery(call.url, {});
  const { tenant: tenant_id, names, by, expires_ms, only_tenant } = call;
  const room_id = requireId(names.room ?? "", "room");
  const is_operator = only_tenant === undefined;
  const stream = await context.tails.open({ tenant_id, room_id, by, expires_ms, is_operator });
  return new Response(stream, { headers: { "content-type": "text/event-stream" } });
}

/** Answers `GET /v1/config`. */
async function config(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, { node: Id.optional() });
  const gathered = await context.asker.ask("config", NodeConfigAnswer, { to: node });
  context.asker.require(node, gathered.nodes);
  return told(gathered);
}

/**
 * Answers `POST /v1/config/reload`. Rejects with `not-found` or `process-unavailable` for a process that does
 * not answer.
 */
async function reloadConfig(
  context: ListContext,
  { by }: AdminCall,
  { node_id }: z.output<typeof ReloadBody>,
): Promise<Answer> {
  const options = { params: { by }, to: node_id, is_order: true } as const;
  const gathered = await context.asker.ask("reload_config", NodeConfigAnswer, options);
  context.asker.require(node_id, gathered.nodes);
  return told(gathered);
}

/** A Brain in the process of a Shield has nothing to tell beside it. */
function told({ answers, nodes }: Gathered<z.output<typeof NodeConfigAnswer>>): Answer {
  const configs = answers.flatMap(({ node_id, kind, value }) =>
    value === null ? [] : [{ node_id, kind, ...value }]
  );
  return { configs, nodes };
}
