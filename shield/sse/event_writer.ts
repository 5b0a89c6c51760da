/**
 * The stream of one reader of events: a queue in front of its connection, as gzip if requested. `sse_socket.ts` and
 * `session_socket.ts` fill it.
 */
import { type ByteSink, closeQuietly, type OutStream } from "../../shared/http1/byte_stream.ts";
import type { UpgradeTaker } from "../../shared/http1/exchange.ts";
import { CLOSE_MS } from "../socket/client_socket.ts";
import { type WireMember, type WireRun, WireTurn } from "../socket/wire_turn.ts";
import type { GzipStream } from "../../shared/http1/gzip.ts";
import { Turns } from "../../shared/turns/fair_turns.ts";
import { eventBytes, factsOf, idBytes, type MessageFacts } from "./event_text.ts";
import { positionText } from "./positions.ts";

/** A long write is split into pieces of this size, so that `bufferedAmount` falls as the peer reads. */
const PIECE_BYTES = 65_536;
/** The most bytes that a reader may send after its request: it has nothing to send. */
const RECEIVED_BYTES_MAX = 65_536;

/** The owner of a stream. Must not throw. */
export interface EventWriterOwner {
  /** The peer has taken a piece. */
  wrote(): void;
  /** The stream has ended, once; `begun`: whether it had a peer. */
  gone(begun: boolean): void;
  /** The last call, some turns after `gone`. */
  over(): void;
}

/** One stream. Everything is queued until it `run`s. */
export class EventWriter implements WireMember, UpgradeTaker, ByteSink {
  readonly #readers: EventReaders;
  readonly #gzip: GzipStream | undefined;
  readonly #owner: EventWriterOwner;
  #stream: OutStream | undefined;
  #run: WireRun | undefined;
  /** Bytes being written: the stream has the first piece. */
  #writing: Uint8Array<ArrayBuffer> | undefined;
  #awaits_turn = false;
  #is_over = false;
  #is_ending = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #received_bytes = 0;
  #onOver: (() => void) | undefined;

  /** `gzip` compresses what the reader gets; undefined: no compression. */
  constructor(readers: EventReaders, gzip: GzipStream | undefined, owner: EventWriterOwner) {
    this.#readers = readers;
    this.#gzip = gzip;
    this.#owner = owner;
    if (gzip !== undefined) this.#pushRaw(gzip.head);
  }

  /** Bytes that the peer has not taken yet. */
  get bufferedAmount(): number {
    return this.#is_over ? 0 : (this.#writing?.length ?? 0) + (this.#run?.bytes ?? 0);
  }

  /** Whether it has a peer. */
  get is_running(): boolean {
    return this.#stream !== undefined;
  }

  /** Whether no write is running. */
  get is_idle(): boolean {
    return this.#writing === undefined;
  }

  /** Queues bytes, which must no longer change. */
  push(bytes: Uint8Array<ArrayBuffer>): void {
    this.#pushRaw(this.#gzip === undefined ? bytes : this.#gzip.pack(bytes));
  }

  #pushRaw(bytes: Uint8Array<ArrayBuffer>): void {
    this.#run = this.#readers.extend(this.#run, bytes);
    if (this.#awaits_turn || this.#writing !== undefined) return;
    this.#awaits_turn = true;
    this.#readers.add(this);
  }

