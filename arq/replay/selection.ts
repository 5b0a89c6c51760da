/** Which part of a journal counts. Pure. */
import { matchesRoomPattern } from "@arqon/proto";
import type { JournalRecord } from "../../shared/journal/record.ts";

/** Which calls are repeated. */
export interface ReplaySelection {
  /** The policy's name within its tenant. */
  readonly policy: string;
  /** Only of this tenant; absent: a file may have several. */
  readonly tenant?: string;
  /** A room or a pattern; absent: all. It does not count for `on_connect`. */
  readonly room?: string;
  /** Unix ms; the calls from the first on, before the second. Absent: no bound. */
  readonly from_ms?: number;
  readonly until_ms?: number;
}

/** Whether a record is of the tenant, the room and the window. */
export function isSelected(record: JournalRecord, selection: ReplaySelection): boolean {
  const { tenant, room, from_ms = -Infinity, until_ms = Infinity } = selection;
  if (tenant !== undefined && record.tenant !== tenant) return false;
  if (record.time_ms < from_ms || record.time_ms >= until_ms) return false;
  return room === undefined || (record.hook !== "on_connect" &&
    matchesRoomPattern(room, record.room));
}
