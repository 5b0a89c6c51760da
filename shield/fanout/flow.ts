/**
 * The position of one connection in one durable room: live, or behind with a cursor, from which it gets missed messages
 * as fast as it reads. A flow outlives a SUB that only changes options, so that no message is lost or repeated. The
 * connection sends; the room log has the messages.
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
 * What one subscription was sent from one position in the room until it was live: the offset after which it began,
 * those of the first and the last message, 0: none; and the ledger's position at which it was live, 0: not yet.
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
  /** What the connection was sent since the last `rewind` or `continueAs`. */
  episode: Episode = { after: 0, first: 0, last: 0, live: 0 };
  /** Whether requested frames are not all sent yet. */
  is_sending = false;
  /** How often the connection got another cursor; frames requested earlier are not sent. */
  rewinds = 0;

  /** True if the connection receives live messages; otherwise it gets them from `next`. */
  get is_live(): boolean {
    return this.#cursor === undefined;
  }

  /** Bytes of the connection's unread messages; 0 if it is live. */
  get lag_bytes(): number {
    return this.#cursor?.lag_bytes ?? 0;
  }

  /** The number of the connection's unread messages. */
  get lag_messages(): number {
    return this.#cursor?.lag_messages ?? 0;
  }

  /** Continues from this cursor, once frames are requested. */
  rewind(cursor: Cursor): void {
    this.#cursor = cursor;
    this.is_sending = false;
    this.rewinds++;
    this.episode = { after: cursor.offset, first: 0, last: 0, live: 0 };
  }

  /**
   * Starts the episode of another subscription that takes over: what it was not sent itself stays in the former
   * episode.
   */
  continueAs(): Episode {
    const { after, last, live } = this.episode;
    return this.episode = { after: Math.max(after, last), first: 0, last: 0, live };
  }

  /** The next message that the connection missed; undefined if there is none: it is live then. */
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

  /** Makes the connection live at once; its old position is dropped. */
  finish(): void {
    this.#cursor = undefined;
  }

  /** Records the ledger's position at which the connection is live. */
  noteLive(position: number): void {
    if (this.is_live && this.episode.live === 0) this.episode.live = position;
  }
}