  /** Ends the stream when the peer has read the queue, or does not read. */
  end(): void {
    if (this.#is_ending || this.#is_over) return;
    this.#is_ending = true;
    if (this.#gzip !== undefined) this.#pushRaw(this.#gzip.end());
    this.#timer = setTimeout(() => this.destroy(), CLOSE_MS);
    // Without data to send, no turn would notice the end.
    if (!this.#awaits_turn && this.#writing === undefined) this.#flush();
  }

  /** Serves the reader, from the head of its answer to its end; then `onOver` is called. */
  run(stream: OutStream, early: Uint8Array<ArrayBuffer>, onOver?: () => void): void {
    this.#onOver = onOver;
    if (this.#is_over) {
      closeQuietly(stream);
      return onOver?.();
    }
    this.#stream = stream;
    this.#readers.open++;
    if (!this.#awaits_turn) this.#flush();
    this.#stream?.flow(this, early);
  }

  lost(): void {
    this.destroy();
  }

  arrived(_bytes: Uint8Array<ArrayBuffer>, end: number): void {
    this.#received_bytes += end;
    if (this.#received_bytes > RECEIVED_BYTES_MAX) this.destroy();
  }

  endTurn(): void {
    this.#awaits_turn = false;
    if (this.#writing === undefined) this.#flush();
  }

  /** Writes the queue, and then the bytes queued meanwhile. */
  #flush(): void {
    for (let stream; (stream = this.#stream) !== undefined;) {
      if (this.#writing === undefined) {
        this.#writing = this.#run?.whole();
        this.#run = undefined;
      }
      const bytes = this.#writing;
      if (bytes === undefined) break;
      if (!stream.send(bytes.length > PIECE_BYTES ? bytes.subarray(0, PIECE_BYTES) : bytes)) return;
      this.#onPiece(bytes);
    }
    if (this.#is_ending && this.bufferedAmount === 0) this.#finish();
  }

  #onPiece(bytes: Uint8Array<ArrayBuffer>): void {
    this.#writing = bytes.length > PIECE_BYTES ? bytes.subarray(PIECE_BYTES) : undefined;
    this.#owner.wrote();
  }

  written(): void {
    if (this.#writing !== undefined) this.#onPiece(this.#writing);
    this.#flush();
  }

  /** Lets the peer read to the end before the connection is closed. */
  #finish(): void {
    this.#stream?.closeWrite().then(() => this.destroy(), () => this.destroy());
  }

  ended(): void {
    this.destroy();
  }

  /** Ends it at once. The owner is notified now, and again when the stream reports its end. */
  destroy(): void {
    if (this.#is_over) return;
    this.#is_over = true;
    const stream = this.#stream;
    this.#stream = this.#run = this.#writing = undefined;
    clearTimeout(this.#timer);
    if (stream !== undefined) {
      this.#readers.open--;
      closeQuietly(stream);
    }
    this.#owner.gone(stream !== undefined);
    void this.#readers.ends.later().then(() => {
      this.#onOver?.();
      this.#owner.over();
    });
  }
}

// The work that all readers of events share: the bytes of a message are made once for all, and readers that get the
// same bytes in a turn share the write.

/** The most readers that end in one turn: a crowd that leaves at once must not stop the others. */
const ENDS_A_TURN = 16;

class MessageEventBytes {
  readonly facts: MessageFacts;
  /** The event without an id. */
  readonly body: Uint8Array<ArrayBuffer>;
  #epoch: string | undefined;
  #with_id: Uint8Array<ArrayBuffer> | undefined;

  constructor(frame: string) {
    this.facts = factsOf(frame);
    this.body = eventBytes(this.facts.name, frame);
  }

  /** The event with the id of a reader of only this room, in this epoch. */
  withId(epoch: string): Uint8Array<ArrayBuffer> {
    if (this.#with_id !== undefined && this.#epoch === epoch) return this.#with_id;
    const id = idBytes(positionText({ epoch, offset: this.facts.offset }));
    const whole = new Uint8Array(id.length + this.body.length);
    whole.set(id);
    whole.set(this.body, id.length);
    this.#epoch = epoch;
    return this.#with_id = whole;
  }
}

/** The readers of events of one process. */
export class EventReaders {
  /** Ends of readers, a few a turn. */
  readonly ends = new Turns(ENDS_A_TURN);
  open = 0;
  readonly #turn = new WireTurn();
  #frame: string | undefined;
  #event: MessageEventBytes | undefined;

  /** A message's event; the same frame several times in a row is made into an event once. */
  eventOf(frame: string): MessageEventBytes {
    if (this.#event !== undefined && this.#frame === frame) return this.#event;
    this.#frame = frame;
    return this.#event = new MessageEventBytes(frame);
  }

  /** The run with more bytes; without a run, a new one. */
  extend(run: WireRun | undefined, bytes: Uint8Array<ArrayBuffer>): WireRun {
    return this.#turn.extend(run, bytes);
  }

  /** Calls the member's `endTurn` once, when this turn's jobs have run. */
  add(member: WireMember): void {
    this.#turn.add(member);
  }
}
