/** Adds positions to the SUBs of patterns, so that their rooms continue from there. */
import { DecodeError, encodeAck, encodeMsg, gapSignal, Opcode, readAck } from "@arqon/proto";
import { readRouted, readSubscribe, readUnsubscribe, readWelcome, WireReader } from "@arqon/proto";
import { withPositions, writeEnvelope } from "@arqon/proto";
import type { Ack, Uint64 } from "@arqon/proto";
import { isCompanion } from "../wire/companion.ts";

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

/** The positions of a SUB. */
interface Asked {
  /** UTF-8 of JSON. */
  readonly json: Uint8Array;
  /** How many rooms it names. */
  readonly count: number;
}

/** The positions of one pattern. */
class PatternPositions {
  /** The most recently received room is last. */
  readonly #places = new Map<string, Place>();
  #epoch = "";
  #most = ROOMS_MAX;

  /** An independent copy of the positions. */
  copy(): PatternPositions {
    const copy = new PatternPositions();
    for (const [room, place] of this.#places) copy.#places.set(room, place);
    copy.#epoch = this.#epoch;
    copy.#most = this.#most;
    return copy;
  }

  /** Records a message. Without an epoch its offset is no position. */
  note(room: string, offset: Uint64): void {
    if (this.#epoch === "" || !Number.isSafeInteger(offset)) return;
    this.#places.delete(room);
    this.#places.set(room, { offset: Number(offset), epoch: this.#epoch });
    if (this.#places.size <= ROOMS_MAX) return;
    for (const [oldest] of this.#places) {
      this.#places.delete(oldest);
      return;
    }
  }

  /** Forgets a room: it has another log, or the client was removed from it. */
  forget(room: string): void {
    this.#places.delete(room);
  }

  /** Records that a SUB with this many positions was refused. */
  refused(count: number): void {
    this.#most = count >> 1;
  }

  /** The positions of the next SUB, in a frame of at most `frame_bytes`; without the rooms `left_out`. */
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

  /** Applies the answer to a SUB with positions; ignores other answers. Returns the lost rooms. */
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
      if (typeof offset === "number") this.note(room, offset);
    }
    return lost;
  }
}

const TAG_ROOM = 0x1a, TAG_SENDER = 0x42, TAG_OFFSET = 0x48;
/** The tag of the field `signal`. */
const TAG_SIGNAL = 0xb2;
/** Default if WELCOME has no limit. */
const FRAME_BYTES = 262_144;

type Frame = Uint8Array<ArrayBuffer>;

/** A pattern that the client receives on one session. */
interface Followed {
  readonly positions: PatternPositions;
  /** True when a SUB was accepted on this session: earlier messages belong to an ended one. */
  stands: boolean;
}

/** A SUB without an answer. */
interface Sub {
  readonly room: string;
  /** The client's frame, of a pattern. */
  readonly frame: Frame;
  readonly followed: Followed | undefined;
  readonly count: number;
}

/** Shared by the sessions of one client. */
export class PositionMemory {
  /** Rooms with their own SUB, which has their position. */
  readonly own: Set<string> = new Set();
  /** The open sessions, the oldest first. */
  readonly living: Set<PositionKeeper> = new Set();
  /** The positions of ended sessions. */
  readonly left: Map<string, PatternPositions> = new Map();

  /** The initial positions of a new session: those of the oldest open session. */
  positionsOf(pattern: string): PatternPositions {
    for (const keeper of this.living) {
      const found = keeper.positionsOf(pattern);
      if (found !== undefined) return found.copy();
    }
    return this.left.get(pattern)?.copy() ?? new PatternPositions();
  }
}

/** The patterns of one session. */
export class PositionKeeper {
  readonly #memory: PositionMemory;
  readonly #patterns = new Map<string, Followed>();
  readonly #subs = new Map<Uint64, Sub>();
  #frame_bytes = FRAME_BYTES;

  constructor(memory: PositionMemory) {
    this.#memory = memory;
    memory.living.add(this);
  }

  /** The positions of a pattern in this session. */
  positionsOf(pattern: string): PatternPositions | undefined {
    return this.#patterns.get(pattern)?.positions;
  }

  /** Ends the session for the client: the next one begins at its positions. */
  end(): void {
    const { living, left } = this.#memory;
    if (!living.delete(this)) return;
    const others = [...living];
    for (const [pattern, { positions }] of this.#patterns) {
      if (others.every((other) => other.positionsOf(pattern) === undefined)) {
        left.set(pattern, positions);
      }
    }
  }

