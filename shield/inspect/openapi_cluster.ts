/** The paths of the admin API that are about the whole cluster, as OpenAPI describes them. */
import { LevelChange, NodeLevels } from "../../shared/cluster_control.ts";
import { ClusterNode } from "../../shared/cluster_node.ts";
import { NodeSamples } from "../../shared/cluster_samples.ts";
import {
  answerOf,
  bodyOf,
  BOOLEAN,
  COUNT,
  ID,
  inPath,
  inQuery,
  LIMIT,
  list,
  NODE,
  object,
  operation,
  ref,
  sortBy,
  TEXT,
  UNIX_MS,
} from "./openapi_parts.ts";
import type { Schema } from "./openapi_parts.ts";
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
  Levels: object({ node_id: ID, kind: TEXT, ...propertiesOf(answerOf(NodeLevels), "known") }),
};

function propertiesOf({ properties }: Schema, left_out: string): Record<string, Schema> {
  const all = { ...properties as Record<string, Schema> };
  delete all[left_out];
  return all;
}

const CONNECTION_ID = inPath("connection", "a connection's id");

const connections = {
  "/v1/connections": {
    get: operation({
      id: "listConnections",
      tag,
      summary: "clients of every Shield",
      parameters: [
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
    }),
  },
  "/v1/connections/{connection}": {
    get: operation({
      id: "getConnection",
      tag,
      summary: "one client and its rooms",
      parameters: [CONNECTION_ID],
      answer: ref("ConnectionDetail"),
      refusals: [404, 429],
    }),
    delete: operation({
      id: "disconnect",
      tag,
      summary: "the client is told, and its connection closed with 1008",
      parameters: [CONNECTION_ID],
      answer: undefined,
      status: 204,
      refusals: [404, 429],
    }),
  },
};

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

const nodes = {
  "/v1/cluster": {
    get: operation({
      id: "getCluster",
      tag,
      summary: "every Shield and Brain: its health, totals since its start, gauges",
      parameters: [NODE],
      answer: object({ now_ms: UNIX_MS, nodes: list(ref("Node")), silent: list(ID) }),
      refusals: [404, 429],
    }),
  },
  "/v1/cluster/history": {
    get: operation({
      id: "getClusterHistory",
      tag,
      summary: "the last five minutes of every Shield and Brain, from its memory",
      parameters: [NODE],
      answer: object({
        now_ms: UNIX_MS,
        every_ms: COUNT,
        nodes: list(answerOf(NodeSamples)),
        silent: list(ID),
      }),
      refusals: [404, 429],
    }),
  },
  "/v1/tenants": {
    get: operation({
      id: "listTenants",
      tag,
      summary: "what each tenant has done since the Shields started",
      parameters: [sortBy("messages", "connections", "rejects"), NODE, LIMIT],
      answer: object({
        tenants: list(object(TENANT_FIGURES)),
        truncated: BOOLEAN,
        nodes: NODES,
      }),
      refusals: [404, 429],
    }),
  },
  "/v1/limits": {
    get: operation({
      id: "getLimits",
      tag,
      summary: "the limits of the Shield that answers, without secrets",
      answer: object({ node_id: ID, limits: { type: "object" } }),
    }),
  },
  "/v1/drain": {
    post: operation({
      id: "drain",
      tag,
      summary: "one Shield or Brain drains and ends, as at SIGTERM",
      body: { schema: object({ node_id: ID }) },
      answer: object({ node_id: ID, draining: BOOLEAN }),
      status: 202,
      refusals: [404, 409, 429],
    }),
  },
  "/v1/log": {
    get: operation({
      id: "getLogLevels",
      tag,
      summary: "the levels of the logs of each process",
      parameters: [NODE],
      answer: object({ levels: list(ref("Levels")), nodes: NODES }),
      refusals: [404, 429],
    }),
    put: operation({
      id: "setLogLevel",
      tag,
      summary: "sets the level of a component, or with null takes its own away",
      body: {
        schema: object(
          { ...propertiesOf(bodyOf(LevelChange), ""), node_id: ID },
          ["node_id"],
        ),
      },
      answer: object({ levels: list(ref("Levels")), nodes: NODES }),
      refusals: [404, 429],
    }),
  },
};

/** Path by path. */
export const CLUSTER_PATHS: Readonly<Record<string, Schema>> = {
  ...nodes,
  ...connections,
};
