/**
 * The frames that wait for one client, in sending order, limited in bytes. If the client reads too slowly, the class of
 * a room decides: a message may be dropped, with a GAP in its place, or be replaced by a newer one. `outbox.ts` has the
 * socket.
 */
import type { SlowReader } from "../../shared/config/schema_durable.ts";
import { owned } from "../../shared/containers/byte_arena.ts";
import type { LeftOutRun } from "./delivery_notes.ts";
import { type Frame, frameBytes } from "./frame_bytes.ts";
import type { ShieldStats } from "../stats/stats.ts";

/** A message of a room whose class does not disconnect slow readers; its receivers share this object. */
export interface RoomMessage {
  readonly room_id: string;
  /** The pattern of the room's class. */
  readonly pattern: string;
  readonly slow_reader: Exclude<SlowReader, "disconnect">;
  /** True when the message has an offset: then the client must get the room's messages in order. */
  readonly durable: boolean;
  /** The message's position in the ledger; 0: it has none. */
  readonly position: number;
  /**
   * The key by which a newer message replaces this one; undefined for a message that must not be dropped, since it is
   * not an event of a client.
   */
  key(): string | undefined;
  /** The GAP for missing messages of the room. */
  gap(text: boolean): Frame;
}

/** The limits of one connection's backlog. */
export interface BacklogOptions {
  readonly stats: Pick<ShieldStats, "unsent_bytes" | "slow_reader" | "egress_events">;
  readonly text: boolean;
  /** The most waiting bytes, including those in the socket. */
  readonly unsent_bytes_max: number;
  /** The most bytes of one room whose messages may be dropped. */
  readonly room_bytes_max: number;
  /** Counts a message of that size as delivered, or with `by` −1 undoes that. */
  count?(message: RoomMessage, size_bytes: number, by: 1 | -1): void;
  /** The ledger's position of the message being sent; absent: no ledger. */
  position?(): number;
  /** Records a dropped message; `run` is the result of the previous call. */
  leftOut?(left_out: LeftOut, run: LeftOutRun | undefined): LeftOutRun | undefined;
}

/** A message that is left out. */
export interface LeftOut {
  readonly room_id: string;
  readonly position: number;
  readonly why: "slow_reader" | "conflated" | "queued";
  /** Whether the client may have received messages of the room between this and the previous one. */
  readonly is_alone: boolean;
}

/** The queue of one connection. All operations take constant time, amortised. */
export class Backlog {
  readonly #options: BacklogOptions;
  readonly #lanes = new Map<string, Lane>();
  #head: Waiting | undefined;
  #tail: Waiting | undefined;
  #bytes = 0;
  /** The parts of `#bytes` in lanes, and in their GAPs. */
  #lane_bytes = 0;
  #gap_bytes = 0;

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  get is_empty(): boolean {
    return this.#head === undefined;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The ledger's position of the oldest frame; 0: nothing waits, or there is no ledger. */
  get position(): number {
    return this.#head?.position ?? 0;
  }

  /** The positions of queued messages of a room that may be left out; undefined: there are none. */
  positionsOf(room_id: string): Set<number> | undefined {
    const lane = this.#lanes.get(room_id);
    if (lane === undefined) return undefined;
    const positions = new Set<number>();
    for (let waiting = lane.head; waiting !== undefined; waiting = waiting.lane_next) {
      positions.add(positionOf(waiting));
    }
    return positions;
  }

  /**
   * Queues a frame while the socket has `held_bytes`. False if it does not fit and nothing may be dropped for it; then
   * nothing more may be queued.
   */
  push(frame: Frame, message: RoomMessage | undefined, held_bytes: number): boolean {
    const size_bytes = frameBytes(frame);
    const key = message?.key();
    const kept = typeof frame === "string" ? frame : owned(frame);
    if (message === undefined || key === undefined) {
      if (!this.#fits(size_bytes, held_bytes)) return false;
      this.#append(kept, size_bytes);
      return true;
    }
    return this.#pushDroppable({ frame: kept, size_bytes, key, message }, held_bytes);
  }

  /** Takes the oldest frame; undefined when nothing waits. */
  shift(): Frame | undefined {
    const first = this.#head;
    if (first === undefined) return undefined;
    this.#remove(first);
    if (first.message !== undefined) this.#options.count?.(first.message, first.size_bytes, 1);
    return first.frame;
  }

  /** Leaves out all queued messages of a room's lane with their GAPs: the client requests them again. */
  forget(room_id: string): void {
    const lane = this.#lanes.get(room_id);
    if (lane === undefined) return;
    for (let waiting = lane.head; waiting !== undefined; waiting = waiting.lane_next) {
      this.#options.stats.slow_reader.dropped++;
      if (waiting.message !== undefined) this.#noteDropped(lane, waiting.message);
      if (waiting.gap !== undefined) this.#unlink(waiting.gap);
      this.#unlink(waiting);
    }
    if (lane.gap !== undefined) this.#unlink(lane.gap);
    this.#lane_bytes -= lane.bytes;
    this.#lanes.delete(room_id);
  }

  /** Drops everything: the connection has ended. */
  clear(): void {
    for (const lane of this.#lanes.values()) this.#noteQueued(lane);
    this.#count(-this.#bytes);
    this.#lane_bytes = this.#gap_bytes = 0;
    this.#head = this.#tail = undefined;
    this.#lanes.clear();
  }

  #fits(size_bytes: number, held_bytes: number): boolean {
    return this.#bytes + held_bytes + size_bytes <= this.#options.unsent_bytes_max;
  }

  #pushDroppable(
    { frame, size_bytes, key, message }: {
      frame: Frame;
      size_bytes: number;
      key: string;
      message: RoomMessage;
    },
    held_bytes: number,
  ): boolean {
    const { stats } = this.#options;
    const lane = this.#laneOf(message.room_id);
    // It was counted just now, and may be left out: it is counted again when it leaves.
    this.#options.count?.(message, size_bytes, -1);
    const latest = message.slow_reader === "latest";
    const older = latest ? lane.keys.get(key) : undefined;
    const fits = (more: number) => this.#fits(more, held_bytes) && this.#mayWait(lane, more);
    if (older !== undefined) {
      stats.slow_reader.conflated++;
      // Offsets must grow, so the newer message cannot take the older one's place.
      this.#noteConflated(lane, older);
      if (message.durable) this.#leaveOut(lane, message, older);
      else if (fits(size_bytes - older.size_bytes)) {
        this.#replace(older, frame, size_bytes);
        older.message = message;
        return true;
      } else if (older.gap !== undefined) this.#leaveOut(lane, message, older);
      else this.#remove(older);
    }
    while (!fits(size_bytes) && lane.head !== undefined) {
      stats.slow_reader.dropped++;
      this.#noteDropped(lane, lane.head.message ?? message);
      this.#leaveOut(lane, message, lane.head);
    }
    if (fits(size_bytes)) {
      const waiting = this.#append(frame, size_bytes);
      waiting.message = message;
      this.#enter(lane, waiting, key);
      if (latest) lane.keys.set(key, waiting);
      return true;
    }
    // Other rooms' messages fill the backlog, so this message is left out.
    stats.slow_reader.dropped++;
    lane.gap ??= this.#gapBefore(lane, message, undefined);
    this.#noteDropped(lane, message);
    return this.#fits(0, held_bytes);
  }

  /** Records a message covered by the lane's GAP. Messages of one GAP are consecutive. */
  #noteDropped(lane: Lane, { room_id, slow_reader, position }: RoomMessage): void {
    // With `latest`, other messages were delivered between two left-out ones.
    const is_alone = slow_reader === "latest";
    const left_out = { room_id, position, why: "slow_reader" as const, is_alone };
    lane.left_out = this.#options.leftOut?.(left_out, lane.left_out);
  }