  /** What to send in place of a client's frame. */
  sent(frame: Frame): Frame {
    if (frame[0] === Opcode.UNSUB) {
      const { room_id } = readUnsubscribe(frame.subarray(1));
      this.#memory.own.delete(room_id);
      this.#memory.left.delete(room_id);
      this.#patterns.delete(room_id);
    }
    if (frame[0] !== Opcode.SUB) return frame;
    const { room_id: room, request_id } = readSubscribe(frame.subarray(1));
    if (room.endsWith("*")) return this.#ask(room, request_id, frame);
    this.#memory.own.add(room);
    this.#subs.set(request_id, { room, frame, followed: undefined, count: 0 });
    return frame;
  }

  #ask(pattern: string, request_id: Uint64, frame: Frame): Frame {
    const followed = this.#patterns.get(pattern) ??
      { positions: this.#memory.positionsOf(pattern), stands: false };
    this.#patterns.set(pattern, followed);
    // A SUB that is already active continues.
    const { json, count } = followed.stands
      ? new PatternPositions().asked(new Set(), 0)
      : followed.positions.asked(this.#memory.own, this.#frame_bytes);
    this.#subs.set(request_id, { room: pattern, frame, followed, count });
    return withPositions(frame, json);
  }

  /** The frames that the client receives instead of a Shield's frame, and frames for the Shield. */
  received(frame: Frame): { readonly frames: readonly Frame[]; readonly back?: readonly Frame[] } {
    const body = frame.subarray(1);
    try {
      if (frame[0] === Opcode.WELCOME) this.#frame_bytes = readWelcome(body).max_frame_bytes;
      else if (frame[0] === Opcode.ACK && this.#subs.size > 0) return this.#answer(frame);
      else if (this.#memory.living.has(this)) this.#listen(frame[0], body);
    } catch (error) {
      // The SDK reports the error.
      if (!(error instanceof DecodeError)) throw error;
    }
    return { frames: [frame] };
  }

  #listen(opcode: number | undefined, body: Frame): void {
    if (opcode === Opcode.MSG) this.#note(body);
    if (opcode !== Opcode.BATCH) return;
    const reader = new WireReader(body);
    while (reader.pos < reader.end) this.#note(reader.view());
  }

  #answer(frame: Frame): { readonly frames: readonly Frame[]; readonly back?: readonly Frame[] } {
    const ack = readAck(frame.subarray(1));
    const { request_id, code, reason } = ack;
    const sub = this.#subs.get(request_id);
    this.#subs.delete(request_id);
    const { room, followed, count } = sub ?? { room: "", count: 0 };
    if (followed === undefined) {
      if (code !== 0) this.#memory.own.delete(room);
      return { frames: [frame] };
    }
    if (reason === "too-many-rooms" && count > 0) {
      followed.positions.refused(count);
      return { frames: [], back: [this.#ask(room, request_id, sub!.frame)] };
    }
    if (code !== 0) return { frames: [frame] };
    followed.stands = true;
    const lost = followed.positions.answered(jsonOf(ack)).map(({ room, reason }) =>
      encodeMsg(writeEnvelope({ room_id: room, signal: gapSignal(room, reason) }))
    );
    // In the SDK a position belongs to a room, so the pattern's ACK has none.
    return { frames: [encodeAck({ request_id }), ...lost] };
  }

  /** Updates the positions by one envelope. */
  #note(envelope: Uint8Array): void {
    let [room, sender, offset, is_signal] = ["", "", 0 as Uint64, false];
    const reader = new WireReader(envelope);
    // A stored message has its offset at the end.
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      if (tag === TAG_ROOM) room = reader.text();
      else if (tag === TAG_SENDER) sender = reader.text();
      else if (tag === TAG_OFFSET) offset = reader.uint64();
      else reader.skip(tag);
      is_signal ||= tag === TAG_SIGNAL;
    }
    const ends = is_signal && sender === "" && offset === 0 && endsPosition(envelope);
    if (offset === 0 && !ends || isCompanion(room)) return;
    for (const [pattern, { positions, stands }] of this.#patterns) {
      if (!stands || !room.startsWith(pattern.slice(0, -1))) continue;
      if (ends) positions.forget(room);
      else positions.note(room, offset);
    }
  }
}

/** Whether a signal of the bus invalidates the room's position. */
function endsPosition(envelope: Uint8Array): boolean {
  const { kind, reason } = readRouted(envelope).signal ?? { kind: "", reason: "" };
  return kind === "DISCONNECT" || kind === "BAN" || (kind === "GAP" && reason === "epoch-changed");
}

function jsonOf({ result }: Ack): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(result));
  } catch {
    return undefined;
  }
}
