/** Work of which a client requests many items in one message: it is done in pieces, while its socket rests. */
import { inPieces } from "./slices.ts";

/** Items of one piece: about half a millisecond. */
const ITEMS_A_PIECE = 16;
/** The limit of queued messages if the peer cannot be paused, in multiples of the longest message. */
const WAITING_MESSAGES = 4;
/** The longest rest of the socket, in ms. */
const REST_MS = 1_000;

/** The requested items of one client, in order. */
export class WaitingWork<Item> {
  #items: Item[] = [];
  #bytes = 0;
  #is_running = false;
  /** Whether the socket rests because of this work. */
  #rests = false;

  /** Adds a message, which may be processed once `is_open`; false: the queue is full. */
  take({ length }: string | Uint8Array, message_bytes: number, is_open: boolean): boolean {
    if (this.#is_running || !is_open) this.#bytes += length;
    const most_bytes = message_bytes * (is_open ? WAITING_MESSAGES : 1);
    return length <= message_bytes && this.#bytes <= most_bytes;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  clear(): void {
    this.#items = [];
  }

  /** Call it when other code sets the socket's rest. */
  leaveRest(): void {
    this.#rests = false;
  }

  /** Processes a piece at once, and the others in slices charged to the tenant, while the socket rests. */
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
      // There is no further piece after the last item.
      if (this.#items.length > 0) yield;
    }
  }
}
