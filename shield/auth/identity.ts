/**
 * The identity of a connection: the one result of authentication, which every later step reads. How
 * it is proved is `authenticate.ts`, what it may do `authorize.ts`.
 */

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
