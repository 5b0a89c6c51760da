/**
 * Entries and outcomes as bytes, between a Brain and its worker: copying one array takes a fraction of the time of as
 * many objects. Nothing of it is stored. Pure.
 */
import { CanonicalReader, CanonicalWriter } from "../state/canonical.ts";
import type { LogEntry, ReducerFault, RoomEvent } from "../state/entry.ts";
import type { Answered } from "../state/room_state.ts";
import type { RoomLog } from "../guest/room_functions.ts";
import { readEntries, writeEntries } from "../log/batch.ts";
import type { ShownValue } from "../visible/shown.ts";
import type { Applied } from "./protocol.ts";

const NOTHING = new Uint8Array();

/** Packed bytes are copied out at once. */
const packer = new CanonicalWriter();
const KINDS: readonly Answered["kind"][] = ["applied", "rejected", "fault"];
const FAULTS: readonly (ReducerFault | undefined)[] = [
  ...[undefined, "fuel", "trap", "memory", "abi", "bounds"] as const,
];

/** Packs entries with consecutive offsets. */
export function packEntries(entries: readonly LogEntry[]): Uint8Array {
  const writer = packer.clear().i64((entries[0]?.offset ?? 1) - 1);
  return writeEntries(writer, entries).done().slice();
}

/** Unpacks what `packEntries` packed. */
export function unpackEntries(bytes: Uint8Array): LogEntry[] {
  const reader = new CanonicalReader(bytes);
  return readEntries(reader, reader.i64());
}

function packOne(writer: CanonicalWriter, one: Applied): void {
  writer.u32(KINDS.indexOf(one.kind)).u32(one.code).text(one.reason).bytes(one.answer);
  writer.u32(FAULTS.indexOf(one.fault)).text(one.detail).i64(one.offset).i64(one.time_ms);
  writer.i64(one.repeats ?? 0).u32(one.events.length);
  for (const { type, data, to } of one.events) writer.text(type).bytes(data).text(to);
  writer.u32(one.logs.length);
  for (const { level, message } of one.logs) writer.u32(level).text(message);
  writer.u32(one.changes.length);
  for (const [key, value] of one.changes) {
    writer.text(key).u32(value === null ? 0 : 1).bytes(value ?? NOTHING);
  }
}

/** Packs outcomes. */
export function packApplied(applied: readonly Applied[]): Uint8Array {
  const writer = packer.clear().u32(applied.length);
  for (const one of applied) packOne(writer, one);
  return writer.done().slice();
}

function listOf<One>(reader: CanonicalReader, read: () => One): One[] {
  return Array.from({ length: reader.u32() }, read);
}

function unpackOne(reader: CanonicalReader): Applied {
  const head = {
    kind: KINDS[reader.u32()]!,
    code: reader.u32(),
    reason: reader.text(),
    answer: reader.bytes(),
    fault: FAULTS[reader.u32()],
    detail: reader.text(),
    offset: reader.i64(),
    time_ms: reader.i64(),
  };
  const repeats = reader.i64() || undefined;
  const events = listOf(reader, (): RoomEvent => {
    return { type: reader.text(), data: reader.bytes(), to: reader.text() };
  });
  const logs = listOf(reader, (): RoomLog => ({ level: reader.u32(), message: reader.text() }));
  const changes = listOf(reader, (): ShownValue => {
    const key = reader.text();
    const is_there = reader.u32() === 1;
    const value = reader.bytes();
    return [key, is_there ? value : null];
  });
  return { ...head, repeats, events, logs, changes };
}

/** Unpacks what `packApplied` packed. */
export function unpackApplied(bytes: Uint8Array): Applied[] {
  const reader = new CanonicalReader(bytes);
  return listOf(reader, () => unpackOne(reader));
}
