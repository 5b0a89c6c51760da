/** What the routes of the admin API that are about the whole cluster say of themselves. */
import { NodeConfig, NodeLevels } from "../../../shared/cluster/cluster_control.ts";
import { ClusterNode } from "../../../shared/cluster/cluster_node.ts";
import { NodeSamples } from "../../../shared/cluster/cluster_samples.ts";
import {
  abouts,
  answerOf,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  LIMIT,
  list,
  NODE,
  object,
  ref,
  sortBy,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";
import { ConnectionDetail, ConnectionRow } from "./rows.ts";

const tag = "cluster";
const NODES = ref("Nodes");

/** What several paths use. */
export const CLUSTER_SCHEMAS: Readonly<Record<string, Schema>> = {
  Nodes: {
    ...object({ answered: list(ID), silent: list(ID) }),
    description: "who answered within a second, and who is known and did not",
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

/** Routes of connections. */
export const CONNECTIONS_ABOUT = abouts({
  listConnections: {
    tag,
    summary: "clients of every Shield",
    query: [
      inQuery("tenant", "only of this tenant"),
      inQuery("user", "only of users with this id", {
        type: "string",
        minLength: 1,
        maxLength: 256,
      }),
      inQuery("room", "only those that are subscribed to this room"),
      sortBy("unsent", "age", "messages"),
      NODE,
      LIMIT,
    ],
    answer: object({
      connections: list(ref("Connection")),
      total: COUNT,
      truncated: BOOLEAN,
      nodes: NODES,
    }),
    refusals: [404, 429],
  },
  getConnection: {
    tag,
    summary: "one client and its rooms",
    answer: ref("ConnectionDetail"),
    refusals: [404, 429],
  },
  disconnect: {
    tag,
    summary: "the client is told, and its connection closed with 1008",
    answer: undefined,
    status: 204,
    refusals: [404, 429],
  },
});

const TENANT_FIGURES = {
  tenant_id: TEXT,
  connections: COUNT,
  users: COUNT,
  rooms: COUNT,
  ingress_messages: COUNT,
  ingress_bytes: COUNT,
  egress_messages: COUNT,
  rejects: COUNT,
};

/** Routes of nodes. */
export const NODES_ABOUT = abouts({
  getCluster: {
    tag,
    summary: "every Shield and Brain: its health, totals since its start, gauges",
    query: [NODE],
    answer: object({ now_ms: UNIX_MS, nodes: list(ref("Node")), silent: list(ID) }),
    refusals: [404, 429],
  },
  getClusterHistory: {
    tag,
    summary: "the last five minutes of every Shield and Brain, from its memory",
    query: [NODE],
    answer: object({
      now_ms: UNIX_MS,
      every_ms: COUNT,
      nodes: list(answerOf(NodeSamples)),
      silent: list(ID),
    }),
    refusals: [404, 429],
  },
  listTenants: {
    tag,
    summary: "what each tenant has done since the Shields started",
    query: [sortBy("messages", "connections", "rejects"), NODE, LIMIT],
    answer: object({
      tenants: list(object(TENANT_FIGURES)),
      truncated: BOOLEAN,
      nodes: NODES,
    }),
    refusals: [404, 429],
  },
  getLimits: {
    tag,
    summary: "the limits of the Shield that answers, without secrets",
    answer: object({ node_id: ID, limits: { type: "object" } }),
  },
  drain: {
    tag,
    summary: "one Shield or Brain drains and ends, as at SIGTERM",
    answer: object({ node_id: ID, draining: BOOLEAN }),
    status: 202,
    refusals: [404, 409, 429],
  },
  getConfig: {
    tag,
    summary: "the configuration that is in force in each process, and what its file has otherwise",
    query: [NODE],
    answer: object({ configs: list(ref("Config")), nodes: NODES }),
    refusals: [404, 429],
  },
  reloadConfig: {
    tag,
    summary:
      "each process, or one, reads its configuration again; a file with mistakes changes nothing",
    answer: object({ configs: list(ref("Config")), nodes: NODES }),
    refusals: [404, 429],
  },
  getLogLevels: {
    tag,
    summary: "the levels of the logs of each process",
    query: [NODE],
    answer: object({ levels: list(ref("Levels")), nodes: NODES }),
    refusals: [404, 429],
  },
  setLogLevel: {
    tag,
    summary: "sets the level of a component, or with null takes its own away",
    answer: object({ levels: list(ref("Levels")), nodes: NODES }),
    refusals: [404, 429],
  },
});
