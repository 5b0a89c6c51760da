/**
 * `/v1/cluster`, `/v1/connections`, `/v1/rooms`, `/v1/tenants` and the other paths of the admin API that
 * are about the whole cluster: which request is which, and how it is answered. That the caller is an
 * admin has been checked before; what is asked of the cluster is `lists.ts` and `details.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/log.ts";
import { problemResponse } from "../../shared/problem.ts";
import { readValue } from "../policy/admin_body.ts";
import { connection, disconnect, drain, limits, log, room, setLog } from "./details.ts";
import type { DetailContext } from "./details.ts";
import { cluster, connections, policyStats, rooms, tenants } from "./lists.ts";
import type { Answer } from "./lists.ts";
import { idIn, readQuery } from "./query.ts";
import type { Tails } from "./tail.ts";

/** Largest body, in bytes. */
const BODY_BYTES = 4_096;

/** What these paths need of the process. */
export interface InspectContext extends DetailContext {
  readonly tails: Pick<Tails, "open">;
  readonly log: Logger;
  /** Removes the policy of that name: a policy may be called as a path here is. */
  readonly policies: ((request: Request, by: string) => Promise<Response>) | undefined;
}

/** One request of an admin. */
export interface AdminCall {
  readonly request: Request;
  /** User id of the admin. */
  readonly by: string;
  /** Unix ms: the end of the admin's token. */
  readonly expires_ms: number;
}

/** One request, taken apart. */
interface Call extends AdminCall {
  readonly url: URL;
  /** Parts of the path that name something, decoded and checked. */
  readonly ids: readonly string[];
}

type Handler = (context: InspectContext, call: Call) => Response | Promise<Response>;

/** One path and what it takes. */
interface Route {
  readonly path: RegExp;
  /** What the parts in parentheses name. */
  readonly names: readonly string[];
  readonly methods: Readonly<Record<string, Handler>>;
}

const json = (body: Answer, status = 200) => Response.json(body, { status });

const reading =
  (read: (context: InspectContext, url: URL) => Answer | Promise<Answer>): Handler =>
  async (context, { url }) => json(await read(context, url));

const ROUTES: readonly Route[] = [
  { path: /^\/v1\/cluster$/, names: [], methods: { GET: reading(cluster) } },
  { path: /^\/v1\/connections$/, names: [], methods: { GET: reading(connections) } },
  {
    path: /^\/v1\/connections\/([^/]+)$/,
    names: ["connection"],
    methods: {
      GET: async (context, { url, ids: [id = ""] }) => json(await connection(context, url, id)),
      DELETE: async (context, { url, ids: [id = ""], by }) => {
        await disconnect(context, url, id, by);
        return new Response(null, { status: 204 });
      },
    },
  },
  { path: /^\/v1\/rooms$/, names: [], methods: { GET: reading(rooms) } },
  {
    path: /^\/v1\/rooms\/([^/]+)\/([^/]+)$/,
    names: ["tenant", "room"],
    methods: {
      GET: async (context, { url, ids: [tenant = "", id = ""] }) =>
        json(await room(context, url, tenant, id)),
    },
  },
  {
    path: /^\/v1\/rooms\/([^/]+)\/([^/]+)\/tail$/,
    names: ["tenant", "room"],
    methods: { GET: tail },
  },
  { path: /^\/v1\/tenants$/, names: [], methods: { GET: reading(tenants) } },
  { path: /^\/v1\/limits$/, names: [], methods: { GET: reading(limits) } },
  {
    path: /^\/v1\/policies\/stats$/,
    names: [],
    methods: { GET: reading(policyStats), DELETE: removePolicy },
  },
  { path: /^\/v1\/drain$/, names: [], methods: { POST: startDrain } },
  { path: /^\/v1\/log$/, names: [], methods: { GET: reading(log), PUT: changeLog } },
];

/** Looks like a room of tenant "classes", and belongs to the room classes. */
const OTHERS = "/v1/rooms/classes/explain";

/** Whether a path is one for `handleInspect`. */
export function isInspectPath(path: string): boolean {
  return path !== OTHERS && ROUTES.some((route) => route.path.test(path));
}

async function tail(context: InspectContext, call: Call): Promise<Response> {
  readQuery(call.url, {});
  const { ids: [tenant_id = "", room_id = ""], by, expires_ms } = call;
  const stream = await context.tails.open({ tenant_id, room_id, by, expires_ms });
  return new Response(stream, { headers: { "content-type": "text/event-stream" } });
}

async function removePolicy(context: InspectContext, { request, by }: Call): Promise<Response> {
  if (context.policies === undefined) throw new ArqonError("not-found", "policies are disabled");
  return await context.policies(request, by);
}

async function startDrain(context: InspectContext, { request, url, by }: Call): Promise<Response> {
  readQuery(url, {});
  return json(await drain(context, await readValue(request, BODY_BYTES), by), 202);
}

async function changeLog(context: InspectContext, { request, url, by }: Call): Promise<Response> {
  readQuery(url, {});
  return json(await setLog(context, await readValue(request, BODY_BYTES), by));
}

/** Answers one request of an admin. Never rejects. */
export async function handleInspect(context: InspectContext, call: AdminCall): Promise<Response> {
  const url = new URL(call.request.url);
  const { method } = call.request;
  try {
    const route = ROUTES.find(({ path }) => path.test(url.pathname));
    if (route === undefined) throw new ArqonError("not-found", url.pathname);
    const handler = Object.hasOwn(route.methods, method) ? route.methods[method] : undefined;
    if (handler === undefined) {
      const refusal = new ArqonError("method-not-allowed", method);
      return problemResponse(refusal, { allow: Object.keys(route.methods).join(", ") });
    }
    const [, ...encoded] = route.path.exec(url.pathname) ?? [];
    const ids = encoded.map((text, index) => idIn(text, route.names[index] ?? ""));
    return await handler(context, { ...call, url, ids });
  } catch (error) {
    const known = error instanceof ArqonError ? error : undefined;
    if (known === undefined || known.reason === "internal") {
      context.log.error("admin request failed", { path: url.pathname, error });
    }
    return problemResponse(known ?? new ArqonError("internal"));
  }
}
