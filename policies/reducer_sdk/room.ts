// A reducer's changes to its room: values by key, events, and timers. They take effect only when the
// command is applied.
import {
  room_delete,
  room_emit,
  room_log,
  room_read,
  room_scan,
  room_schedule,
  room_unschedule,
  room_write,
} from "./arqon_room_v1.ts";
import { bytesAt, textAt } from "./command.ts";

/** The value of a key as bytes, or null. */
export function readBytes(key: string): Uint8Array | null {
  const name = String.UTF8.encode(key);
  const found = room_read(changetype<usize>(name), <usize> name.byteLength);
  return found == 0 ? null : bytesAt(found);
}

/** The value of a key as text, or null. */
export function read(key: string): string | null {
  const name = String.UTF8.encode(key);
  const found = room_read(changetype<usize>(name), <usize> name.byteLength);
  return found == 0 ? null : textAt(found);
}

/** The value of a key as a whole number; `otherwise` if there is none. */
export function readNumber(key: string, otherwise: i64 = 0): i64 {
  const text = read(key);
  return text === null ? otherwise : I64.parseInt(text, 10);
}

/** Writes bytes as the value of a key. */
export function writeBytes(key: string, value: Uint8Array): void {
  const name = String.UTF8.encode(key);
  const size = <usize> name.byteLength;
  room_write(changetype<usize>(name), size, value.dataStart, <usize> value.length);
}

/** Writes a text as the value of a key. */
export function write(key: string, value: string): void {
  const name = String.UTF8.encode(key);
  const bytes = String.UTF8.encode(value);
  room_write(
    changetype<usize>(name),
    <usize> name.byteLength,
    changetype<usize>(bytes),
    <usize> bytes.byteLength,
  );
}

/** Writes a whole number as the value of a key. */
export function writeNumber(key: string, value: i64): void {
  write(key, value.toString());
}

/** Deletes the value of a key. */
export function remove(key: string): void {
  const name = String.UTF8.encode(key);
  room_delete(changetype<usize>(name), <usize> name.byteLength);
}

/** A value and its key. */
export class Entry {
  key: string;
  value: string;
  constructor(key: string, value: string) {
    this.key = key;
    this.value = value;
  }
}

/** The values whose keys begin with `prefix`, in the order of their keys, above the key `after`; at most `most`. */
export function scan(prefix: string, after: string = "", most: i32 = 1_000): Entry[] {
  const begins = String.UTF8.encode(prefix);
  const above = String.UTF8.encode(after);
  const found = room_scan(
    changetype<usize>(begins),
    <usize> begins.byteLength,
    changetype<usize>(above),
    <usize> above.byteLength,
    most,
  );
  const entries: Entry[] = [];
  const end = found + 4 + load<u32>(found);
  for (let at = found + 4; at < end;) {
    const key = textAt(at);
    at += 4 + load<u32>(at);
    entries.push(new Entry(key, textAt(at)));
    at += 4 + load<u32>(at);
  }
  return entries;
}

/** Publishes an event to everybody in the room, or to `user:ID` or `role:NAME` only. */
export function emit(type: string, data: string, to: string = ""): void {
  const name = String.UTF8.encode(type);
  const bytes = String.UTF8.encode(data);
  const whom = String.UTF8.encode(to);
  room_emit(
    changetype<usize>(name),
    <usize> name.byteLength,
    changetype<usize>(bytes),
    <usize> bytes.byteLength,
    changetype<usize>(whom),
    <usize> whom.byteLength,
  );
}

/** Schedules a command, and replaces the one queued under the same key. */
export function schedule(key: string, atMs: i64, command: string, data: string = ""): void {
  const name = String.UTF8.encode(key);
  const what = String.UTF8.encode(command);
  const bytes = String.UTF8.encode(data);
  room_schedule(
    changetype<usize>(name),
    <usize> name.byteLength,
    atMs,
    changetype<usize>(what),
    <usize> what.byteLength,
    changetype<usize>(bytes),
    <usize> bytes.byteLength,
  );
}

/** Cancels the command queued under a key. */
export function unschedule(key: string): void {
  const name = String.UTF8.encode(key);
  room_unschedule(changetype<usize>(name), <usize> name.byteLength);
}

/** Writes a line to the log for the operator of the room. */
export function log(message: string): void {
  const bytes = String.UTF8.encode(message);
  room_log(1, changetype<usize>(bytes), <usize> bytes.byteLength);
}
