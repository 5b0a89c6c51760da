/**
 * The bytes of a state. Canonical: a state has one encoding, and any other bytes are refused. A snapshot ends with the
 * SHA-256 of everything before; keys are sorted and unique. Pure.
 */
import { CanonicalError, CanonicalReader, CanonicalWriter } from "./canonical.ts";
import { digestOf, rememberedBytes, tree, writeValues } from "./room_state.ts";
import type { Answered, RoomState } from "./room_state.ts";
import { deflateRawSync, inflateRawSync } from "node:zlib";

const MAGIC = new TextEncoder().encode("ARQROOM1");
const DIGEST_BYTES = 32;
const KINDS: readonly Answered["kind"][] = ["applied", "rejected", "fault"];

/** Bytes that are no snapshot; the message says why. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
}

/** The canonical bytes of a state, with their digest at the end. */
export function encodeSnapshot(state: RoomState): Uint8Array<ArrayBuffer> {
  const writer = new CanonicalWriter().raw(MAGIC).i64(state.offset).i64(state.time_ms);
  writer.raw(state.chain);
  writeValues(writer, state.values);
  writer.u32(state.timers.size);
  for (const [key, { at_ms, command, data }] of state.timers.entries()) {
    writer.text(key).i64(at_ms).text(command).bytes(data);
  }
  writer.u32(state.remembered_at.size);
  for (const [offset, key] of state.remembered_at.entries()) {
    const { kind, code, reason, answer } = state.remembered.get(key)!;
    writer.i64(offset).text(key).u32(KINDS.indexOf(kind)).u32(code).text(reason).bytes(answer);
  }
  writer.raw(digestOf(writer.done()));
  return Uint8Array.from(writer.done());
}

/** Throws unless `key` is above `before`. */
function inOrder<T extends string | number>(before: T | undefined, key: T, at: number): T {
  if (before === undefined || before < key) return key;
  throw new CanonicalError(`byte ${at}: a key that is not above the one before`);
}

function readValues(reader: CanonicalReader): Pick<RoomState, "values" | "size_bytes"> {
  const values: RoomState["values"] = tree();
  let size_bytes = 0;
  let before: string | undefined;
  for (let left = reader.u32(); left > 0; left--) {
    before = inOrder(before, reader.latin(), reader.at);
    const value = reader.bytes();
    values.set(before, value);
    size_bytes += before.length + value.length;
  }
  return { values, size_bytes };
}

function readTimers(reader: CanonicalReader): RoomState["timers"] {
  const timers: RoomState["timers"] = tree();
  let before: string | undefined;
  for (let left = reader.u32(); left > 0; left--) {
    before = inOrder(before, reader.text(), reader.at);
    const timer = { at_ms: reader.i64(), command: reader.text(), data: reader.bytes() };
    timers.set(before, timer);
  }
  return timers;
}

function readRemembered(
  reader: CanonicalReader,
): Pick<RoomState, "remembered" | "remembered_at" | "remembered_bytes"> {
  const remembered: RoomState["remembered"] = tree();
  const remembered_at: RoomState["remembered_at"] = tree();
  let remembered_bytes = 0;
  let before: number | undefined;
  for (let left = reader.u32(); left > 0; left--) {
    before = inOrder(before, reader.i64(), reader.at);
    const key = reader.text();
    const kind = KINDS[reader.u32()];
    if (kind === undefined) throw new CanonicalError(`byte ${reader.at}: no kind of answer`);
    if (remembered.has(key)) throw new CanonicalError(`byte ${reader.at}: an answer twice`);
    const answered = { kind, code: reader.u32(), reason: reader.text(), answer: reader.bytes() };
    remembered.set(key, { ...answered, offset: before });
    remembered_at.set(before, key);
    remembered_bytes += rememberedBytes(key, answered);
  }
  return { remembered, remembered_at, remembered_bytes };
}

function readState(body: Uint8Array): RoomState {
  const reader = new CanonicalReader(body);
  reader.raw(MAGIC.length);
  const about = { offset: reader.i64(), time_ms: reader.i64(), chain: reader.raw(DIGEST_BYTES) };
  const values = readValues(reader);
  const timers = readTimers(reader);
  const state = { ...about, ...values, timers, ...readRemembered(reader) };
  if (reader.at < body.length) {
    throw new CanonicalError(`byte ${reader.at}: ${body.length - reader.at} bytes too many`);
  }
  return state;
}

const isSame = (one: Uint8Array, other: Uint8Array) =>
  one.length === other.length && one.every((byte, at) => byte === other[at]);

/** Decodes a snapshot. Throws `SnapshotError`. */
export function decodeSnapshot(bytes: Uint8Array): RoomState {
  const body = bytes.subarray(0, Math.max(0, bytes.length - DIGEST_BYTES));
  if (!isSame(body.subarray(0, MAGIC.length), MAGIC)) {
    throw new SnapshotError("no snapshot of a room: it does not begin with ARQROOM1");
  }
  if (!isSame(digestOf(body), bytes.subarray(body.length))) {
    throw new SnapshotError("a snapshot that was cut off or changed: its SHA-256 is another");
  }
  try {
    return readState(body);
  } catch (error) {
    if (!(error instanceof CanonicalError)) throw error;
    throw new SnapshotError(`a snapshot that does not fit: ${error.message}`, { cause: error });
  }
}

const PACKED = new TextEncoder().encode("ARQROOMZ");
/** More than any state within the largest bounds. */
const BYTES_MAX = 134_217_728;

/** Compresses a snapshot for the store. */
export function packSnapshot(snapshot: Uint8Array): Uint8Array<ArrayBuffer> {
  const deflated = deflateRawSync(snapshot);
  const packed = new Uint8Array(PACKED.length + deflated.length);
  packed.set(PACKED);
  packed.set(deflated, PACKED.length);
  return packed;
}

/** The snapshot of stored bytes. Throws `SnapshotError`. */
export function unpackSnapshot(stored: Uint8Array): Uint8Array {
  if (!PACKED.every((byte, at) => stored[at] === byte)) return stored;
  try {
    const body = stored.subarray(PACKED.length);
    return new Uint8Array(inflateRawSync(body, { maxOutputLength: BYTES_MAX }));
  } catch (cause) {
    throw new SnapshotError("a snapshot that cannot be decompressed", { cause });
  }
}
