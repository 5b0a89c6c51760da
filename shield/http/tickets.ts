/** `POST /v1/tickets`: a ticket for a page whose `EventSource` cannot set headers. `ticket_store.ts` stores it. */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { requireRoomId } from "../../shared/subjects/subject.ts";
import { requireGrant } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import type { HttpRates } from "../rates/http_rates.ts";
import { bump } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { bodyText, readBody, requireJson } from "./http_body.ts";
import { membersOfQuery, objectText } from "./members.ts";
import { OWN_ROUTES } from "./own_routes.ts";
import type { ClientCall, ClientRoute } from "./route.ts";
import type { TicketStore } from "./ticket_store.ts";

/** The paths that accept a ticket instead of a token. */
const EVENT_PATHS = /^\/v1\/(?:rooms\/[^/]+\/)?events$/;
const BODY_BYTES_MAX = 131_072;

/** The store of tickets, and the rates that a request is charged to. */
export interface TicketsContext {
  readonly tickets: Pick<TicketStore, "issue">;
  readonly rates: Pick<HttpRates, "take">;
  readonly stats: Pick<ShieldStats, "ingress_ops">;
  readonly query_token: boolean;
  /** The most rooms of one stream. */
  readonly rooms_max: number;
}

/** Makes the route. */
export function ticketRoute(context: TicketsContext): ClientRoute {
  return { ...OWN_ROUTES.ticket, answer: (call) => answer(context, call) };
}

async function answer(context: TicketsContext, call: ClientCall): Promise<Response> {
  const { request, client: { identity }, url } = call;
  bump(context.stats.ingress_ops, "http_ticket");
  requireJson(request);
  const body = await readBody(request, BODY_BYTES_MAX, identity.tenant_id);
  context.rates.take(identity, body.length);
  membersOfQuery(url, [], context.query_token ? ["access_token"] : []);
  const rooms = roomsOf(bodyText(body), context.rooms_max);
  for (const room of rooms) {
    requireRoomId(room);
    requireGrant(identity, "subscribe", room);
  }
  const ticket = await context.tickets.issue(identity, rooms);
  return Response.json(ticket, { headers: { "cache-control": "no-store" } });
}

/** The rooms in a body. Throws 400, naming the fault. */
function roomsOf(text: string, rooms_max: number): string[] {
  const members = objectText(text);
  for (const name of members.keys()) {
    if (name === "rooms") continue;
    throw new ArqonError("unknown-field", `${JSON.stringify(name.slice(0, 64))}; known: rooms`);
  }
  const rooms: unknown = JSON.parse(members.get("rooms") ?? "null");
  if (!Array.isArray(rooms) || rooms.length === 0 || !rooms.every(isText)) {
    throw new ArqonError("invalid-field", 'rooms; expected a list such as ["lobby"]');
  }
  if (rooms.length > rooms_max) {
    throw new ArqonError("too-many-rooms", `${rooms_max} per stream`);
  }
  return [...new Set<string>(rooms)];
}

const isText = (value: unknown) => typeof value === "string";

/** The dependencies of tickets' authentication. */
export interface TicketEntry extends Pick<Env, "now"> {
  readonly tickets: Pick<TicketStore, "redeem">;
  /** Throws `token-revoked` if the identity's token has been revoked since. */
  readonly requireNotRevoked: (identity: Identity) => void;
}

/** The ticket in a request to a path that accepts tickets. */
export function ticketIn(url: URL): string | undefined {
  return EVENT_PATHS.test(url.pathname) ? url.searchParams.get("ticket") ?? undefined : undefined;
}

/** The ticket's owner. Rejects with `ticket-invalid`, `token-expired` and `token-revoked` (401). */
export async function identityOfTicket(
  { tickets, requireNotRevoked, now }: TicketEntry,
  ticket: string,
): Promise<Identity> {
  const identity = await tickets.redeem(ticket);
  if (now() >= identity.expires_ms) throw new ArqonError("token-expired");
  requireNotRevoked(identity);
  return identity;
}
