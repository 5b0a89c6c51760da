/** The inspect capability of a Shield. */
import type { Capability } from "../../capability.ts";
import {
  answerOf,
  BOOLEAN,
  COUNT,
  ID,
  inPath,
  list,
  object,
  ref,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";
import {
  cluster,
  clusterHistory,
  CONNECTION_QUERY,
  ConnectionDetail,
  ConnectionRow,
  connections,
  NODE_QUERY,
  TENANT_COLUMNS,
  TENANT_QUERY,
  tenants,
} from "./lists.ts";
import type { Answer, ListContext } from "./lists.ts";
import { startInspect } from "./start.ts";
import { registerTenantSeries } from "./tenant_series.ts";
import { z } from "zod";
import { type AdminCall, AdminTable } from "../routing/admin_routes.ts";
import {
  connection,
  disconnect,
  drain,
  DrainBody,
  limits,
  log,
  LogBody,
  setLog,
} from "./details.ts";
import { Id, readQuery } from "../routing/query.ts";
import type { Gathered } from "../../../shared/cluster/cluster_asker.ts";
import {
  NodeConfig,
  NodeConfigAnswer,
  NodeLevels,
} from "../../../shared/cluster/cluster_control.ts";
import { ClusterNode } from "../../../shared/cluster/cluster_node.ts";
import { NodeSamples } from "../../../shared/cluster/cluster_samples.ts";
import { CLUSTER_ROOM_ROUTES, doing, type InspectContext, reading } from "./rooms_api.ts";

const NODES = ref("Nodes");

/** Schemas that several paths use. */
const CLUSTER_SCHEMAS: Readonly<Record<string, Schema>> = {
  Nodes: {
    ...object({ answered: list(ID), silent: list(ID) }),
    description: "nodes that answered within a second, and known nodes that did not",
  },
  Node: answerOf(ClusterNode),
  Connection: answerOf(ConnectionRow),
  ConnectionDetail: answerOf(ConnectionDetail.unwrap()),
  Config: object({ node_id: ID, kind: TEXT, ...propertiesOf(answerOf(NodeConfig), "") }),
  Levels: object({ node_id: ID, kind: TEXT, ...propertiesOf(answerOf(NodeLevels), "known") }),
};

function propertiesOf({ properties }: Schema, left_out: string): Record<string, Schema> {
  const all = { ...properties as Record<string, Schema> };
  delete all[left_out];
  return all;
}

const FIGURES = Object.fromEntries(TENANT_COLUMNS.map((name) => [name, COUNT]));

/** A process takes seconds for a file with 10,000 room classes. */
const RELOAD_TIMEOUT_MS = 5_000;
/** The body of `POST /v1/config/reload`; without a node, all processes are asked. */
const ReloadBody = z.strictObject({ node_id: Id.optional() });

/** The routes of the admin API about the whole cluster. */
const INSPECT_ROUTES = new AdminTable<InspectContext>("cluster", {
  "GET /v1/cluster": {
    id: "getCluster",
    summary: "lists Shields and Brains with health, totals since their start, and gauges",
    query: NODE_QUERY,
    answer: object({ now_ms: UNIX_MS, nodes: list(ref("Node")), silent: list(ID) }),
    refusals: [404, 429],
    scope: "bus",
    handle: reading(cluster),
  },
  "GET /v1/cluster/history": {
    id: "getClusterHistory",
    summary: "samples of the last five minutes of every Shield and Brain",
    query: NODE_QUERY,
    answer: object({
      now_ms: UNIX_MS,
      every_ms: COUNT,
      nodes: list(answerOf(NodeSamples)),
      silent: list(ID),
    }),
    refusals: [404, 429],
    scope: "bus",
    handle: reading(clusterHistory),
  },
  "GET /v1/connections": {
    id: "listConnections",
    summary: "lists the connected clients of all Shields",
    query: CONNECTION_QUERY,
    answer: object({
      connections: list(ref("Connection")),
      total: COUNT,
      truncated: BOOLEAN,
      nodes: NODES,
    }),
    refusals: [404, 429],
    scope: "own",
    handle: reading(connections),
  },
  // A connection id does not contain its tenant, so connections of other tenants are answered as not found.
  "GET /v1/connections/{connection}": {
    id: "getConnection",
    summary: "shows one client and its rooms",
    answer: ref("ConnectionDetail"),
    refusals: [404, 429],
    scope: "own",
    handle: reading(connection),
  },
  // A connection id does not contain its tenant, so connections of other tenants are answered as not found.
  "DELETE /v1/connections/{connection}": {
    audit: "connection.end",
    id: "disconnect",
    summary: "notifies the client and closes its connection with 1008",
    answer: undefined,
    status: 204,
    refusals: [404, 429],
    scope: "own",
    async handle(context, call) {
      await disconnect(context, call);
      return new Response(null, { status: 204 });
    },
  },
  "GET /v1/tenants": {
    id: "listTenants",
    summary: "lists tenants with their totals since the Shields started",
    query: TENANT_QUERY,
    answer: object({
      tenants: list(object({ tenant_id: TEXT, ...FIGURES })),
      truncated: BOOLEAN,
      nodes: NODES,
    }),
    refusals: [404, 429],
    scope: "own",
    handle: reading(tenants),
  },
  "GET /v1/limits": {
    id: "getLimits",
    summary: "shows the limits of the answering Shield, without secrets",
    answer: object({ node_id: ID, limits: { type: "object" } }),
    scope: "bus",
    handle: reading(limits),
  },
  "POST /v1/drain": {
    audit: "node.drain",
    id: "drain",
    summary: "drains and stops one Shield or Brain, as SIGTERM does",
    answer: object({ node_id: ID, draining: BOOLEAN }),
    status: 202,
    refusals: [404, 409, 429],
    scope: "bus",
    ...doing(DrainBody, drain, 202),
  },
  "GET /v1/config": {
    id: "getConfig",
    summary: "shows the effective configuration of each process, and where its file differs",
    query: NODE_QUERY,
    answer: object({ configs: list(ref("Config")), nodes: NODES }),
    refusals: [404, 429],
    scope: "bus",
    handle: reading(config),
  },
  "POST /v1/config/reload": {
    audit: "node.reload_config",
    id: "reloadConfig",
    summary:
      "reloads the configuration of every process, or of one; an invalid file changes nothing",
    answer: object({ configs: list(ref("Config")), nodes: NODES }),
    refusals: [404, 429],
    scope: "bus",
    ...doing(ReloadBody, reloadConfig),
  },
  "GET /v1/log": {
    id: "getLogLevels",
    summary: "shows the log levels of each process",
    query: NODE_QUERY,
    answer: object({ levels: list(ref("Levels")), nodes: NODES }),
    refusals: [404, 429],
    scope: "bus",
    handle: reading(log),
  },
  "PUT /v1/log": {
    audit: "node.log_level",
    id: "setLogLevel",
    summary: "sets the log level of a component; null removes it",
    answer: object({ levels: list(ref("Levels")), nodes: NODES }),
    refusals: [404, 429],
    scope: "bus",
    ...doing(LogBody, setLog),
  },
  ...CLUSTER_ROOM_ROUTES,
});

/** Answers `GET /v1/config`. */
async function config(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, NODE_QUERY);
  return configAnswer(await context.asker.askAt(node, "config", NodeConfigAnswer));
}

