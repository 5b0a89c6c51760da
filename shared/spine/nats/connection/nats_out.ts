/**
 * Outgoing messages of one NATS connection: written into one buffer and passed to the socket once a turn of the event
 * loop, because an array, a copy and a write for each message cost more than the message. Encodes `PUB` and `HPUB`;
 * knows nothing of connections.
 */
import { setImmediate } from "node:timers";

const BUFFER_BYTES = 65_536;
/** Bytes that are flushed before the turn ends; nats.js' own bound. */
const FLUSH_BYTES = 32_768;
/** Bytes of a control line beside its subjects: verb, sizes and line end. */
const LINE_BYTES = 64;
const ZERO = 0x30;
const encoder = new TextEncoder();

/** A message to be sent. */
export interface Outgoing {
  /** The subject, checked: ASCII without white space. */
  readonly subject: string;
  /** The reply subject, checked as well; "": none. */
  readonly reply: string;
  /** The whole header block, "" for none, and its bytes. */
  readonly block: string;
  readonly block_bytes: number;
  readonly payload: Uint8Array;
}

/** The outgoing bytes of one socket. */
export class OutBuffer {
  readonly #write: (bytes: Uint8Array) => void;
  #bytes = new Uint8Array(BUFFER_BYTES);
  #used = 0;
  #scheduled = false;
  readonly #endTurn = () => {
    this.#scheduled = false;
    if (!this.#held) this.flush();
  };
  #held = false;

  /** `write` may keep the bytes that it gets. */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  /** Writes a message; its payload is copied. */
  publish({ subject, reply, block, block_bytes, payload }: Outgoing): void {
    const size_bytes = block_bytes + payload.length;
    this.#reserve(LINE_BYTES + subject.length + reply.length + size_bytes);
    this.#ascii(block_bytes === 0 ? "PUB " : "HPUB ");
    this.#ascii(subject);
    this.#ascii(" ");
    if (reply !== "") {
      this.#ascii(reply);
      this.#ascii(" ");
    }
    if (block_bytes > 0) {
      this.#number(block_bytes);
      this.#ascii(" ");
    }
    this.#number(size_bytes);
    this.#ascii("\r\n");
    if (block_bytes === block.length) this.#ascii(block);
    else this.#used += encoder.encodeInto(block, this.#bytes.subarray(this.#used)).written;
    this.#bytes.set(payload, this.#used);
    this.#used += payload.length;
    this.#ascii("\r\n");
    if (this.#used >= FLUSH_BYTES) this.flush();
    else this.#schedule();
  }

  /** Appends bytes and flushes the buffer at once. */
  send(bytes: Uint8Array): void {
    this.#held = false;
    if (this.#used === 0) return this.#write(bytes);
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.length;
    this.flush();
  }

  /** Leaves the flush of this turn to the caller, which calls `flush` or `send` at its end. */
  hold(): void {
    this.#held = true;
  }

  /** Passes the buffered bytes to the socket. */
  flush(): void {
    this.#held = false;
    if (this.#used === 0) return;
    const bytes = this.#bytes;
    const used = this.#used;
    this.#used = 0;
    if (bytes.length === BUFFER_BYTES) return this.#write(bytes.slice(0, used));
    this.#bytes = new Uint8Array(BUFFER_BYTES);
    this.#write(bytes.subarray(0, used));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#endTurn);
  }

  #reserve(size_bytes: number): void {
    if (this.#used + size_bytes <= this.#bytes.length) return;
    this.flush();
    if (size_bytes > BUFFER_BYTES) this.#bytes = new Uint8Array(size_bytes);
  }

  #ascii(text: string): void {
    const bytes = this.#bytes;
    let at = this.#used;
    for (let index = 0; index < text.length; index++) bytes[at++] = text.charCodeAt(index);
    this.#used = at;
  }

  #number(value: number): void {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    let at = this.#used += digits;
    let rest = value;
    do {
      this.#bytes[--at] = ZERO + rest % 10;
      rest = Math.floor(rest / 10);
    } while (rest > 0);
  }
}
