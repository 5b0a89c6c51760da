/**
 * The caller of an operation: an identity with the headers and address of its connection or request. `authorize.ts`
 * authorizes it; `authenticate.ts` authenticated it.
 */
import { isPusherClient, tokenlessIdentity } from "../auth/identity.ts";
import type { Identity, Tokenless } from "../auth/identity.ts";
import type { TraceContext } from "../../shared/telemetry/trace_context.ts";
import { groupOf } from "../../shared/http1/arrivals.ts";

/** A header of a request or an envelope, or one that a policy added. */
export type HeaderPair = readonly [name: string, value: string];

/** The caller of an operation. */
export interface Caller {
  readonly identity: Identity;
  /** The id of the connection; for an HTTP publish a generated one. */
  readonly connection_id: string;
  /** The headers of the upgrade or HTTP request, without credentials (`request_headers.ts`). */
  readonly request_headers: readonly HeaderPair[];
  readonly remote_ip: string;
  /** The trace of an HTTP request, for its messages without their own. */
  readonly trace?: TraceContext | undefined;
}

/** A client before there is a connection: from its request's token and address. */
export type Client = Pick<Caller, "identity" | "remote_ip">;

/** The caller of an operation without a connection or request. */
export function tokenlessCaller(who: Tokenless, connection_id: string): Caller {
  return { identity: tokenlessIdentity(who), connection_id, request_headers: [], remote_ip: "" };
}

/**
 * The sender of an operation, unique within its tenant: the user, by any connection or request. A service publishes for
 * many users, so each of its rooms is a separate sender. A client of a Pusher app is a new user on each connection, so
 * its address is used instead.
 */
export function senderOf(caller: Caller, room_id: string): string {
  const { role, user_key } = caller.identity;
  return role === "service" ? `${user_key}\n${room_id}` : sourceOf(caller);
}

/** The source of a sender, for decisions about several senders: all rooms of a service are one source. */
export function sourceOf({ identity: { user_id, user_key }, remote_ip }: Caller): string {
  return isPusherClient(user_id) && remote_ip !== "" ? `\n${groupOf(remote_ip)}` : user_key;
}
