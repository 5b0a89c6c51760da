/**
 * One pattern of rooms that a connection receives, for `fanout/pattern_rooms.ts`. `subscribed_patterns.ts` has all of
 * them.
 */
import type { Frame } from "../fanout/frame_bytes.ts";
import type { Channel, Subscriber } from "../fanout/hub.ts";
import type { PatternListener } from "../fanout/pattern_rooms.ts";
import type { DeltaWish } from "../fanout/deltas.ts";
import type { Filter } from "../fanout/filters.ts";

/** The options of a SUB for the rooms of its pattern. */
export interface PatternWish {
  readonly no_echo: boolean;
  readonly filter: Filter | undefined;
  /** Undefined: whole messages. */
  readonly deltas: DeltaWish | undefined;
}

/** Whether the subscriber receives a room with the options of its pattern. */
export function isAsked(subscriber: Subscriber, { no_echo, filter, deltas }: PatternWish): boolean {
  const { kept, vcdiff = false } = subscriber;
  return subscriber.no_echo === no_echo && subscriber.filter === filter &&
    kept === deltas?.kept && vcdiff === (deltas?.vcdiff ?? false);
}

/** What a pattern needs from the connection's patterns. */
interface PatternOwner {
  enter(pattern: SubscribedPattern, channel: Channel): void;
  mayRelease(room_id: string): boolean;
  release(room_id: string): void;
  send(frame: Frame): void;
}

/** One pattern of one connection. */
export class SubscribedPattern implements PatternListener {
  readonly pattern: string;
  readonly text: boolean;
  no_echo: boolean;
  filter: Filter | undefined;
  deltas: DeltaWish | undefined;
  /** Settles once its SUB is answered: messages of rooms entered earlier wait for it. Absent: answered. */
  answering: Promise<void> | undefined;
  readonly #owner: PatternOwner;

  constructor(
    owner: PatternOwner,
    pattern: string,
    text: boolean,
    { no_echo, filter, deltas }: PatternWish,
  ) {
    this.filter = filter;
    this.deltas = deltas;
    this.#owner = owner;
    this.pattern = pattern;
    this.text = text;
    this.no_echo = no_echo;
  }

  enter(channel: Channel): void {
    this.#owner.enter(this, channel);
  }

  mayRelease(room_id: string): boolean {
    return this.#owner.mayRelease(room_id);
  }

  release(room_id: string): void {
    this.#owner.release(room_id);
  }

  send(frame: Frame): void {
    this.#owner.send(frame);
  }
}
