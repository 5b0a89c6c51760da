/**
 * Frames of one turn as the bytes of one write. A message goes to all its receivers as the same bytes, and connections
 * that receive the same in a turn get the same write, made once. It has no sockets.
 */
import { deflate } from "./deflate.ts";
import { BINARY, encodeFrame, frameAround, TEXT } from "./frame_head.ts";

/** Frames that leave together; a run is known by its last frame. */
export class WireRun {
  readonly bytes: number;
  readonly #frame: Uint8Array<ArrayBuffer>;
  readonly #before: WireRun | undefined;
  #next: WireRun | undefined;
  #whole: Uint8Array<ArrayBuffer> | undefined;
  /** Whether it was written to a shared buffer that may have changed since. */
  was_copied = false;

  constructor(frame: Uint8Array<ArrayBuffer>, before?: WireRun) {
    this.#frame = frame;
    this.#before = before;
    this.bytes = (before?.bytes ?? 0) + frame.length;
  }

  /** Whether the run is this frame and no other. */
  isOnly(frame: Uint8Array<ArrayBuffer>): boolean {
    return this.#before === undefined && this.#frame === frame;
  }

  extend(frame: Uint8Array<ArrayBuffer>): WireRun {
    const next = this.#next;
    if (next !== undefined && next.#frame === frame) return next;
    return this.#next = new WireRun(frame, this);
  }

  /** Whether its bytes are in one piece. */
  get is_whole(): boolean {
    return this.#before === undefined || this.#whole !== undefined;
  }

  /** The bytes of all frames in their order, which must not be changed. */
  whole(): Uint8Array<ArrayBuffer> {
    if (this.#before === undefined) return this.#frame;
    return this.#whole ??= this.copyTo(new Uint8Array(this.bytes));
  }

  /** Writes the bytes of all frames to the beginning of an array, and returns that. */
  copyTo<T extends Uint8Array>(target: T): T {
    let end = this.bytes;
    // deno-lint-ignore no-this-alias -- it goes from the last to the first
    for (let run: WireRun | undefined = this; run !== undefined; run = run.#before) {
      end -= run.#frame.length;
      target.set(run.#frame, end);
    }
    return target;
  }
}

/** A long write is passed on in pieces of this size, so that `bufferedAmount` falls as the peer reads. */
const PIECE_BYTES = 65_536;

/** The first piece of a write. */
export function firstPiece(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes.length > PIECE_BYTES ? bytes.subarray(0, PIECE_BYTES) : bytes;
}

/** The rest of a write after its first piece. */
export function afterPiece(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
  return bytes.length > PIECE_BYTES ? bytes.subarray(PIECE_BYTES) : undefined;
}

/** A longer run is joined in its own buffer. */
const JOINED_BYTES_MAX = 16_384;

/** A connection with frames of the current turn. */
export interface WireMember {
  /** Called at the end of the turn: writes the connection's frames. Must not throw. */
  endTurn(): void;
}

/** The current turn, for all sockets of the process. */
export class WireTurn {
  #members: WireMember[] = [];
  /** The run that was started last: until the turn ends, other connections start with the same one. */
  #begun: WireRun | undefined;
  /** The message that was framed last, and its frame. */
  #message: string | Uint8Array<ArrayBuffer> | undefined;
  #frame: Uint8Array<ArrayBuffer> | undefined;
  /** The same for binary frames that must wait. */
  #kept_message: Uint8Array<ArrayBuffer> | undefined;
  #kept_frame: Uint8Array<ArrayBuffer> | undefined;
  /** The message that was compressed last, and its frames by the receivers' window. */
  #compressed_message: string | Uint8Array<ArrayBuffer> | undefined;
  readonly #compressed: (Uint8Array<ArrayBuffer> | undefined)[] = [];
  readonly #onEnd = () => this.#end();
  /** The buffer for runs whose bytes the system takes at once. */
  #joining = new Uint8Array(0);
  /** The run in that buffer, and its bytes. */
  #joined_run: WireRun | undefined;
  #joined = this.#joining;

  /**
   * The frame of a message, for a write of this turn: it may be in a buffer with other messages. The same object or
   * text in consecutive calls is framed once.
   */
  frameOf(message: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (this.#frame !== undefined && this.#message === message) return this.#frame;
    this.#message = message;
    return this.#frame = typeof message === "string"
      ? encodeFrame(TEXT, encoder.encode(message))
      : frameAround(BINARY, message);
  }

  /** As `frameOf`, for a frame that waits: it retains no other memory. */
  keptFrameOf(message: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    // The frame of a text always has its own buffer.
    if (typeof message === "string") return this.frameOf(message);
    if (this.#kept_frame !== undefined && this.#kept_message === message) return this.#kept_frame;
    this.#kept_message = message;
    return this.#kept_frame = encodeFrame(BINARY, message);
  }

  /** The frame of a run, compressed if that makes it shorter. */
  compressedFrameOf(
    message: string | Uint8Array<ArrayBuffer>,
    window_bits: number,
  ): Uint8Array<ArrayBuffer> {
    if (this.#compressed_message !== message) {
      this.#compressed_message = message;
      this.#compressed.length = 0;
    }
    return this.#compressed[window_bits] ??= this.#compress(message, window_bits);
  }

  #compress(message: string | Uint8Array<ArrayBuffer>, bits: number): Uint8Array<ArrayBuffer> {
    const text = typeof message === "string";
    const body = deflate(text ? encoder.encode(message) : message, bits);
    if (body === undefined) return this.frameOf(message);
    return encodeFrame(text ? TEXT : BINARY, body, true);
  }

  /** The run with one more frame; without a run, a new one with the frame. */
  extend(run: WireRun | undefined, frame: Uint8Array<ArrayBuffer>): WireRun {
    if (run !== undefined) return run.extend(frame);
    if (this.#begun?.isOnly(frame) === true) return this.#begun;
    return this.#begun = new WireRun(frame);
  }

  /**
   * The bytes of a run, for a write. If the system `probably` takes them at once, they are valid until the next call;
   * if it then does not, call `giveAway`.
   */
  bytesOf(run: WireRun | undefined, probably: boolean): Uint8Array<ArrayBuffer> | undefined {
    return run !== undefined && probably ? this.#passing(run) : run?.whole();
  }

  #passing(run: WireRun): Uint8Array<ArrayBuffer> {
    if (run === this.#joined_run) return this.#joined;
    // A run of many receivers is joined only once.
    if (run.is_whole || run.was_copied || run.bytes > JOINED_BYTES_MAX) return run.whole();
    if (this.#joining.length === 0) this.#joining = new Uint8Array(JOINED_BYTES_MAX);
    run.was_copied = true;
    this.#joined_run = run;
    return this.#joined = run.copyTo(this.#joining).subarray(0, run.bytes);
  }

  /** Leaves these bytes to a pending write: the buffer is not reused. */
  giveAway(bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.buffer !== this.#joining.buffer) return;
    this.#joining = new Uint8Array(0);
  }

  /** Calls the member's `endTurn` once, when this turn's jobs have run. */
  add(member: WireMember): void {
    if (this.#members.push(member) === 1) queueMicrotask(this.#onEnd);
  }

  #end(): void {
    const members = this.#members;
    this.#members = [];
    for (const member of members) member.endTurn();
    // The objects of the turn become garbage at its end.
    this.#joined = NOTHING;
    this.#begun =
      this.#joined_run =
      this.#message =
      this.#frame =
      this.#kept_message =
      this.#kept_frame =
      this.#compressed_message =
        undefined;
    this.#compressed.length = 0;
  }
}

const encoder = new TextEncoder();
const NOTHING = new Uint8Array(0);
