/**
 * Frames of one turn as the bytes of one write. A message goes to all its receivers as the same bytes,
 * and connections that receive the same in a turn get the same write, made once. No sockets here.
 */
import { deflate } from "./deflate.ts";
import { BINARY, encodeFrame, frameAround, TEXT } from "./frame_head.ts";

/** Frames that leave together; a run is known by its last frame. */
export class WireRun {
  /** The bytes of all its frames. */
  readonly bytes: number;
  readonly #frame: Uint8Array<ArrayBuffer>;
  readonly #before: WireRun | undefined;
  #next: WireRun | undefined;
  #whole: Uint8Array<ArrayBuffer> | undefined;
  /** Whether it has been written to a buffer that others use since. */
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

  /** This run with one more frame. */
  extend(frame: Uint8Array<ArrayBuffer>): WireRun {
    const next = this.#next;
    if (next !== undefined && next.#frame === frame) return next;
    return this.#next = new WireRun(frame, this);
  }

  /** Whether its bytes are there in one piece. */
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

/** A long write is handed over in such pieces, so that `bufferedAmount` falls as the peer reads. */
const PIECE_BYTES = 65_536;

/** What of a write the system is given first. */
export function firstPiece(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes.length > PIECE_BYTES ? bytes.subarray(0, PIECE_BYTES) : bytes;
}

/** What is left to write once the system has the first piece. */
export function afterPiece(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
  return bytes.length > PIECE_BYTES ? bytes.subarray(PIECE_BYTES) : undefined;
}

/** A run of more bytes is joined in a buffer of its own. */
const JOINED_BYTES_MAX = 16_384;

/** A connection that has frames of the present turn. */
export interface WireMember {
  /** Called at the end of the turn: writes what the connection has. Must not throw. */
  endTurn(): void;
}

/** The present turn, for all sockets of the process. */
export class WireTurn {
  #members: WireMember[] = [];
  /** The run that was begun last: until the turn ends, other connections begin with the same. */
  #begun: WireRun | undefined;
  /** The message whose frame was made last, and that frame. */
  #message: string | Uint8Array<ArrayBuffer> | undefined;
  #frame: Uint8Array<ArrayBuffer> | undefined;
  /** The same for binary frames that have to wait. */
  #kept_message: Uint8Array<ArrayBuffer> | undefined;
  #kept_frame: Uint8Array<ArrayBuffer> | undefined;
  /**
   * The message that was compressed last, and its frames by the window of those who take it compressed.
   */
  #compressed_message: string | Uint8Array<ArrayBuffer> | undefined;
  readonly #compressed: (Uint8Array<ArrayBuffer> | undefined)[] = [];
  readonly #onEnd = () => this.#end();
  /** Where runs are joined whose bytes the system takes at once. */
  #joining = new Uint8Array(0);
  /** The run that is there, and its bytes. */
  #joined_run: WireRun | undefined;
  #joined = this.#joining;

  /**
   * The frame of a message, for a write of this turn: it may lie in a buffer with other messages. The
   * same object or text several times in a row is made into a frame once.
   */
  frameOf(message: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (this.#frame !== undefined && this.#message === message) return this.#frame;
    this.#message = message;
    return this.#frame = typeof message === "string"
      ? encodeFrame(TEXT, encoder.encode(message))
      : frameAround(BINARY, message);
  }

  /** As `frameOf`, for a frame that waits: it holds no memory beside its own. */
  keptFrameOf(message: string | Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    // The frame of a text has a buffer of its own anyway.
    if (typeof message === "string") return this.frameOf(message);
    if (this.#kept_frame !== undefined && this.#kept_message === message) return this.#kept_frame;
    this.#kept_message = message;
    return this.#kept_frame = encodeFrame(BINARY, message);
  }

  /** The frame of a run, compressed where that makes it shorter. */
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

  /** The run with one more frame; without a run, one that begins with the frame. */
  extend(run: WireRun | undefined, frame: Uint8Array<ArrayBuffer>): WireRun {
    if (run !== undefined) return run.extend(frame);
    if (this.#begun?.isOnly(frame) === true) return this.#begun;
    return this.#begun = new WireRun(frame);
  }

  /**
   * The bytes of a run, for a write. Of one that the system `probably` takes at once they are there until the
   * next call; when it does not take them at once, `giveAway` leaves them to it.
   */
  bytesOf(run: WireRun | undefined, probably: boolean): Uint8Array<ArrayBuffer> | undefined {
    return run !== undefined && probably ? this.#passing(run) : run?.whole();
  }

  #passing(run: WireRun): Uint8Array<ArrayBuffer> {
    if (run === this.#joined_run) return this.#joined;
    // Many receivers of the same have it made once.
    if (run.is_whole || run.was_copied || run.bytes > JOINED_BYTES_MAX) return run.whole();
    if (this.#joining.length === 0) this.#joining = new Uint8Array(JOINED_BYTES_MAX);
    run.was_copied = true;
    this.#joined_run = run;
    return this.#joined = run.copyTo(this.#joining).subarray(0, run.bytes);
  }

  /** Leaves these bytes to a write that goes on: nothing else is written there. */
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
    // What the turn has made is garbage when it is over.
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
