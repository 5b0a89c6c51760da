/**
 * How far one client has come in the durable rooms of a pattern: what its next SUB asks for, and what the
 * answer to that means (docs/protocol.md, Positions of a pattern). Pure; which frames say so is
 * `position_keeper.ts`.
 */
import type { Uint64 } from "@arqon/proto";

/** As many positions as a SUB may have where an operator has said nothing else. */
const ROOMS_MAX = 1_000;
/** What one position takes beside its room's id, and one SUB beside its positions, in bytes. */
const PLACE_BYTES = 24, SUB_BYTES = 1_024;

interface Place {
  readonly offset: number;
  /** The epoch that was known when the message came. */
  readonly epoch: string;
}

/** A room that goes on from now, although its position was asked for, and why. */
export interface Lost {
  readonly room: string;
  readonly reason: string;
}

/** What a SUB brings. */
export interface Asked {
  /** UTF-8 of JSON. */
  readonly json: Uint8Array;
  /** How many rooms it names. */
  readonly count: number;
}

/** The positions of one pattern. */
export class PatternPositions {
  /** The room that was heard last stands last. */
  readonly #places = new Map<string, Place>();
  #epoch = "";
  #most = ROOMS_MAX;

  /** The same positions, which from here on go their own way. */
  copy(): PatternPositions {
    const copy = new PatternPositions();
    for (const [room, place] of this.#places) copy.#places.set(room, place);
    copy.#epoch = this.#epoch;
    copy.#most = this.#most;
    return copy;
  }

  /** Takes note of a message. Without an epoch nobody could ask for what is behind it. */
  heard(room: string, offset: Uint64): void {
    if (this.#epoch === "" || !Number.isSafeInteger(offset)) return;
    this.#places.delete(room);
    this.#places.set(room, { offset: Number(offset), epoch: this.#epoch });
    if (this.#places.size <= ROOMS_MAX) return;
    for (const [oldest] of this.#places) {
      this.#places.delete(oldest);
      return;
    }
  }

  /** Takes note that the room has another log, or that the client was put out of it. */
  forget(room: string): void {
    this.#places.delete(room);
  }

  /** Takes note that so many were refused. */
  refused(count: number): void {
    this.#most = count >> 1;
  }

  /** What the next SUB asks for, in a frame of at most `frame_bytes`; without the rooms `left_out`. */
  asked(left_out: ReadonlySet<string>, frame_bytes: number): Asked {
    const epochs = new Map<string, [string, number][]>();
    let [count, left_bytes] = [0, frame_bytes - SUB_BYTES];
    for (const [room, { offset, epoch }] of [...this.#places].reverse()) {
      left_bytes -= room.length + PLACE_BYTES;
      if (count === this.#most || left_bytes < 0) break;
      if (left_out.has(room)) continue;
      const rooms = epochs.get(epoch) ?? [];
      if (rooms.length === 0) left_bytes -= epoch.length + PLACE_BYTES;
      epochs.set(epoch, rooms);
      rooms.push([room, offset]);
      count++;
    }
    const table = [...epochs].map(([epoch, rooms]) => [epoch, Object.fromEntries(rooms)]);
    const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(table)));
    return { json, count };
  }

  /** Takes the answer to a SUB with positions; anything else says nothing. Returns what is lost. */
  answered(answer: unknown): Lost[] {
    const { epoch, positions } = (answer ?? {}) as Record<string, unknown>;
    this.#epoch = typeof epoch === "string" ? epoch : "";
    const lost: Lost[] = [];
    for (const [room, outcome] of Object.entries(positions ?? {})) {
      const { recovered, reason, offset } = (outcome ?? {}) as Record<string, unknown>;
      if (recovered === true) continue;
      lost.push({
        room,
        reason: typeof reason === "string" && reason !== "" ? reason : "reconnect",
      });
      this.forget(room);
      if (typeof offset === "number") this.heard(room, offset);
    }
    return lost;
  }
}
