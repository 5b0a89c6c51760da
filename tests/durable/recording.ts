/**
 * What a durable run writes down: per room every publish with its outcome, and per subscriber
 * everything it saw, in its order. Plain data; `checker.ts` judges it.
 */

/** The outcome of one attempt to publish. Neither `refused` nor `unknown` says that it was not stored. */
export type Outcome =
  | { readonly kind: "acknowledged"; readonly offset: number }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unknown" };

/** One attempt: when it was made, in ms of the run's clock, and what came of it. */
export interface Attempt {
  readonly at_ms: number;
  readonly outcome: Outcome;
}

/** One message of a publisher; repeated under the same id while its fate is not known. */
export interface Publish {
  readonly message_id: string;
  readonly publisher: string;
  /** Counts the publisher's messages to this room. */
  readonly sequence: number;
  /** `hashBytes` of its data. */
  readonly hash: number;
  readonly attempts: readonly Attempt[];
}

/** A SUB was accepted. */
export interface Subscribed {
  readonly kind: "subscribed";
  /** Undefined: it asked for no position. */
  readonly recovered: boolean | undefined;
  /** Why it was not recovered; else empty. */
  readonly reason: string;
  readonly epoch: string;
  /** The room's position as told. */
  readonly offset: number;
}

/** A message came. */
export interface Delivered {
  readonly kind: "message";
  readonly epoch: string;
  readonly offset: number;
  readonly message_id: string;
  readonly hash: number;
}

/**
 * What a subscriber sees. `gap` says that something is lost here; after `disconnected` it is a
 * subscriber that comes back unless that is its last word; after `left` it wants nothing more.
 */
export type Sight =
  | Subscribed
  | Delivered
  | { readonly kind: "gap"; readonly reason: string }
  | { readonly kind: "disconnected" }
  | { readonly kind: "left" };

/** One subscriber of one room. */
export interface Subscriber {
  readonly name: string;
  readonly sights: readonly Sight[];
}

/** One room of a run. */
export interface RoomRecording {
  readonly room_id: string;
  readonly publishes: readonly Publish[];
  readonly subscribers: readonly Subscriber[];
}

/** A whole run. It ends when every subscriber that stays has had the time to see everything. */
export type Recording = readonly RoomRecording[];

/** FNV-1a, 32 bits. */
export function hashBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Growing lists of one subscriber or publish, as the clients of a run fill them. */
export interface OpenSubscriber extends Subscriber {
  readonly sights: Sight[];
}

/** As `OpenSubscriber`. */
export interface OpenPublish extends Publish {
  readonly attempts: Attempt[];
}

/** A recording while it is made. */
export class Recorder {
  readonly #rooms = new Map<string, { publishes: Publish[]; subscribers: Subscriber[] }>();

  /** The caller adds sights to it. */
  subscriber(room_id: string, name: string): OpenSubscriber {
    const subscriber = { name, sights: [] };
    this.#room(room_id).subscribers.push(subscriber);
    return subscriber;
  }

  /** The caller adds attempts to it. */
  publish(room_id: string, publish: Omit<Publish, "attempts">): OpenPublish {
    const open = { ...publish, attempts: [] };
    this.#room(room_id).publishes.push(open);
    return open;
  }

  /** What is there now; grows on with the run. */
  recording(): Recording {
    return [...this.#rooms].map(([room_id, room]) => ({ room_id, ...room }));
  }

  #room(room_id: string): { publishes: Publish[]; subscribers: Subscriber[] } {
    let room = this.#rooms.get(room_id);
    if (room === undefined) this.#rooms.set(room_id, room = { publishes: [], subscribers: [] });
    return room;
  }
}
