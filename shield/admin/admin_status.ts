/**
 * `/v1/status`, which describes this Shield, and `/v1/access`, which describes the scope of the caller's token.
 * Everything about the cluster is in `inspect/`.
 */
import { BOOLEAN, COUNT, ID, list, object, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import type { Env } from "../../shared/env.ts";
import type { SpineStatus } from "../../shared/spine/contract/spine.ts";
import { type AdminCall, AdminTable } from "./routing/admin_routes.ts";
import type { KeyStatus } from "../auth/key_source.ts";

/** A card on the console's page of a room that shows the answer of one admin route. */
export interface RoomCard {
  readonly title: string;
  /** Path of the GET; `{tenant}` and `{room}` are placeholders for the room that is shown. */
  readonly path: string;
}

/** The answer of `GET /v1/status`. */
export interface ShieldStatus {
  node_id: string;
  version: string;
  uptime_ms: number;
  draining: boolean;
  connections: number;
  subscriptions: number;
  rooms: number;
  tenants: number;
  users: number;
  egress_messages: number;
  ingress_ops: Record<string, number>;
  rejects: Record<string, number>;
  spine: SpineStatus;
  keys: KeyStatus[];
  policies: Record<string, unknown>;
  schemas: Record<string, unknown>;
  /** Bans of all tenants that this Shield knows. */
  bans: number;
}

/** What these routes need of the process; `status` is read for each request. */
interface StatusContext extends Pick<Env, "log"> {
  readonly status: () => ShieldStatus;
  /** Tables that the configuration switches off: their paths have no routes. */
  readonly off: readonly string[];
  readonly room_cards: readonly RoomCard[];
}

/** The routes of status and access. */
export const STATUS_ROUTES = new AdminTable<StatusContext>("cluster", {
  "GET /v1/status": {
    id: "getStatus",
    summary: "the Shield that answers",
    answer: object({ node_id: ID, version: TEXT, uptime_ms: COUNT, draining: BOOLEAN }),
    scope: "bus",
    handle: ({ status }) => Response.json(status()),
  },
  "GET /v1/access": {
    id: "getAccess",
    summary:
      "the token's user, whether its scope is the whole bus or one tenant, and which parts are switched off",
    answer: object({
      user_id: TEXT,
      tenant_id: ID,
      operator: BOOLEAN,
      token_expires_ms: UNIX_MS,
      off: list(TEXT),
      room_cards: list(object({ title: TEXT, path: TEXT })),
    }),
    scope: "shared",
    handle: showAccess,
  },
});

/**
 * Answers the token's effective scope in the configuration of this Shield, the parts that are switched off, and the
 * extra cards of the console's page of a room.
 */
function showAccess({ off, room_cards }: StatusContext, call: AdminCall): Response {
  const { client: { identity }, by: user_id, tenant_id, only_tenant } = call;
  const operator = only_tenant === undefined;
  return Response.json({
    user_id,
    tenant_id,
    operator,
    token_expires_ms: identity.expires_ms,
    off,
    room_cards,
  });
}
