/**
 * The position of one connection in one durable room: live, or behind with a cursor, from which it gets
 * what it missed as fast as it reads. A flow outlives a SUB that only changes options, so that no
 * message is lost or repeated. The connection sends; the messages are the room log's.
 */
import { encodeTextMessage, readRouted } from "@arqon/proto";
import type { Frame } from "./frame_bytes.ts";
import type { Cursor, Entry } from "./entry.ts";

/** The frame of a durable room's message in one of the two forms. */
export function entryFrame(entry: Entry, text: boolean): Frame {
  if (!text) return entry.binary;
  return entry.text ??= encodeTextMessage(readRouted(entry.binary.subarray(1)));
}

/**
 * What one subscription was given from one place in the room on until it was live: the offset behind which it
 * began, those of the first and the last message, 0: none; and the ledger's position from which on it was live,
 * 0: not yet.
 */
export interface Episode {
  readonly after: number;
  first: number;
  last: number;
  live: number;
}

/** The flow of one connection in one durable room. */
export class Flow {
  #cursor: Cursor | undefined;
  /** What the connection was given since the last `rewind` or `continueAs`. */
  episode: Episode = { after: 0, first: 0, last: 0, live: 0 };
  /** Frames have been asked for and not yet all been sent. */
  is_sending = false;
  /** How often the connection got another cursor: frames that were asked for before one are not sent. */
  rewinds = 0;

  /** True when the connection gets messages as they come; otherwise it gets them from `next`. */
  get is_live(): boolean {
    return this.#cursor === undefined;
  }

  /** Bytes of the messages that the connection has yet to get; 0 when it is live. */
  get lag_bytes(): number {
    return this.#cursor?.lag_bytes ?? 0;
  }

  /** How many messages the connection has yet to get. */
  get lag_messages(): number {
    return this.#cursor?.lag_messages ?? 0;
  }

  /** Lets the connection go on from this cursor, once frames are asked for. */
  rewind(cursor: Cursor): void {
    this.#cursor = cursor;
    this.is_sending = false;
    this.rewinds++;
    this.episode = { after: cursor.offset, first: 0, last: 0, live: 0 };
  }

  /**
   * The episode of another subscription that takes over here: what it was not given itself stays in the
   * episode of the one before.
   */
  continueAs(): Episode {
    const { after, last, live } = this.episode;
    return this.episode = { after: Math.max(after, last), first: 0, last: 0, live };
  }

  /** The next message that the connection missed; undefined when there is none, and then it is live. */
  next(): Entry | undefined {
    const entry = this.#cursor?.next();
    if (entry === undefined) {
      this.#cursor = undefined;
      return undefined;
    }
    const { episode } = this;
    if (episode.first === 0) episode.first = entry.offset;
    episode.last = entry.offset;
    return entry;
  }

  /** Makes the connection live at once; its old place is given up. */
  finish(): void {
    this.#cursor = undefined;
  }

  /** Takes note of the ledger's position from which on the connection is live. */
  noteLive(position: number): void {
    if (this.is_live && this.episode.live === 0) this.episode.live = position;
  }
}
