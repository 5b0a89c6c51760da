/**
 * The caller of an operation: an identity with what its connection or request brought along. What it
 * may do is `authorize.ts`; how its token was proved is `authenticate.ts`.
 */
import { tokenlessIdentity } from "../auth/identity.ts";
import type { Identity, Tokenless } from "../auth/identity.ts";

/** A header of a request or an envelope, or one that a policy added. */
export type HeaderPair = readonly [name: string, value: string];

/** The caller of an operation. */
export interface Caller {
  readonly identity: Identity;
  /** The id of the connection; for an HTTP publish one of its user. */
  readonly connection_id: string;
  /** The headers of the upgrade or HTTP request, without credentials (`request_headers.ts`). */
  readonly request_headers: readonly HeaderPair[];
  readonly remote_ip: string;
}

/** A client before there is a connection: what its request's token and address say. */
export type Client = Pick<Caller, "identity" | "remote_ip">;

/** The caller of an operation that nobody's connection or request asks for. */
export function tokenlessCaller(who: Tokenless, connection_id: string): Caller {
  return { identity: tokenlessIdentity(who), connection_id, request_headers: [], remote_ip: "" };
}
