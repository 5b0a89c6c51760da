/**
 * A client without WebSocket as a client's socket: its frames are those of `arqon.v1`, sent as events and received in
 * batches, each of which is a request. All rules for connections over WebSocket apply to it.
 * `shield/sse/http/sessions.ts` receives batches.
 */
import { Buffer } from "node:buffer";
import { ArqonError, Opcode } from "@arqon/proto";
import { BROKEN, PING_LOST, restOf } from "../socket/client_socket.ts";
import type { ClientSocket, SocketEvents } from "../socket/client_socket.ts";
import { eventBytes } from "./event_text.ts";
import { type EventReaders, EventWriter, type EventWriterOwner } from "./event_writer.ts";
import type { GzipStream } from "../../shared/http1/gzip.ts";

/** The PINGs without a batch after which the client counts as disconnected. */
const PINGS_UNANSWERED = 3;
const NORMAL = 1000;

/** The encoding of a connection's frames, for sessions of one kind. */
export interface SessionWire {
  /** A frame as an event; undefined: the frame has another form. */
  readonly written: (
    frame: string | Uint8Array<ArrayBuffer>,
  ) => Uint8Array<ArrayBuffer> | undefined;
  readonly isPing: (frame: string | Uint8Array<ArrayBuffer>) => boolean;
  /** The last event. */
  readonly closed: (code: number, reason: string) => Uint8Array<ArrayBuffer>;
}

/** Frames as events, for all sessions of a process. */
export class FrameEvents implements SessionWire {
  #frame: Uint8Array | undefined;
  #event: Uint8Array<ArrayBuffer> | undefined;

  /** A frame's event; the same frame several times in a row is made into an event once. */
  written(frame: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    if (typeof frame === "string") return undefined;
    if (this.#event !== undefined && this.#frame === frame) return this.#event;
    this.#frame = frame;
    const { buffer, byteOffset, length } = frame;
    const text = Buffer.from(buffer, byteOffset, length).toString("base64");
    return this.#event = eventBytes("message", `"${text}"`);
  }

  isPing(frame: string | Uint8Array<ArrayBuffer>): boolean {
    return frame[0] === Opcode.PING;
  }

  closed(code: number, reason: string): Uint8Array<ArrayBuffer> {
    return eventBytes("closed", JSON.stringify({ code, reason }));
  }
}

interface SessionSocketOptions {
  readonly readers: EventReaders;
  readonly wire: SessionWire;
  readonly gzip: GzipStream | undefined;
  /** The heartbeat of the process, in ms. */
  readonly heartbeat_ms: number;
  /** Called once, when no batch can be accepted any longer. */
  readonly onGone: () => void;
}

/** One session. Its peer is the one that its `writer` serves. */
export class SessionSocket implements ClientSocket, EventWriterOwner {
  readonly unfinished_bytes = 0;
  readonly writer: EventWriter;
  readonly #options: SessionSocketOptions;
  #events: SocketEvents | undefined;
  #closing = false;
  #code: number | undefined;
  /** The number of the batch that comes next, and the frames of the last one. */
  #next = 0;
  #handed = Promise.resolve();
  #pings_unanswered = 0;
  #rest: PromiseWithResolvers<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SessionSocketOptions) {
    this.#options = options;
    this.writer = new EventWriter(options.readers, options.gzip, this);
  }

  get bufferedAmount(): number {
    return this.writer.bufferedAmount;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
  }

