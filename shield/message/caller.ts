/**
 * The caller of an operation: an identity with the headers and address of its connection or request. `authorize.ts`
 * authorizes it; `authenticate.ts` authenticated it.
 */
import { tokenlessIdentity } from "../auth/identity.ts";
import type { Identity, Tokenless } from "../auth/identity.ts";
import type { TraceContext } from "../../shared/telemetry/trace_context.ts";

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
