/**
 * The answer to `connect` while the subscriptions that it lists are under way: whatever the client is sent meanwhile
 * waits behind it. Pure.
 */
import { infoOf } from "./answers.ts";
import type { Member } from "./answers.ts";
import { UNSUBSCRIBE } from "./codes.ts";
import type { Reply, Subscribed } from "./messages.ts";
import type { Channel } from "./subscription.ts";

/** So much waits, in units of frames; with more, the answer does not wait for the rest. */
const HELD_MAX = 65_536;

type Frame = string | Uint8Array<ArrayBuffer>;

/** The subscriptions of one client, until it is answered. */
export class Opening {
  readonly #subs = new Map<string, Subscribed>();
  readonly #asked: Set<Channel>;
  readonly #frames: Frame[] = [];
  #size = 0;

  constructor(asked: readonly Channel[]) {
    this.#asked = new Set(asked);
  }

  /** Whether the client is to be answered. */
  get is_over(): boolean {
    return this.#asked.size === 0 || this.#size > HELD_MAX;
  }

  /** One more subscription. */
  add(channel: Channel): void {
    this.#asked.add(channel);
  }

  /** A subscription is under way no more; without `subscribed` it came to nothing. */
  end(channel: Channel, subscribed?: Subscribed): void {
    this.#asked.delete(channel);
    if (subscribed !== undefined) this.#subs.set(channel.name, subscribed);
  }

  /** The answer does not wait any longer. */
  hurry(): void {
    this.#size = Infinity;
  }

  hold(frame: Frame): void {
    this.#frames.push(frame);
    this.#size += frame.length;
  }

  /** What the answer lists, and what follows it. A subscription that would go on, and is not made yet, goes on in it. */
  finish(): { subs: Readonly<Record<string, Subscribed>>; frames: readonly Frame[] } {
    for (const channel of this.#asked) {
      const { name, position } = channel;
      if (position === undefined) continue;
      channel.is_listed = true;
      const recovery = { was_recovering: true, recovered: true };
      this.#subs.set(name, { recoverable: true, positioned: true, ...position, ...recovery });
    }
    return { subs: Object.fromEntries(this.#subs), frames: this.#frames };
  }
}

/**
 * Pushes to a client behind a subscription that the server has made; undefined `subscribed`: it came to nothing. Whoever
 * gets joins gets its own, too, which the bus sends to the others alone.
 */
export function pushesOf(
  { is_listed, joins, without }: Channel,
  subscribed: Subscribed | undefined,
  { member, is_answered }: { readonly member: Member; readonly is_answered: boolean },
): NonNullable<Reply["push"]>[] {
  const is_member = subscribed !== undefined && joins && !without.has("presence");
  const own = is_member ? [{ join: { info: infoOf(member) } }] : [];
  if (!is_answered || is_listed && subscribed?.recovered === true) return own;
  const unsubscribe = { code: UNSUBSCRIBE.server, reason: "not recovered" };
  const ends = is_listed ? [{ unsubscribe }] : [];
  if (subscribed === undefined) return ends;
  const { was_recovering: _, recovered: __, ...subscribe } = subscribed;
  return [...ends, { subscribe }, ...own];
}
