/**
 * The answer to `connect` while the server-side subscriptions that it lists are pending. It buffers the frames that
 * follow the answer. Pure.
 */
import { infoOf, type Member } from "./answers.ts";
import { UNSUBSCRIBE } from "./codes.ts";
import type { Reply, Subscribed } from "./messages.ts";
import type { Channel } from "./subscription.ts";

/** The most bytes or characters in the buffer. With more, the answer does not wait for pending subscriptions. */
const HELD_MAX = 65_536;

type Frame = string | Uint8Array<ArrayBuffer>;

/** The server-side subscriptions of one client until its `connect` is answered. */
export class ConnectAnswer {
  readonly #subs = new Map<string, Subscribed>();
  readonly #requested: Set<Channel>;
  readonly #frames: Frame[] = [];
  #size = 0;

  constructor(requested: readonly Channel[]) {
    this.#requested = new Set(requested);
  }

  /** Whether to answer the client now. */
  get is_over(): boolean {
    return this.#requested.size === 0 || this.#size > HELD_MAX;
  }

  add(channel: Channel): void {
    this.#requested.add(channel);
  }

  /** Ends a pending subscription; without `subscribed` it failed. */
  end(channel: Channel, subscribed?: Subscribed): void {
    this.#requested.delete(channel);
    if (subscribed !== undefined) this.#subs.set(channel.name, subscribed);
  }

  hurry(): void {
    this.#size = Infinity;
  }

  hold(frame: Frame): void {
    this.#frames.push(frame);
    this.#size += frame.length;
  }

  /** The listed subscriptions and the buffered frames. The list has a pending recovery as recovered. */
  finish(): { subs: Readonly<Record<string, Subscribed>>; frames: readonly Frame[] } {
    for (const channel of this.#requested) {
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
 * The pushes after a server-side subscription; `subscribed` is undefined if it failed. A client that receives joins
 * receives its own join, too: the bus sends it to the other members only.
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
