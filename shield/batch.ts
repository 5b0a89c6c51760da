/**
 * Messages of one turn in one frame. A send to a socket costs 5 to 7 µs whatever its size, so a
 * connection that asked for it gets what a turn of the event loop brings it as one BATCH. What goes
 * into it, and when it must leave earlier, is `outbox.ts`.
 */
import { encodeBatch, Opcode } from "@arqon/proto";
import type { Frame } from "./frame_bytes.ts";

/** Whether the frame is a MSG of the binary form; all others go out on their own. */
export function isBatchable(frame: Frame): frame is Uint8Array {
  return typeof frame !== "string" && frame[0] === Opcode.MSG;
}

/** Who has messages of this turn. */
export interface TurnMember {
  /** The turn is over: what it has goes out. Must not throw. */
  endTurn(): void;
}

/** The end of the present turn, for all connections of the process. */
export class TurnEnd {
  #members: TurnMember[] = [];
  #frames: readonly Uint8Array[] = [];
  #batch = new Uint8Array(0);

  /** Calls its `endTurn` once, when this turn's jobs have run. */
  add(member: TurnMember): void {
    if (this.#members.push(member) === 1) queueMicrotask(() => this.#end());
  }

  /**
   * The BATCH of these MSG frames. Who hears the same rooms has the same frames: the last one is made
   * once, however many get it. It and they stay in memory until the next, at most 64 KiB each.
   */
  batchOf(frames: readonly Uint8Array[]): Uint8Array {
    const last = this.#frames;
    const same = last.length === frames.length && frames.every((frame, at) => frame === last[at]);
    if (same) return this.#batch;
    this.#frames = frames;
    return this.#batch = encodeBatch(frames.map((frame) => frame.subarray(1)));
  }

  #end(): void {
    const members = this.#members;
    this.#members = [];
    for (const member of members) member.endTurn();
  }
}
