/**
 * The subscription tokens of one client. Each permits its connection to subscribe to one channel until the token
 * expires. The client's socket supplies the verification and handles the expiry.
 */
import { ArqonError } from "@arqon/proto";
import { requireSameUser } from "../auth/authorize.ts";
import type { Grant, Identity } from "../auth/identity.ts";
import { memberMetaOf } from "./tokens.ts";

/** The interval of clock checks, in ms: the wall clock may be set. */
const LOOK_MS = 10_000;

/** The client's connection, whose grants the tokens extend. */
export interface GrantedConnection {
  readonly identity: Identity;
  /** Replaces the grants that the connection has in addition to its own token's. */
  grant(more: readonly Grant[]): void;
  /** Ends a subscription at once; `why` is for the ledger, absent: its client has unsubscribed. */
  leave(room_id: string, why?: string): void;
}

/** The tokens' dependencies. */
export interface ChannelTokenOptions {
  /** Returns the identity of a token. Rejects with a refusal. */
  readonly verify: (token: string) => Promise<Identity>;
  readonly connection: () => GrantedConnection | undefined;
  /** Runs when the token of a room expires. */
  readonly onEnd: (room_id: string) => void;
  /** Unix ms. */
  readonly now: () => number;
  /** The expiry for an `expire_at`, Unix ms; Infinity for 0. */
  readonly untilOf: (expire_at: number) => number;
}

interface Held {
  /** The expiry, Unix ms; Infinity: as long as the connection. */
  readonly until_ms: number;
  readonly meta: unknown;
  /** The token's holder; undefined: a backend has granted it. */
  readonly lender: Identity | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The tokens of one client, by room. */
export class ChannelTokens {
  readonly #options: ChannelTokenOptions;
  readonly #held = new Map<string, Held>();
  /** The newest token under verification, by room. */
  readonly #verified = new Map<string, string>();

  constructor(options: ChannelTokenOptions) {
    this.#options = options;
  }

  /** The token of a room; undefined if there is none. */
  of(room_id: string): Pick<Held, "until_ms" | "meta"> | undefined {
    return this.#held.get(room_id);
  }

  /** Verifies and stores a token; false if the client left or sent a newer one meanwhile. Rejects with a refusal. */
  async take(channel: string, room_id: string, token: string): Promise<boolean> {
    this.#verified.set(room_id, token);
    const { verify, connection, now, untilOf } = this.#options;
    const lender = await verify(token);
    const client = connection();
    if (client === undefined || this.#verified.get(room_id) !== token) return false;
    this.#verified.delete(room_id);
    requireSameUser(client.identity, lender);
    const { claims, claims: { expire_at }, expires_ms } = lender;
    if (claims.channel !== channel) {
      throw new ArqonError("not-granted", `the token is not for ${channel}`);
    }
    const until_ms = typeof expire_at === "number" ? untilOf(expire_at) : expires_ms;
    if (until_ms <= now()) throw new ArqonError("token-expired", "expire_at is over");
    this.hold(room_id, until_ms, memberMetaOf(claims), lender);
    return true;
  }

  /** Permits the connection to subscribe to a room until `until_ms`, Unix ms. `meta` is the member's metadata. */
  hold(room_id: string, until_ms: number, meta: unknown, lender?: Identity): void {
    clearTimeout(this.#held.get(room_id)?.timer);
    const held: Held = { until_ms, meta, lender, timer: undefined };
    this.#held.set(room_id, held);
    this.#grant();
    this.#wait(room_id, held);
  }

  drop(room_id: string): void {
    this.#verified.delete(room_id);
    const held = this.#held.get(room_id);
    if (held === undefined) return;
    clearTimeout(held.timer);
    this.#held.delete(room_id);
    this.#grant();
  }

  /** Removes all tokens when the client disconnects. */
  close(): void {
    this.#verified.clear();
    for (const { timer } of this.#held.values()) clearTimeout(timer);
    this.#held.clear();
  }

  #grant(): void {
    this.#options.connection()?.grant(
      [...this.#held].map(([room, { lender }]) => ({ room, actions: ["subscribe"], lender })),
    );
  }

  #wait(room_id: string, held: Held): void {
    if (held.until_ms === Infinity) return;
    const left_ms = held.until_ms - this.#options.now();
    held.timer = setTimeout(() => {
      if (held.until_ms > this.#options.now()) this.#wait(room_id, held);
      else this.#options.onEnd(room_id);
    }, Math.min(LOOK_MS, Math.max(1, left_ms)));
  }
}