  /** Records queued messages of a lane, if a newer message may replace an older one. */
  #noteQueued({ room_id, head, keys }: Lane): void {
    let run: LeftOutRun | undefined;
    for (let waiting = head; waiting !== undefined; waiting = waiting.lane_next) {
      const position = positionOf(waiting);
      const left_out = { room_id, position, why: "queued" as const, is_alone: keys.size > 0 };
      run = this.#options.leftOut?.(left_out, run);
    }
  }

  #noteConflated(lane: Lane, older: Waiting): void {
    const { room_id } = lane;
    const position = positionOf(older);
    const left_out = { room_id, position, why: "conflated" as const, is_alone: true };
    lane.conflated = this.#options.leftOut?.(left_out, lane.conflated);
  }

  /**
   * Messages that may be dropped fill at most half of the backlog, so that they never displace the others. A single one
   * may exceed its room's share.
   */
  #mayWait(lane: Lane, more_bytes: number): boolean {
    const { room_bytes_max, unsent_bytes_max } = this.#options;
    const all_bytes = this.#lane_bytes + this.#gap_bytes + more_bytes;
    if (this.#lane_bytes > 0 && all_bytes > unsent_bytes_max / 2) return false;
    const gap_bytes = lane.gaps > 1 ? lane.gap_bytes : 0;
    return lane.bytes === 0 || lane.bytes + gap_bytes + more_bytes <= room_bytes_max;
  }

  #laneOf(room_id: string): Lane {
    return this.#lanes.get(room_id) ?? emptyLane(room_id);
  }

  /** Removes a waiting message. One GAP covers it and its missing neighbours. */
  #leaveOut(lane: Lane, message: RoomMessage, missing: Waiting): void {
    const next = missing.lane_next;
    const later = next === undefined ? lane.gap : next.gap;
    const gap = missing.gap ?? later ?? this.#gapBefore(lane, message, missing);
    if (later !== undefined && later !== gap) this.#unlink(later);
    if (next === undefined) lane.gap = gap;
    else next.gap = gap;
    this.#remove(missing);
  }

  /** Puts a GAP before the queue, or at its end. */
  #gapBefore(lane: Lane, message: RoomMessage, place: Waiting | undefined): Waiting {
    this.#lanes.set(lane.room_id, lane);
    const frame = message.gap(this.#options.text);
    const gap = this.#append(frame, frameBytes(frame), place, true);
    gap.lane = lane;
    this.#countGap(lane, gap.size_bytes);
    return gap;
  }

  /** Adds a frame at the end, or before `place`. */
  #append(frame: Frame, size_bytes: number, place?: Waiting, is_gap = false): Waiting {
    const previous = place === undefined ? this.#tail : place.previous;
    const waiting: Waiting = {
      frame,
      size_bytes,
      next: place,
      previous,
      lane: undefined,
      lane_next: undefined,
      lane_previous: undefined,
      key: "",
      gap: undefined,
      is_gap,
      position: this.#options.position?.() ?? 0,
      message: undefined,
    };
    if (previous === undefined) this.#head = waiting;
    else previous.next = waiting;
    if (place === undefined) this.#tail = waiting;
    else place.previous = waiting;
    this.#count(size_bytes);
    return waiting;
  }

  #enter(lane: Lane, waiting: Waiting, key: string): void {
    this.#lanes.set(lane.room_id, lane);
    waiting.lane = lane;
    waiting.key = key;
    waiting.gap = lane.gap;
    lane.gap = undefined;
    waiting.lane_previous = lane.tail;
    if (lane.tail === undefined) lane.head = waiting;
    else lane.tail.lane_next = waiting;
    lane.tail = waiting;
    this.#countLane(lane, waiting.size_bytes);
  }

  #replace(older: Waiting, frame: Frame, size_bytes: number): void {
    const more_bytes = size_bytes - older.size_bytes;
    older.frame = frame;
    older.size_bytes = size_bytes;
    this.#count(more_bytes);
    if (older.lane !== undefined) this.#countLane(older.lane, more_bytes);
  }

  /** Takes a frame out of the queue, and its bytes. */
  #unlink({ next, previous, lane, size_bytes, is_gap }: Waiting): void {
    if (previous === undefined) this.#head = next;
    else previous.next = next;
    if (next === undefined) this.#tail = previous;
    else next.previous = previous;
    this.#count(-size_bytes);
    if (is_gap && lane !== undefined) this.#countGap(lane, -size_bytes);
  }

  #remove(waiting: Waiting): void {
    const { lane, is_gap } = waiting;
    this.#unlink(waiting);
    if (lane === undefined) return;
    if (is_gap) {
      // GAPs leave in order: it is the first of the lane.
      this.#options.stats.egress_events++;
      if (lane.head === undefined) lane.gap = undefined;
      else lane.head.gap = undefined;
      lane.left_out = undefined;
    } else this.#leave(lane, waiting);
    if (lane.head === undefined && lane.gap === undefined) this.#lanes.delete(lane.room_id);
  }

  #leave(lane: Lane, waiting: Waiting): void {
    const { lane_next, lane_previous, key } = waiting;
    if (lane_previous === undefined) lane.head = lane_next;
    else lane_previous.lane_next = lane_next;
    if (lane_next === undefined) lane.tail = lane_previous;
    else lane_next.lane_previous = lane_previous;
    if (lane.keys.get(key) === waiting) lane.keys.delete(key);
    this.#countLane(lane, -waiting.size_bytes);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#options.stats.unsent_bytes += bytes;
  }

  #countGap(lane: Lane, bytes: number): void {
    lane.gaps += Math.sign(bytes);
    lane.gap_bytes += bytes;
    this.#gap_bytes += bytes;
  }

  #countLane(lane: Lane, bytes: number): void {
    lane.bytes += bytes;
    this.#lane_bytes += bytes;
  }
}