  /** Opens the connection; `path` is the path of its batches. */
  begin(path: string): void {
    this.writer.push(eventBytes("session", JSON.stringify({ path })));
    this.#events?.opened();
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    const { wire } = this.#options;
    const written = this.#closing ? undefined : wire.written(frame);
    if (written === undefined) return;
    this.writer.push(written);
    if (!wire.isPing(frame) || ++this.#pings_unanswered <= PINGS_UNANSWERED) return;
    this.#code = PING_LOST;
    queueMicrotask(() => this.close(PING_LOST, "heartbeat-lost"));
  }

  /**
   * Takes a batch, and resolves when its frames have been passed on: later while the client must pause. A repeated
   * batch passes nothing on. Rejects with `malformed-body` or `invalid-field` (400) for an invalid batch, or one that
   * is not the next.
   */
  async take(body: Uint8Array<ArrayBuffer>): Promise<void> {
    const { number, frames, closes } = readBatch(body);
    this.#pings_unanswered = 0;
    if (number < this.#next) return await this.#handed;
    if (number > this.#next) {
      throw new ArqonError("invalid-field", `batch ${number}; expected ${this.#next}`);
    }
    this.#next++;
    await (this.#handed = this.hand(frames));
    if (!closes || this.#closing) return;
    this.#code = NORMAL;
    this.close(NORMAL, "");
  }

  /** Passes frames of the client on, and resolves after the last one: later while the client must pause. */
  async hand(frames: readonly (string | Uint8Array<ArrayBuffer>)[]): Promise<void> {
    this.#pings_unanswered = 0;
    for (const frame of frames) {
      // Frames of another request may have made it pause again.
      while (this.#rest !== undefined) await this.#rest.promise;
      if (this.#closing) return;
      this.#events?.message(frame);
    }
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.writer.push(this.#options.wire.closed(code, reason));
    this.writer.end();
    this.rest(0);
  }

  rest(wait_ms: number): void {
    clearTimeout(this.#timer);
    if (wait_ms > 0 && !this.#closing) {
      this.#rest ??= Promise.withResolvers<void>();
      this.#timer = setTimeout(() => this.rest(0), restOf(wait_ms, this.#options.heartbeat_ms));
      return;
    }
    this.#rest?.resolve();
    this.#rest = undefined;
  }

  terminate(): boolean {
    this.writer.destroy();
    return true;
  }

  wrote(): void {}

  gone(): void {
    this.#closing = true;
    this.#code ??= BROKEN;
    this.rest(0);
    this.#options.onGone();
  }

  over(): void {
    this.#events?.closed(this.#code ?? BROKEN);
  }
}

/** The most frames of one batch, so that no client has a turn for itself. */
const FRAMES_MAX = 1_024;
const NUMBER_BYTES = 4;

interface FrameBatch {
  /** The number of the batch, counted from 0. It identifies a repeated batch. */
  readonly number: number;
  /** Parts of the body. */
  readonly frames: readonly Uint8Array<ArrayBuffer>[];
  /** The client ends the connection after these frames. */
  readonly closes: boolean;
}

/**
 * Reads a batch: its number and then each frame with its length before it, as big-endian integers of
 * four bytes. A length of 0, which is the last, closes the connection. Throws `malformed-body` (400).
 */
export function readBatch(body: Uint8Array<ArrayBuffer>): FrameBatch {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < 2 * NUMBER_BYTES) throw wrong(`${body.length} bytes are not a batch`);
  const frames: Uint8Array<ArrayBuffer>[] = [];
  for (let at = NUMBER_BYTES; at < body.length;) {
    if (at + NUMBER_BYTES > body.length) throw wrong(`a length is cut off at byte ${at}`);
    const size_bytes = view.getUint32(at);
    at += NUMBER_BYTES;
    if (size_bytes === 0) {
      if (at < body.length) throw wrong("there are bytes after the end");
      return { number: view.getUint32(0), frames, closes: true };
    }
    if (at + size_bytes > body.length) throw wrong(`a frame is cut off at byte ${at}`);
    if (frames.length === FRAMES_MAX) throw wrong(`more than ${FRAMES_MAX} frames`);
    frames.push(body.subarray(at, at += size_bytes));
  }
  return { number: view.getUint32(0), frames, closes: false };
}

const wrong = (detail: string) => new ArqonError("malformed-body", detail);
