/**
 * The identity of a connection: the one result of authentication, which every later step reads. How
 * it is proved is `authenticate.ts`, what it may do `authorize.ts`.
 */

/** The latest time that a Date can hold, Unix ms: what never ends, ends then. */
export const NEVER_MS = 8_640_000_000_000_000;

/** What a grant may allow in a room. */
export type Action = "publish" | "subscribe" | "presence" | "command";
/** Every action, in the order in which clients meet them. */
export const ACTIONS: readonly Action[] = ["publish", "subscribe", "presence", "command"];

/** Roles of a token: `user` is an end user, `service` a backend, `admin` may use the admin API. */
export type Role = "user" | "service" | "admin";

/** One entry of the token's `grants`. */
export interface Grant {
  /** A room id, a prefix followed by `*`, or `*` (see `matchesRoomPattern`). */
  readonly room: string;
  readonly actions: readonly Action[];
}

/**
 * An authenticated user with everything that its token said. Never changes; REFRESH makes another.
 */
export interface Identity {
  readonly tenant_id: string;
  /** The token's `sub`: 1 to 128 printable bytes, unique only within its issuer. */
  readonly user_id: string;
  /** Issuer and subject: what "one user" means for limits and bans. */
  readonly user_key: string;
  readonly role: Role;
  readonly issuer: string;
  /** The token's `kid`; undefined: it names none. */
  readonly key_id?: string | undefined;
  /**
   * Unix ms at which the connection ends: the token's `exp`; for a token that was already past it
   * and only passed by `[auth] clock_skew_seconds`, the end of that tolerance.
   */
  readonly expires_ms: number;
  /** The token's `jti`. */
  readonly token_id: string | undefined;
  /** Absent: everything in the tenant. Empty: nothing. */
  readonly grants: readonly Grant[] | undefined;
  /** Ed25519 key of `cnf.jwk`, with which the user signs messages. */
  readonly signing_key: CryptoKey | undefined;
  /** Every claim of the token as it stands, for policies; never logged. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What the user ids of clients and backends of Pusher apps begin with. */
export const PUSHER_USER = "pusher:";

/** Whether a user is a client of a Pusher app: another user with each of its connections. */
export const isPusherClient = (user_id: string): boolean => user_id.startsWith(PUSHER_USER);

/** Whom the bus itself lets act. */
export interface Tokenless extends Pick<Identity, "tenant_id" | "user_id" | "role" | "issuer"> {
  readonly grants?: Identity["grants"];
  /** Claims beside `iss` and `sub`. */
  readonly claims?: Identity["claims"];
}

/** The identity of somebody without a token, such as a schedule. Its time never ends, and is one all the same. */
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
    grants,
    signing_key: undefined,
    claims: { iss: issuer, sub: user_id, ...claims },
  };
}
