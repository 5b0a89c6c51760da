/**
 * The position of one connection in one durable room: live, or behind with a cursor, from which it gets missed messages
 * as fast as it reads. A flow outlives a SUB that only changes options, so that no message is lost or repeated. The
 * connection sends; the room log has the messages.
 */
import type { Entry, Episode, Flow } from "../../fanout/entry.ts";
import type { Cursor } from "../messages/timeline.ts";

/** The flow of one connection in one durable room. */
export class LogFlow implements Flow {
  #cursor: Cursor | undefined;
  episode: Episode = { after: 0, first: 0, last: 0, live: 0 };
  /** Whether requested frames are not all sent yet. */
  is_sending = false;
  /** How often the connection got another cursor; frames requested earlier are not sent. */
  rewinds = 0;

  get is_live(): boolean {
    return this.#cursor === undefined;
  }

  get lag_bytes(): number {
    return this.#cursor?.lag_bytes ?? 0;
  }

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

  finish(): void {
    this.#cursor = undefined;
  }

  noteLive(position: number): void {
    if (this.is_live && this.episode.live === 0) this.episode.live = position;
  }
}
