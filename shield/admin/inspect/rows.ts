/**
 * Rows about connections, rooms, tenants and policies that Shields send each other over the Spine. The schemas are
 * strict and bounded, as any NATS client may have written the rows.
 */
import { z } from "zod";
import { Id } from "../routing/query.ts";

/** The most rooms, and tenants, that one Shield reports: more than an answer shows, so that sums are right. */
export const REPORTED_MAX = 2_000;
/** The most rooms of one connection that are shown. */
export const CONNECTION_ROOMS_MAX = 1_000;

const Count = z.number().min(0);
const Text = z.string().max(1_024);

/** One connection, as `GET /v1/connections` shows it. */
export const ConnectionRow = z.strictObject({
  connection_id: Id,
  node_id: Id,
  tenant_id: Id,
  user_id: Text,
  issuer: Text,
  role: z.enum(["user", "service", "admin"]),
  remote_ip: Text,
  protocol: z.enum(["arqon.v1", "arqon.v1.json"]),
  connected_ms: z.number(),
  token_expires_ms: z.number(),
  subscriptions: Count,
  pending_operations: Count,
  unsent_bytes: Count,
  received_messages: Count,
  sent_messages: Count,
});
export type ConnectionRow = z.output<typeof ConnectionRow>;

/** How lists of connections are sorted: most unsent bytes, oldest, or most messages first. */
const ConnectionSort = z.enum(["unsent", "age", "messages"]).default("unsent");

/** A filter of connections. */
export const ConnectionFilter = {
  tenant: Id.optional(),
  user: z.string().min(1).max(256).optional(),
  room: Id.optional(),
  sort: ConnectionSort,
};

/** A Shield's connections. */
export const ConnectionAnswer = z.strictObject({
  rows: z.array(ConnectionRow).max(1_000),
  total: Count,
  truncated: z.boolean().optional(),
});

/** One connection and its rooms; null on Shields that do not have it. */
export const ConnectionDetail = ConnectionRow.extend({
  rooms: z.array(z.strictObject({
    room_id: Text,
    presence: z.boolean(),
    no_echo: z.boolean(),
    filter: z.string().optional(),
    batch: z.boolean(),
  })).max(CONNECTION_ROOMS_MAX),
}).nullable();
/** One connection and its rooms; null on Shields that do not have it. */
export type ConnectionDetail = z.output<typeof ConnectionDetail>;

/** The answer to an action: whether its object existed and the action was done. */
export const Done = z.strictObject({ done: z.boolean() });

/** How lists of rooms are sorted: the most first. */
const RoomSort = z.enum(["subscribers", "messages"]).default("subscribers");

/** A filter of rooms. */
export const RoomFilter = { tenant: Id.optional(), prefix: Id.optional(), sort: RoomSort };

/** `[tenant_id, room_id, subscribers, durable, messages]`. */
export const RoomRow = z.tuple([Id, Id, Count, z.boolean(), Count]);
/** `[tenant_id, room_id, subscribers, durable, messages]`. */
export type RoomRow = z.output<typeof RoomRow>;

/** A Shield's rooms. */
export const RoomAnswer = z.strictObject({
  rows: z.array(RoomRow).max(REPORTED_MAX),
  total: Count,
  truncated: z.boolean().optional(),
});

/** Rooms whose subscribers are counted. */
export const CountsQuestion = z.strictObject({ tenant: Id, rooms: z.array(Id).max(1_000) });
/** The subscribers of each room on one Shield. */
export const CountsAnswer = z.array(Count).max(1_000);

/** How lists of tenants are sorted: the most first. */
export const TenantSort = z.enum(["messages", "connections", "rejects"]).default("messages");

/** `[tenant_id, connections, users, rooms, ingress_messages, ingress_bytes, egress_messages, rejects]`. */
export const TenantRow = z.tuple([
  z.string().max(64),
  Count,
  Count,
  Count,
  Count,
  Count,
  Count,
  Count,
]);
/** `[tenant_id, connections, users, rooms, ingress_messages, ingress_bytes, egress_messages, rejects]`. */
export type TenantRow = z.output<typeof TenantRow>;

/** A Shield's tenants. */
export const TenantAnswer = z.strictObject({
  rows: z.array(TenantRow).max(REPORTED_MAX),
  total: Count,
  truncated: z.boolean().optional(),
});
