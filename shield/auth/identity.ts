/**
 * The identity of a connection: the result of authentication, for every later step. `authenticate.ts` proves it,
 * `authorize.ts` authorizes it.
 */

/** The latest time of a Date, Unix ms, which stands for "never". */
export const NEVER_MS = 8_640_000_000_000_000;

/** An action that a grant may allow in a room. */
export type Action = "publish" | "subscribe" | "presence" | "command";
/** Every action, in the order in which clients use them. */
export const ACTIONS: readonly Action[] = ["publish", "subscribe", "presence", "command"];

/** Roles of a token: `user` is an end user, `service` a backend, `admin` may use the admin API. */
export type Role = "user" | "service" | "admin";

/** One entry of the token's `grants`. */
export interface Grant {
  /** A room id, a prefix followed by `*`, or `*` (see `matchesRoomPattern`). */
  readonly room: string;
  readonly actions: readonly Action[];
  /** Of a ticket: its user may do it in this room, which is beside another one. No token has it. */
  readonly is_checked?: true;
  /** The holder of its token, if that is not the connection's own. */
  readonly lender?: Identity | undefined;
}

/** An authenticated user with the content of its token. Immutable; REFRESH makes another. */
export interface Identity {
  readonly tenant_id: string;
  /** The token's `sub`: 1 to 128 printable bytes, unique only within its issuer. */
  readonly user_id: string;
  /** Issuer and subject: the user for limits and bans. */
  readonly user_key: string;
  readonly role: Role;
  readonly issuer: string;
  /** The token's `kid`; undefined: it has none. */
  readonly key_id?: string | undefined;
  /**
   * Unix ms at which the connection ends: the token's `exp`; for a token that was already past it
   * and only passed by `[auth] clock_skew_seconds`, the end of that tolerance.
   */
  readonly expires_ms: number;
  readonly token_id: string | undefined;
  /** It has no token that can be revoked. */
  readonly is_tokenless?: true;
  /** Absent: everything in the tenant. Empty: nothing. */
  readonly grants: readonly Grant[] | undefined;
  /** Ed25519 key of `cnf.jwk`, with which the user signs messages. */
  readonly signing_key: CryptoKey | undefined;
  /** Every claim of the token, for policies; never logged. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The prefix of user ids of clients and backends of Pusher apps. */
export const PUSHER_USER = "pusher:";

/** Whether a user is a client of a Pusher app. Each of its connections is another user. */
export const isPusherClient = (user_id: string): boolean => user_id.startsWith(PUSHER_USER);

/** An actor of the bus itself. */
export interface Tokenless extends Pick<Identity, "tenant_id" | "user_id" | "role" | "issuer"> {
  readonly grants?: Identity["grants"];
  /** Claims besides `iss`, `sub` and `role`, which every token has, too. */
  readonly claims?: Identity["claims"];
}

/** The identity of an actor without a token, such as a schedule. It never expires. */
export function tokenlessIdentity(
  { tenant_id, user_id, role, issuer, grants, claims }: Tokenless,
): Identity {
  return {
    tenant_id,
    user_id,
    user_key: `${issuer}\n${user_id}`,
    role,
    issuer,
    expires_ms: NEVER_MS,
    token_id: undefined,
    is_tokenless: true,
    grants,
    signing_key: undefined,
    claims: { iss: issuer, sub: user_id, role, ...claims },
  };
}
