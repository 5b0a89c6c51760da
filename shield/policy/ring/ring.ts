/**
 * A bounded queue of byte records in shared memory, for one writer and one reader on two threads. Many records are put
 * and taken per wake-up. The ring moves bytes; `ring_message.ts` has their meaning. Guests cannot access it: they only
 * see their own memory. Positions count up modulo 2^32, and the capacity is a power of two.
 */

/** The indices of the control words. */
const WRITTEN = 0;
const READ = 1;
const SIGNAL = 2;
const ROOM = 3;
/** 1 while a writer waits for room, or is about to wait. */
const WAITING = 4;
const CONTROL_BYTES = 64;

/** The view of one end of a ring; both ends make theirs from the same memory. */
export interface Ring {
  readonly memory: SharedArrayBuffer;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly data: Uint8Array<SharedArrayBuffer>;
  /** The same bytes as words. Both ends are on one machine. */
  readonly words: Uint32Array<SharedArrayBuffer>;
  /** The writer's position, and the bytes that it knows to be free: an atomic read takes longer than a small copy. */
  written: number;
  free: number;
}

/** The memory of a ring that holds at least `capacity_bytes` of records and their lengths. */
export function ringMemory(capacity_bytes: number): SharedArrayBuffer {
  const capacity = 2 ** Math.ceil(Math.log2(Math.max(capacity_bytes, 64)));
  return new SharedArrayBuffer(CONTROL_BYTES + capacity);
}

/** A view of the memory that `ringMemory` made. */
export function openRing(memory: SharedArrayBuffer): Ring {
  const control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
  return {
    memory,
    control,
    data: new Uint8Array(memory, CONTROL_BYTES),
    words: new Uint32Array(memory, CONTROL_BYTES),
    written: Atomics.load(control, WRITTEN),
    free: 0,
  };
}

/**
 * The number of bytes that a record of `size_bytes` takes. The engine copies shared memory in words of 8 bytes if both
 * ends are aligned to that, otherwise byte after byte, which takes ten times as long.
 */
export function recordBytes(size_bytes: number): number {
  return (size_bytes + 11) & ~7;
}

const addLength = (size_bytes: number, { length }: Uint8Array): number => size_bytes + length;

/** The size of a record of these parts. For every message, a loop over the list would make an iterator. */
export function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce(addLength, 0);
}

function used(ring: Ring): number {
  return (Atomics.load(ring.control, WRITTEN) - Atomics.load(ring.control, READ)) >>> 0;
}

/** Whether the writer has room for that many bytes. */
function hasRoom(ring: Ring, needed: number): boolean {
  if (needed > ring.free) ring.free = ring.data.length - used(ring);
  return needed <= ring.free;
}

/** Gives the reader what the writer has put at its position. */
function pass(ring: Ring, size_bytes: number): void {
  ring.free -= size_bytes;
  ring.written = (ring.written + size_bytes) | 0;
  Atomics.store(ring.control, WRITTEN, ring.written);
}

/** Up to this many bytes are copied one by one: the engine's own copying takes longer to start. */
const FEW_BYTES = 16;

/** Room for records, with the same bytes as words. */
type Room = Readonly<Record<"data", Uint8Array> & Record<"words", Uint32Array>>;

/** Copies bytes into the room, around its end. */
function put({ data }: Room, at: number, bytes: Uint8Array): void {
  const start = at & (data.length - 1);
  const first = Math.min(bytes.length, data.length - start);
  if (first === bytes.length) {
    if (first > FEW_BYTES) return data.set(bytes, start);
    for (let index = 0; index < first; index++) data[start + index] = bytes[index]!;
    return;
  }
  data.set(bytes.subarray(0, first), start);
  data.set(bytes.subarray(first), 0);
}

function lengthIndex({ data }: Room, position: number): number {
  return (position & (data.length - 1)) >>> 2;
}

/** Writes a record of that size at a position. */
function putRecord(
  room: Room,
  position: number,
  parts: readonly Uint8Array[],
  size_bytes: number,
): void {
  room.words[lengthIndex(room, position)] = size_bytes;
  let at = (position >>> 0) + 4;
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index]!;
    put(room, at, part);
    at += part.length;
  }
}

/**
 * Writes one record made of `parts`, which the reader finds at the next `ringSignal` at the latest; false if there is
 * no room now.
 */
export function ringPut(ring: Ring, parts: readonly Uint8Array[]): boolean {
  const size_bytes = sizeOf(parts);
  const needed = recordBytes(size_bytes);
  if (!hasRoom(ring, needed)) return false;
  putRecord(ring, ring.written, parts, size_bytes);
  pass(ring, needed);
  return true;
}

/** Records that were taken from a ring together. One of them is the current one; `next` moves to the first. */
export class Records {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes. */
  readonly view: DataView<ArrayBuffer>;
  /** Where the current record begins and ends. */
  start = 0;
  end = 0;
  readonly #words: Uint32Array<ArrayBuffer>;
  #next = 0;
  #filled = 0;

  /** Makes room for that many bytes of records and their lengths; a multiple of 8. */
  constructor(capacity_bytes: number) {
    this.bytes = new Uint8Array(capacity_bytes);
    this.view = new DataView(this.bytes.buffer);
    this.#words = new Uint32Array(this.bytes.buffer);
  }

  /** Sets the number of bytes of the records with their lengths. */
  fill(filled_bytes: number): void {
    this.#next = 0;
    this.#filled = filled_bytes;
  }

