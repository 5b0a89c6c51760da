/**
 * The subscription tokens of one client: each lets its connection subscribe to one channel, until it ends. Who verifies
 * tokens, and what the client receives at their end, is its socket's.
 */
import { ArqonError } from "@arqon/proto";
import { requireSameUser } from "../auth/authorize.ts";
import type { Grant, Identity } from "../auth/identity.ts";
import { memberMetaOf } from "./tokens.ts";

/** The wall clock is looked at so often, in ms: it may be set. */
const LOOK_MS = 10_000;

/** What subscription tokens change: the connection of their client. */
export interface GrantedConnection {
  readonly identity: Identity;
  /** What it may do beyond its tokens, in place of what that was before. */
  grant(more: readonly Grant[]): void;
  /** Ends a subscription at once. */
  leave(room_id: string): void;
}

/** What tokens need of their client. */
export interface ChannelTokenOptions {
  /** Who a token is. Rejects with a refusal. */
  readonly verify: (token: string) => Promise<Identity>;
  readonly connection: () => GrantedConnection | undefined;
  /** The token of a room has ended, and with it the right to be there. */
  readonly onEnd: (room_id: string) => void;
  /** Unix ms. */
  readonly now: () => number;
  /** Unix ms until which an `expire_at` holds; 0: Infinity. */
  readonly untilOf: (expire_at: number) => number;
}

/** A token that holds. */
interface Held {
  /** Unix ms; Infinity: as long as the connection. */
  readonly until_ms: number;
  readonly meta: unknown;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The tokens of one client by the rooms of their channels. */
export class ChannelTokens {
  readonly #options: ChannelTokenOptions;
  readonly #held = new Map<string, Held>();
  /** The last token that is being verified, by its room. */
  readonly #verified = new Map<string, string>();

  constructor(options: ChannelTokenOptions) {
    this.#options = options;
  }

  /** The token of a room; undefined: none. */
  of(room_id: string): Pick<Held, "until_ms" | "meta"> | undefined {
    return this.#held.get(room_id);
  }

  /** Whether the token holds now; not, where it is no longer wanted meanwhile. Rejects with a refusal. */
  async take(channel: string, room_id: string, token: string): Promise<boolean> {
    this.#verified.set(room_id, token);
    const { verify, connection, now, untilOf } = this.#options;
    const { claims, ...identity } = await verify(token);
    const client = connection();
    if (client === undefined || this.#verified.get(room_id) !== token) return false;
    this.#verified.delete(room_id);
    requireSameUser(client.identity, { claims, ...identity });
    if (claims.channel !== channel) {
      throw new ArqonError("not-granted", `the token is not for ${channel}`);
    }
    const { expire_at } = claims;
    const until_ms = typeof expire_at === "number" ? untilOf(expire_at) : identity.expires_ms;
    if (until_ms <= now()) throw new ArqonError("token-expired", "expire_at is over");
    this.hold(room_id, until_ms, memberMetaOf(claims));
    return true;
  }

  /** Lets the connection subscribe to a room until then, Unix ms; `meta` is its member's. */
  hold(room_id: string, until_ms: number, meta: unknown): void {
    clearTimeout(this.#held.get(room_id)?.timer);
    const held: Held = { until_ms, meta, timer: undefined };
    this.#held.set(room_id, held);
    this.#grant();
    this.#wait(room_id, held);
  }

  /** Forgets the token of a room that the client leaves. */
  drop(room_id: string): void {
    this.#verified.delete(room_id);
    const held = this.#held.get(room_id);
    if (held === undefined) return;
    clearTimeout(held.timer);
    this.#held.delete(room_id);
    this.#grant();
  }

  /** Forgets all of them: the client has gone. */
  close(): void {
    this.#verified.clear();
    for (const { timer } of this.#held.values()) clearTimeout(timer);
    this.#held.clear();
  }

  #grant(): void {
    const rooms = [...this.#held.keys()];
    this.#options.connection()?.grant(rooms.map((room) => ({ room, actions: ["subscribe"] })));
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