/**
 * Answers `POST /v1/config/reload`. Rejects with `not-found` or `process-unavailable` if the process does not answer.
 */
async function reloadConfig(
  context: ListContext,
  { by }: AdminCall,
  { node_id }: z.output<typeof ReloadBody>,
): Promise<Answer> {
  const { asker } = context;
  const options = { params: { by }, is_order: true, timeout_ms: RELOAD_TIMEOUT_MS } as const;
  return configAnswer(await asker.askAt(node_id, "reload_config", NodeConfigAnswer, options));
}

/** A Brain in the process of a Shield has no configuration of its own to report. */
function configAnswer({ answers, nodes }: Gathered<z.output<typeof NodeConfigAnswer>>): Answer {
  const configs = answers.flatMap(({ node_id, kind, value }) =>
    value === null ? [] : [{ node_id, kind, ...value }]
  );
  return { configs, nodes };
}

/** State of all processes of the bus, and orders of operators to them. */
export const INSPECT: Capability<ListContext> = {
  name: "inspect",
  title: "the state of all processes of the bus, and orders to them",
  admin: {
    tables: [INSPECT_ROUTES],
    tags: {},
    names: {
      connection: inPath("connection", "a connection's id"),
      object: inPath("object", "program-ID, module-SHA256, or one of `snapshots`"),
    },
    schemas: CLUSTER_SCHEMAS,
  },
  start(env, parts) {
    const { admin, questions, drain, close } = startInspect(env, parts);
    registerTenantSeries(parts.tenants, env.config.telemetry.tenant_series, env.registry);
    return {
      own: admin,
      routes: INSPECT_ROUTES.serve(admin),
      questions,
      drain,
      [Symbol.asyncDispose]: () => Promise.resolve(close()),
    };
  },
};
