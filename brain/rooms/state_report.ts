/**
 * A report of a room's document for operators: the versions of its keys, the holder of the lock, and one value on
 * request. Pure.
 */
import { utf8Size } from "@arqon/proto";
import { ROOM_KEYS_MAX, type StateAnswer } from "../../shared/cluster/cluster_room.ts";
import type { RoomDocument } from "./store/document.ts";
import { liveLock } from "./locks/lock.ts";
import type { RoomEvent } from "./store/room_event.ts";

/** The most bytes of keys in one answer, which has to fit into a message. */
const KEYS_BYTES = 1_048_576;

type Report = NonNullable<NonNullable<StateAnswer>["document"]>;

/** The version at which each key was last set, if the room's stored events contain it. */
function versionsOf(events: readonly RoomEvent[]): Map<string, number> {
  const versions = new Map<string, number>();
  for (const { version, body } of events) {
    const { op, key } = JSON.parse(`{${body}}`);
    if (op === "set" && typeof key === "string") versions.set(key, version);
  }
  return versions;
}

function shownKeys({ entries, events }: RoomDocument): Report["keys"] {
  const versions = versionsOf(events);
  const keys: Report["keys"] = [];
  let bytes = 0;
  for (const [key, value] of entries) {
    bytes += utf8Size(key);
    if (keys.length === ROOM_KEYS_MAX || bytes > KEYS_BYTES) break;
    const version = versions.get(key);
    const size_bytes = utf8Size(value);
    keys.push({ key, size_bytes, ...(version === undefined ? {} : { version }) });
  }
  return keys;
}

/** The report: all keys, or with `key` only its value. `now_ms` is Unix ms: an expired lock is left out. */
export function stateReport(
  document: RoomDocument,
  key: string | undefined,
  now_ms: number,
): Report {
  const { version, epoch, created_ms, entries, entries_bytes } = document;
  const lock = liveLock(document.lock, now_ms);
  const value = key === undefined ? undefined : entries.get(key);
  return {
    version,
    epoch,
    created_ms,
    ...(lock === undefined ? {} : { lock }),
    keys: key === undefined ? shownKeys(document) : [],
    key_count: entries.size,
    size_bytes: entries_bytes,
    ...(value === undefined ? {} : { value }),
  };
}