  /** Moves to the next record; false if there is none. */
  next(): boolean {
    if (this.#next >= this.#filled) return false;
    const size_bytes = this.#words[this.#next >>> 2]!;
    this.start = this.#next + 4;
    this.end = this.start + size_bytes;
    this.#next += recordBytes(size_bytes);
    return true;
  }
}

/** The bytes of the records at `position` that are taken together. Throws RangeError if the ring is corrupt. */
function takenBytes(ring: Ring, position: number, available: number, most_bytes: number): number {
  let taken = 0;
  while (taken < available) {
    const size_bytes = ring.words[lengthIndex(ring, position + taken)]!;
    const next = taken + recordBytes(size_bytes);
    if (available > ring.data.length || size_bytes > available || next > available) {
      throw new RangeError(
        `ring: a record of ${size_bytes} bytes, with ${available - taken} bytes available`,
      );
    }
    if (next > most_bytes && taken > 0) break;
    taken = next;
  }
  return taken;
}

/**
 * A copy of the next records, undefined if there are none: at most `most_bytes` of them with their lengths, but at
 * least one. They are put into `kept` if they fit. Throws RangeError if the ring is corrupt, which only an error in
 * this program can cause.
 */
export function ringTake(ring: Ring, most_bytes: number, kept?: Records): Records | undefined {
  const available = used(ring);
  if (available === 0) return undefined;
  const read = Atomics.load(ring.control, READ) >>> 0;
  const taken = takenBytes(ring, read, available, most_bytes);
  const records = kept !== undefined && taken <= kept.bytes.length ? kept : new Records(taken);
  const start = read & (ring.data.length - 1);
  const first = Math.min(taken, ring.data.length - start);
  records.bytes.set(ring.data.subarray(start, start + first));
  if (first < taken) records.bytes.set(ring.data.subarray(0, taken - first), first);
  records.fill(taken);
  Atomics.store(ring.control, READ, (read + taken) | 0);
  // A writer that starts to wait after this has found the room.
  if (Atomics.load(ring.control, WAITING) !== 0) tellRoom(ring);
  return records;
}

/** Wakes a writer that waits for room. */
function tellRoom(ring: Ring): void {
  Atomics.add(ring.control, ROOM, 1);
  Atomics.notify(ring.control, ROOM);
}

/** Wakes the reader, for new records or another reason. */
export function ringSignal(ring: Ring): void {
  Atomics.add(ring.control, SIGNAL, 1);
  Atomics.notify(ring.control, SIGNAL);
}

/** The number of signals so far. Read it, look for records, then wait for a change. */
export function ringSignals(ring: Ring): number {
  return Atomics.load(ring.control, SIGNAL);
}

/** Blocks this thread until there was a signal after `seen`. Not for a thread with an event loop. */
export function ringWaitBlocking(ring: Ring, seen: number): void {
  Atomics.wait(ring.control, SIGNAL, seen);
}

/** Resolves when there was a signal after `seen`; undefined when there has been one already. */
export function ringWait(ring: Ring, seen: number): Promise<unknown> | undefined {
  const wait = Atomics.waitAsync(ring.control, SIGNAL, seen);
  return wait.async ? wait.value : undefined;
}

/** Wakes both ends: the reader, and a writer that waits for room. */
export function ringWake(ring: Ring): void {
  ringSignal(ring);
  tellRoom(ring);
}

/**
 * Like `ringPut`, but blocks this thread until there is room, and wakes the reader; gives up if `isEnded` returns true
 * after a `ringWake`. The record must fit into an empty ring. True if there was room at once.
 */
export function ringPutBlocking(
  ring: Ring,
  parts: readonly Uint8Array[],
  isEnded: () => boolean,
): boolean {
  if (ringPut(ring, parts)) return true;
  Atomics.store(ring.control, WAITING, 1);
  for (;;) {
    const room = Atomics.load(ring.control, ROOM);
    if (ringPut(ring, parts) || isEnded()) break;
    ringSignal(ring);
    Atomics.wait(ring.control, ROOM, room);
  }
  Atomics.store(ring.control, WAITING, 0);
  return false;
}

/**
 * The most records that wait for the end of their turn: after more records the reader may begin before the end of the
 * turn.
 */
const UNSIGNALLED_MOST = 128;

/** The bytes of records that are put into the ring together; a power of two. */
const GATHERED_BYTES = 16_384;

/**
 * Makes the writer of a ring. It returns false if the ring has no room now. The records of a turn are gathered outside
 * of the ring, since parts are aligned to nothing.
 */
export function createSender(ring: Ring): (parts: readonly Uint8Array[]) => boolean {
  const data = new Uint8Array(GATHERED_BYTES);
  const gathered = { data, words: new Uint32Array(data.buffer) };
  let gathered_bytes = 0;
  let unsignalled = 0;
  const passGathered = () => {
    put(ring, ring.written, data.subarray(0, gathered_bytes));
    pass(ring, gathered_bytes);
    gathered_bytes = 0;
  };
  const say = () => {
    if (unsignalled === 0) return;
    unsignalled = 0;
    passGathered();
    ringSignal(ring);
  };
  return (parts) => {
    const size_bytes = sizeOf(parts);
    const needed = recordBytes(size_bytes);
    if (!hasRoom(ring, gathered_bytes + needed)) return false;
    if (gathered_bytes + needed > GATHERED_BYTES) passGathered();
    if (needed > GATHERED_BYTES) ringPut(ring, parts);
    else {
      putRecord(gathered, gathered_bytes, parts, size_bytes);
      gathered_bytes += needed;
    }
    if (++unsignalled === 1) queueMicrotask(say);
    else if (unsignalled >= UNSIGNALLED_MOST) say();
    return true;
  };
}
