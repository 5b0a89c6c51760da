/** The positions of a pattern's rooms: its SUBs have them, so that these rooms continue from there. */
import { encodeUtf8, type Uint64, type Welcome } from "@arqon/proto";
import type { Message } from "../message/message.ts";

/** The default limit of positions in a SUB. */
const ROOMS_MAX = 1_000;
/** Overhead of one position beside its room's id, and of one SUB beside its positions, in bytes. */
const PLACE_BYTES = 24, SUB_BYTES = 1_024;

interface Place {
  readonly offset: number;
  /** The known epoch when the message arrived. */
  readonly epoch: string;
}

/** A room that continues from now instead of the requested position, and the reason. */
interface Lost {
  readonly room: string;
  readonly reason: string;
}

interface AskedPositions {
  /** For a SUB, as JSON. */
  readonly positions: Uint8Array;
  /** Records a refusal for this reason. True: it was too many positions, and the next SUB has fewer. */
  readonly isTooMany: (reason: string) => boolean;
}

/** The positions of one pattern, as its loops have received the rooms. */
export class PatternPositions {
  /** The most recently received room is last. */
  readonly #places = new Map<string, Place>();
  #epoch = "";
  #most = ROOMS_MAX;

  /** Records a message that the loops received. */
  note(
    { room, offset, sender, signal }: Pick<Message, "room" | "offset" | "sender" | "signal">,
  ): void {
    if (offset) return this.#move(room, offset);
    if (sender !== "" || signal === undefined) return;
    const { kind, reason } = signal;
    const is_out = kind === "DISCONNECT" || kind === "BAN";
    // The room has another log, or the client was removed from it.
    if (is_out || (kind === "GAP" && reason === "epoch-changed")) this.#places.delete(room);
  }

  /**
   * The positions for a SUB, within a frame: none if it is already active (`stands`), and none of rooms that have their
   * `own` SUB.
   */
  ask(
    stands: boolean,
    own: Pick<ReadonlyMap<string, unknown>, "has">,
    { max_frame_bytes }: Pick<Welcome, "max_frame_bytes">,
  ): AskedPositions {
    const epochs = new Map<string, [string, number][]>();
    let count = 0;
    let left_bytes = max_frame_bytes - SUB_BYTES;
    for (const [room, { offset, epoch }] of stands ? [] : [...this.#places].reverse()) {
      left_bytes -= room.length + PLACE_BYTES;
      if (count === this.#most || left_bytes < 0) break;
      if (own.has(room)) continue;
      const rooms = epochs.get(epoch) ?? [];
      if (rooms.length === 0) left_bytes -= epoch.length + PLACE_BYTES;
      epochs.set(epoch, rooms);
      rooms.push([room, offset]);
      count++;
    }
    const table = [...epochs].map(([epoch, rooms]) => [epoch, Object.fromEntries(rooms)]);
    const positions = encodeUtf8(JSON.stringify(Object.fromEntries(table)));
    const isTooMany = (reason: string) => {
      if (reason !== "too-many-rooms" || count === 0) return false;
      this.#most = count >> 1;
      return true;
    };
    return { positions, isTooMany };
  }

  /** Applies the answer to a SUB. Returns the lost rooms. */
  answered(answer: unknown): Lost[] {
    const { epoch, positions } = (answer ?? {}) as Record<string, unknown>;
    this.#epoch = typeof epoch === "string" ? epoch : "";
    const lost: Lost[] = [];
    for (const [room, outcome] of Object.entries(positions ?? {})) {
      const { recovered, reason, offset } = (outcome ?? {}) as Record<string, unknown>;
      if (recovered === true) continue;
      lost.push({ room, reason: typeof reason === "string" && reason || "reconnect" });
      this.#places.delete(room);
      if (typeof offset === "number") this.#move(room, offset);
    }
    return lost;
  }

  /** Without an epoch an offset is no position. */
  #move(room: string, offset: Uint64): void {
    if (this.#epoch === "" || !Number.isSafeInteger(offset)) return;
    this.#places.delete(room);
    this.#places.set(room, { offset: Number(offset), epoch: this.#epoch });
    const [oldest = room] = this.#places.keys();
    if (this.#places.size > ROOMS_MAX) this.#places.delete(oldest);
  }
}
