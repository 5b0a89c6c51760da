/**
 * Messages of one turn in one frame. A send to a socket costs 5 to 7 µs whatever its size, so a
 * connection that asked for it gets what a turn of the event loop brings it as one BATCH. What goes
 * into a BATCH, and when it must leave earlier, is `outbox.ts`.
 */
import { encodeBatch, Opcode } from "@arqon/proto";
import type { Frame } from "./frame_bytes.ts";

/** Whether the frame is a MSG of the binary form; all others go out on their own. */
export function isBatchable(frame: Frame): frame is Uint8Array {
  return typeof frame !== "string" && frame[0] === Opcode.MSG;
}

/** A connection that has messages of the present turn. */
export interface TurnMember {
  /** Called at the end of the turn: sends what the connection has. Must not throw. */
  endTurn(): void;
}

/**
 * MSG frames that leave as one frame; a run is known by its last frame. Connections that get the same
 * messages share a run, so the run and its BATCH are made once, however many connections get it.
 */
export class Run {
  /** How many messages the run has. */
  readonly length: number;
  /** The bytes of its frames. */
  readonly bytes: number;
  readonly #frame: Uint8Array;
  readonly #before: Run | undefined;
  #next: Run | undefined;
  #batch: Uint8Array | undefined;

  constructor(frame: Uint8Array, before?: Run) {
    this.#frame = frame;
    this.#before = before;
    this.length = (before?.length ?? 0) + 1;
    this.bytes = (before?.bytes ?? 0) + frame.length;
  }

  /** Whether the run is this frame and no other. */
  isOnly(frame: Uint8Array): boolean {
    return this.#before === undefined && this.#frame === frame;
  }

  /** This run with one more frame. A message goes to all its receivers before the next one does. */
  extend(frame: Uint8Array): Run {
    const next = this.#next;
    if (next !== undefined && next.#frame === frame) return next;
    return this.#next = new Run(frame, this);
  }

  /** The frame of the run: its only frame, or a BATCH of all. */
  toFrame(): Uint8Array {
    if (this.#before === undefined) return this.#frame;
    return this.#batch ??= encodeBatch(Run.#envelopesOf(this));
  }

  static #envelopesOf(last: Run): Uint8Array[] {
    const envelopes = new Array<Uint8Array>(last.length);
    let run: Run | undefined = last;
    for (let at = last.length; run !== undefined; run = run.#before) {
      envelopes[--at] = run.#frame.subarray(1);
    }
    return envelopes;
  }
}

/** The end of the present turn, for all connections of the process. */
export class TurnEnd {
  /**
   * The members; the first `#count` are those of this turn. The lists are reused, since new ones are
   * garbage.
   */
  #members: (TurnMember | undefined)[] = [];
  #spare: (TurnMember | undefined)[] = [];
  #count = 0;
  /** The run that was begun last: until the turn ends, other connections begin with the same. */
  #begun: Run | undefined;
  /** The callback of every turn. One made in `add` would be garbage of each call, called or not. */
  readonly #onEnd = () => this.#end();

  /** Calls the member's `endTurn` once, when this turn's jobs have run. */
  add(member: TurnMember): void {
    this.#members[this.#count++] = member;
    if (this.#count === 1) queueMicrotask(this.#onEnd);
  }

  /** The run with one more frame; without a run, one that begins with the frame. */
  extend(run: Run | undefined, frame: Uint8Array): Run {
    if (run !== undefined) return run.extend(frame);
    if (this.#begun?.isOnly(frame) === true) return this.#begun;
    return this.#begun = new Run(frame);
  }

  #end(): void {
    const members = this.#members;
    const count = this.#count;
    this.#members = this.#spare;
    this.#spare = members;
    this.#count = 0;
    for (let at = 0; at < count; at++) {
      members[at]?.endTurn();
      members[at] = undefined;
    }
    this.#begun = undefined;
  }
}
