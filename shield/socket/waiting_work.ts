/** Work that a client asks for by the dozen in one message: it is done in pieces, while its socket rests. */
import { inPieces } from "../../shared/turns/slices.ts";

/** Items that are done in one piece: some half a millisecond. */
const ITEMS_A_PIECE = 16;
/** Messages whose items wait, in bytes of the longest, where the peer cannot be made to wait. */
const WAITING_MESSAGES = 4;
/** The socket rests at most so long, in ms. */
const REST_MS = 1_000;

/** What one client has asked for, in order. */
export class WaitingWork<Item> {
  #items: Item[] = [];
  #bytes = 0;
  #is_running = false;
  /** Whether the socket rests for this. */
  #rests = false;

  /** One more message has come, and may be worked on once `is_open`; false: too much waits. */
  take({ length }: string | Uint8Array, message_bytes: number, is_open: boolean): boolean {
    if (this.#is_running || !is_open) this.#bytes += length;
    const most_bytes = message_bytes * (is_open ? WAITING_MESSAGES : 1);
    return length <= message_bytes && this.#bytes <= most_bytes;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  /** None of them is done. */
  clear(): void {
    this.#items = [];
  }

  /** Somebody else lets the socket rest, for a time of its own. */
  leaveRest(): void {
    this.#rests = false;
  }

  /** Does a piece of them at once, and the others in slices that the tenant pays, while the socket rests. */
  async run(
    tenant_id: string,
    one: (item: Item) => void,
    rest: (wait_ms: number) => void,
  ): Promise<void> {
    if (this.#is_running) return;
    this.#is_running = true;
    const later = inPieces(tenant_id, this.#each(one), ITEMS_A_PIECE);
    if (later !== undefined) {
      this.#rests = true;
      rest(REST_MS);
      await later;
    }
    this.#is_running = false;
    this.#bytes = 0;
    if (this.#rests) rest(0);
    this.#rests = false;
  }

  *#each(one: (item: Item) => void): Generator<void> {
    for (let item = this.#items.shift(); item !== undefined; item = this.#items.shift()) {
      one(item);
      // The last one needs no further piece.
      if (this.#items.length > 0) yield;
    }
  }
}
