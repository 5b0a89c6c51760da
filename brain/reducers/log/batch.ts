/**
 * The entries of one message of a room's log, appended together: the program that applied them, the digest after them,
 * and the last published event. Pure.
 */
import { CanonicalError, CanonicalReader, CanonicalWriter } from "../state/canonical.ts";
import type { LogEntry } from "../state/room_state.ts";
import { writeAsked } from "../state/fold.ts";

/** An event of an entry; `index` counts from 1. */
export interface EventMark {
  readonly offset: number;
  readonly index: number;
}

/** No event was published yet. */
export const NO_EVENT: EventMark = { offset: 0, index: 0 };

/** An event index above any: all events of an entry. */
export const EVENTS_END = 4_294_967_295;

/** Whether `one` is behind `other`. */
export const isBehind = (one: EventMark, other: EventMark): boolean =>
  one.offset > other.offset || one.offset === other.offset && one.index > other.index;

/** The later one of two marks. */
export const laterOf = (one: EventMark, other: EventMark): EventMark =>
  isBehind(one, other) ? one : other;

/** One message of the log. */
export interface Batch {
  /** Hex SHA-256 of the program. */
  readonly program: string;
  /** The last event that had been published. */
  readonly published: EventMark;
  /** The offset of the entry before the first. */
  readonly after: number;
  /** In order, each offset one more than the one before; empty if the message only records `published`. */
  readonly entries: readonly LogEntry[];
  /** The digest after the last entry. */
  readonly chain: Uint8Array;
}

const MAGIC = new TextEncoder().encode("ARQLOG1\n");
const KINDS: readonly LogEntry["kind"][] = ["command", "timer", "migrate"];
const DIGEST_BYTES = 32;
const SEED_BYTES = 16;

/** Approximate bytes of an entry beside its texts and data. */
export const ENTRY_BYTES = 96;

/** A batch as bytes. */
export function encodeBatch({ program, published, after, entries, chain }: Batch): Uint8Array {
  const writer = new CanonicalWriter().raw(MAGIC).raw(Uint8Array.fromHex(program));
  writer.i64(published.offset).u32(published.index).i64(after).raw(chain);
  return writeEntries(writer, entries).done();
}

/** Writes the number of entries, and each without its offset. */
export function writeEntries(
  writer: CanonicalWriter,
  entries: readonly LogEntry[],
): CanonicalWriter {
  writer.u32(entries.length);
  for (const entry of entries) {
    writer.u32(KINDS.indexOf(entry.kind)).i64(entry.time_ms).raw(entry.seed);
    writeAsked(writer, entry, Object.entries(entry.kind === "command" ? entry.claims : {}));
  }
  return writer;
}

/** Reads what `writeEntries` wrote; the first entry follows the offset `after`. */
export function readEntries(reader: CanonicalReader, after: number): LogEntry[] {
  const entries: LogEntry[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    entries.push(readEntry(reader, after + entries.length + 1));
  }
  return entries;
}

function readEntry(reader: CanonicalReader, offset: number): LogEntry {
  const number = reader.u32();
  const kind = KINDS[number];
  const placed = { offset, time_ms: reader.i64(), seed: reader.raw(SEED_BYTES) };
  if (kind === "timer") return { kind, ...placed, key: reader.text() };
  if (kind === "migrate") return { kind, ...placed, from: reader.text(), deploy: reader.i64() };
  if (kind === undefined) throw new CanonicalError(`byte ${reader.at}: an entry of kind ${number}`);
  const command = { command: reader.text(), data: reader.bytes(), id: reader.text() };
  const sender = { user_id: reader.text(), role: reader.text() };
  const claims: [string, string][] = [];
  for (let left = reader.u32(); left > 0; left--) claims.push([reader.text(), reader.text()]);
  return { kind, ...placed, ...command, ...sender, claims: Object.fromEntries(claims) };
}

/** Decodes a batch. Throws `CanonicalError`. */
export function decodeBatch(bytes: Uint8Array): Batch {
  const reader = new CanonicalReader(bytes);
  const magic = reader.raw(MAGIC.length);
  if (!magic.every((byte, at) => byte === MAGIC[at])) {
    throw new CanonicalError("no entries of a room: they do not begin with ARQLOG1");
  }
  const program = reader.raw(DIGEST_BYTES).toHex();
  const published = { offset: reader.i64(), index: reader.u32() };
  const after = reader.i64();
  const chain = reader.raw(DIGEST_BYTES);
  const entries = readEntries(reader, after);
  if (reader.at < bytes.length) {
    throw new CanonicalError(`byte ${reader.at}: ${bytes.length - reader.at} bytes too many`);
  }
  return { program, published, after, entries, chain };
}

interface LogBegin {
  /** The offset before its first entry; undefined if the log is empty. */
  readonly floor: number | undefined;
  /** The last entry that came from another room; 0: the room began empty. */
  readonly origin: number;
}

/** The states that the log continues, in order, and whether it continues the room's first state. */
export function foldable<State extends { readonly offset: number }>(
  states: readonly State[],
  { floor, origin }: LogBegin,
): { readonly states: State[]; readonly is_whole: boolean } {
  return {
    states: states.filter(({ offset }) => offset >= (floor ?? 0)),
    // A stored room has been called: if its log is empty, the room does not start from there.
    is_whole: floor === undefined ? states.length === 0 : floor === origin,
  };
}
