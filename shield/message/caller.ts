/**
 * Who speaks: an identity with what its connection or request brought along. What it may do is
 * `authorize.ts`, how its token was proved is `authenticate.ts`.
 */
import type { Identity } from "../auth/identity.ts";

/** A header or an added header. */
export type HeaderPair = readonly [name: string, value: string];

/** Who asks, with what its connection brought along. */
export interface Caller {
  readonly identity: Identity;
  /** The id of the connection; for an HTTP publish one of its user. */
  readonly connection_id: string;
  /** The headers of the upgrade or HTTP request, without credentials (`request_headers.ts`). */
  readonly request_headers: readonly HeaderPair[];
  readonly remote_ip: string;
}

/** What a request's token and address say, before there is a connection. */
export type Client = Pick<Caller, "identity" | "remote_ip">;