/** A frame in the queue, and in its room's lane if it may be left out. */
interface Waiting {
  frame: Frame;
  size_bytes: number;
  next: Waiting | undefined;
  previous: Waiting | undefined;
  lane: Lane | undefined;
  lane_next: Waiting | undefined;
  lane_previous: Waiting | undefined;
  key: string;
  /** The GAP before it, after the previous message in the lane. */
  gap: Waiting | undefined;
  readonly is_gap: boolean;
  /** The ledger's position of the message being sent when it was queued. */
  position: number;
  /** Undefined: it may not be left out. */
  message: RoomMessage | undefined;
}

const positionOf = ({ message }: Waiting): number => message?.position ?? 0;

/** The waiting messages of one room that may be left out, the oldest first. */
interface Lane {
  readonly room_id: string;
  head: Waiting | undefined;
  tail: Waiting | undefined;
  bytes: number;
  /** The newest message of each key, in rooms of `latest`. */
  readonly keys: Map<string, Waiting>;
  /** The GAP after the tail. */
  gap: Waiting | undefined;
  /** All GAPs that have not left yet. */
  gaps: number;
  gap_bytes: number;
  /** The ledger's rows of the messages covered by the GAP, and of replaced ones. */
  left_out: LeftOutRun | undefined;
  conflated: LeftOutRun | undefined;
}

/** The lane of a room without waiting messages. */
function emptyLane(room_id: string): Lane {
  const ends = { head: undefined, tail: undefined, gap: undefined, gaps: 0, gap_bytes: 0 };
  const rows = { left_out: undefined, conflated: undefined };
  return { room_id, ...ends, ...rows, bytes: 0, keys: new Map() };
}
