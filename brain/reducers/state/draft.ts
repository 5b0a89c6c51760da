/**
 * The effects of one command while its reducer runs: it reads the state before it and its own writes, within the bounds
 * of the room. Nothing takes effect before `fold.ts` commits it. Independent of WebAssembly.
 */
import { utf8Size } from "@arqon/proto";
import { CanonicalWriter, latinOf } from "./canonical.ts";
import type { Asked, LogEntry, RoomEvent } from "./entry.ts";
import type { RoomBounds } from "./room_bounds.ts";
import { digestOf, type RoomState, type Timer, type Tree, type Values } from "./room_state.ts";

/** A command exceeded a bound of the room; the message names the bound. */
export class BoundsError extends Error {
  override readonly name = "BoundsError";
}

/** The room of a draft. */
export interface RoomAbout {
  readonly room_id: string;
  readonly bounds: RoomBounds;
  /**
   * Maps that only the caller has: they are changed in place, and earlier states become invalid. Absent: every state is
   * immutable.
   */
  readonly owned?: WeakSet<object>;
}

/** Most bytes of an event's type, as for every message (docs/protocol.md, "Limits"). */
const TYPE_BYTES_MAX = 256;
const TO = /^(?:|user:.+|role:.+)$/s;

function within(what: string, is: number, most: number): void {
  if (is > most) throw new BoundsError(`${what}: ${is}; at most ${most}`);
}

/** One running command. */
export class Draft {
  readonly room: RoomAbout;
  readonly asked: Asked;
  readonly kind: LogEntry["kind"];
  readonly offset: number;
  readonly time_ms: number;
  readonly changes = new Map<string, Uint8Array | null>();
  readonly scheduled = new Map<string, Timer | null>();
  readonly events: RoomEvent[] = [];
  reply: Uint8Array = new Uint8Array();
  values: Values;
  size_bytes: number;
  timers: Tree<string, Timer>;
  readonly #seed: Uint8Array;
  readonly #before: RoomState;
  #event_bytes = 0;
  #drawn = 0;

  constructor(
    state: RoomState,
    { kind, offset, seed }: Pick<LogEntry, "kind" | "offset" | "seed">,
    time_ms: number,
    asked: Asked,
    room: RoomAbout,
  ) {
    this.room = room;
    this.asked = asked;
    this.kind = kind;
    this.offset = offset;
    this.time_ms = time_ms;
    this.#seed = seed;
    this.#before = state;
    this.values = state.values;
    this.size_bytes = state.size_bytes;
    this.timers = state.timers;
  }

  /** The value of a key as the command sees it. */
  read(key: Uint8Array): Uint8Array | undefined {
    return this.values.get(latinOf(key));
  }

  /** Sets a value; undefined deletes it. */
  write(key_bytes: Uint8Array, value: Uint8Array | undefined): void {
    const { bounds } = this.room;
    within("bytes of a key", key_bytes.length, bounds.key_bytes);
    if (key_bytes.length === 0) throw new BoundsError("bytes of a key: 0; at least 1");
    within("bytes of a value", value?.length ?? 0, bounds.value_bytes);
    const key = latinOf(key_bytes);
    const before = this.values.get(key);
    if (value === undefined && before === undefined) return;
    const added = value === undefined ? 0 : key.length + value.length;
    const removed = before === undefined ? 0 : key.length + before.length;
    const size_bytes = this.size_bytes + added - removed;
    // A write that shrinks the room exceeds no bound.
    if (added > removed) within("bytes of all values", size_bytes, bounds.state_bytes);
    if (before === undefined) within("values", this.values.size + 1, bounds.keys);
    if (this.values === this.#before.values) this.values = this.values.clone();
    if (value === undefined) this.values.delete(key);
    else this.values.set(key, value);
    this.size_bytes = size_bytes;
    this.changes.set(key, value ?? null);
  }

  /** Keys that begin with `prefix` and are above `after`, in order. `take` returns whether to continue. */
  scan(
    prefix: Uint8Array,
    after: Uint8Array,
    take: (key: string, value: Uint8Array) => boolean,
  ): void {
    const begins = latinOf(prefix);
    const above = latinOf(after);
    for (const [key, value] of this.values.entries(above > begins ? above : begins)) {
      if (!key.startsWith(begins)) return;
      if (after.length > 0 && key <= above) continue;
      if (!take(key, value)) return;
    }
  }

  /** Adds an event; receivers get events in this order. */
  emit(event: RoomEvent): void {
    const { events, event_bytes } = this.room.bounds;
    within("events of a command", this.events.length + 1, events);
    const { type, data, to } = event;
    this.#event_bytes += utf8Size(type) + utf8Size(to) + data.length;
    within("bytes of a command's events", this.#event_bytes, event_bytes);
    if (type === "") throw new BoundsError("type of an event: empty");
    // No envelope may have more: receivers would refuse it.
    within("bytes of an event's type", utf8Size(type), TYPE_BYTES_MAX);
    if (!TO.test(to)) {
      throw new BoundsError(`recipient of an event: expected "", "user:ID" or "role:NAME"`);
    }
    this.events.push(event);
  }

  /** Sets the answer for the sender; the last one counts. */
  answer(bytes: Uint8Array): void {
    within("bytes of an answer", bytes.length, this.room.bounds.answer_bytes);
    this.reply = bytes;
  }

  /** Schedules a command; replaces the one with the same key. */
  schedule(key: string, timer: Timer): void {
    const { timers, timer_bytes, least_delay_ms } = this.room.bounds;
    const size_bytes = utf8Size(key) + utf8Size(timer.command) + timer.data.length;
    within("bytes of a scheduled command", size_bytes, timer_bytes);
    if (timer.command === "") throw new BoundsError("name of a scheduled command: empty");
    const least_ms = this.time_ms + least_delay_ms;
    within("time of a scheduled command", timer.at_ms, Number.MAX_SAFE_INTEGER);
    if (!Number.isSafeInteger(timer.at_ms) || timer.at_ms < least_ms) {
      throw new BoundsError(
        `time of a scheduled command: ${timer.at_ms}; at least ${least_ms}, which is ` +
          `${least_delay_ms} ms after this one's`,
      );
    }
    if (!this.timers.has(key)) within("scheduled commands", this.timers.size + 1, timers);
    this.#ownTimers().set(key, timer);
    this.scheduled.set(key, timer);
  }

  unschedule(key: string): void {
    if (!this.timers.has(key)) return;
    this.#ownTimers().delete(key);
    this.scheduled.set(key, null);
  }

  #ownTimers(): Tree<string, Timer> {
    if (this.timers === this.#before.timers) this.timers = this.timers.clone();
    return this.timers;
  }

  /** The next 64 random bits; the same whenever the entry is applied. */
  random(): bigint {
    const bytes = new CanonicalWriter().raw(this.#seed).i64(this.offset).u32(this.#drawn++).done();
    const digest = digestOf(bytes);
    return new DataView(digest.buffer, digest.byteOffset).getBigInt64(0, true);
  }
}
