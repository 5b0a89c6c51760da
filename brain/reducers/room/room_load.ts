/**
 * Reads a room with a reducer: its snapshot, then the log after it, each entry by the program that applied it.
 * Publishes events that the previous owner did not. If the parts do not fit together, the room is refused: a wrong
 * state is worse than none.
 */
import type { LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import type { Batch } from "../log/batch.ts";
import type { RoomRecord } from "../../../shared/records/reducer_record.ts";
import { type ForkedRoom, openFork } from "./past.ts";
import { type LoadedRoom, type ReducedPlace, roomOf, type RoomParts } from "./loaded_room.ts";
import { takeProgram } from "./program_switch.ts";
import { dueEvents, eventsPublished, publishChanges, publishEvents } from "./value_changes.ts";
import type { DueEvent } from "./value_changes.ts";
import type { Shown } from "../visible/shown.ts";
import { batchOf, readMessages, readRecord, unreadable } from "./stored_data.ts";

/** The batches since a snapshot; throws if some are missing. */
function batchesBehind(messages: readonly LogMessage[], from: number): Batch[] {
  const behind: Batch[] = [];
  let offset = from;
  for (const message of messages) {
    const batch = batchOf(message);
    const end = batch.after + batch.entries.length;
    if (end < from || end === from && batch.entries.length > 0) continue;
    if (batch.after !== offset) {
      throw unreadable(`entries ${offset + 1} to ${batch.after} of the room's log are gone`);
    }
    behind.push(batch);
    offset = end;
  }
  return behind;
}

/** Throws if expected entries must have expired by `DurableLog.shownTime`. */
function requireKept(
  record: RoomRecord | undefined,
  batches: readonly Batch[],
  kept_ms: number,
  now_ms: number,
): void {
  if (record === undefined || !record.is_behind || batches.length > 0) return;
  if (now_ms - record.behind_ms < kept_ms) return;
  throw unreadable(`entries behind ${record.offset} of the room's log may be too old to be kept`);
}

/** Applies the batches and publishes their visible changes; returns the unpublished events. */
async function replay(
  loaded: LoadedRoom,
  batches: readonly Batch[],
  shown: Shown,
): Promise<DueEvent[]> {
  const due: DueEvent[] = [];
  const { parts } = loaded;
  for (const { program: id, entries, chain } of batches) {
    if (entries.length === 0) continue;
    const program = await parts.programById(id);
    const known = loaded.standing.offset;
    const options = { may_stop: false, shown: shown.prefixes };
    const result = await parts.host.apply(loaded.handle, program, entries, options);
    loaded.standing = result.standing;
    takeProgram(loaded, program, entries, result.applied);
    if (result.standing.chain !== chain.toHex()) {
      const offset = entries.at(-1)!.offset;
      throw unreadable(`entry ${offset} has a different result than when it was written`);
    }
    await publishChanges({ loaded, shown }, known, result.applied);
    due.push(...dueEvents(result.applied, loaded.published));
  }
  return due;
}

/** The state that the room's own log continues. */
function openRoom(
  at: ReducedPlace,
  record: RoomRecord | undefined,
  snapshot: Uint8Array | undefined,
  parts: RoomParts,
): Promise<ForkedRoom> {
  if (snapshot === undefined && record?.fork) return openFork(at, record.fork, parts);
  return parts.host.open(at, snapshot);
}

/**
 * Whether a room is read from the past of another one. It should be stored before its first call: the other room trims
 * its past without asking forks.
 */
export const isYoungFork = ({ record }: Pick<LoadedRoom, "record">): boolean =>
  record !== undefined && record.fork !== null && record.snapshot === "";

/** Reads a room. Rejects with `log-unavailable`, `spine-unavailable` or `brain-unavailable`. */
export async function loadRoom(
  at: ReducedPlace,
  shown: Shown,
  parts: RoomParts,
): Promise<LoadedRoom> {
  const durable = await parts.openLog(at.tenant_id);
  const { record, revision, snapshot } = await readRecord(at, parts);
  const is_known = record !== undefined && record.stream === durable.stream;
  const from = is_known ? record.position : 0;
  const { messages, newest } = await readMessages(durable, at.log_room_id, from);
  const batches = batchesBehind(messages, record?.offset ?? 0);
  const { history_ttl_seconds } = await durable.status();
  requireKept(record, batches, history_ttl_seconds * 1_000, durable.shownTime());
  const published = await eventsPublished(durable, at, record, messages, batches);
  const { handle, standing, program } = await openRoom(at, record, snapshot, parts);
  const stored = { record, revision, position: newest, ...published };
  const loaded = roomOf({ at, parts, durable, handle, standing, ...stored });
  loaded.program ??= program && { id: program.id, module: program.module };
  loaded.messages_behind = batches.length;
  loaded.entries_behind = batches.reduce((sum, { entries }) => sum + entries.length, 0);
  try {
    await publishEvents(loaded, await replay(loaded, batches, shown));
  } catch (error) {
    parts.host.close(handle);
    throw error;
  }
  return loaded;
}
