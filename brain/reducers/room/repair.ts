/**
 * Repairs a room whose log has lost entries, at an operator's request: it continues from the newest readable state, as
 * if the missing entries had changed nothing. Its record lists the loss. A readable room stays as it is.
 */
import {
  decodeRecord,
  encodeRecord,
  type ProgramName,
  type RoomRecord,
} from "../../../shared/records/reducer_record.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { type Batch, isBehind, NO_EVENT } from "../log/batch.ts";
import type { OpenRoom } from "../thread/host.ts";
import type { Applied } from "../thread/protocol.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import { loadRoom, programsOf } from "./room_load.ts";
import { type HistoryLimits, objectOf, readPoints } from "./points.ts";
import { dueEvents, publishedIn, publishEvents } from "./publication.ts";
import { batchOf, isUnreadable, readMessages } from "./stored_data.ts";
import { storeSnapshot } from "./room_writes.ts";
import type { Shown } from "../visible/shown.ts";
import { FOLDING } from "./past.ts";

/** Losses that a record reports. */
const LOST_MAX = 16;

/** Whether the room can be read. Rejects if that is unknown. */
async function isWhole(at: ReducedPlace, shown: Shown, parts: RoomParts): Promise<boolean> {
  try {
    const { handle } = await loadRoom(at, shown, parts);
    parts.host.close(handle);
    return true;
  } catch (error) {
    if (isUnreadable(error)) return false;
    throw error;
  }
}

/** A state, and the outcomes of the entries applied to it. */
interface Folded extends OpenRoom {
  readonly done: readonly Applied[];
}

/** Applies entries to a state without a gap; returns the last state that matches the log's digests. */
async function foldWhole(
  open: () => Promise<OpenRoom>,
  batches: readonly Batch[],
  parts: RoomParts,
): Promise<Folded> {
  let { handle, standing } = await open();
  const done: Applied[] = [];
  for (const [at, { after, entries, program, chain }] of batches.entries()) {
    const own = entries.filter(({ offset }) => offset > standing.offset);
    if (own.length === 0) continue;
    if (after > standing.offset) break;
    try {
      const runnable = await parts.programById(program);
      const result = await parts.host.apply(handle, runnable, own, FOLDING);
      if (result.standing.chain === chain.toHex()) {
        ({ standing } = result);
        done.push(...result.applied);
        continue;
      }
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      break;
    }
    // The result differs from the log's digest: use the state before.
    parts.host.close(handle);
    return await foldWhole(open, batches.slice(0, at), parts);
  }
  return { handle, standing, done };
}

async function newestState(
  at: ReducedPlace,
  durable: DurableLog,
  batches: readonly Batch[],
  record: ReturnType<typeof decodeRecord>,
  parts: RoomParts,
): Promise<Folded> {
  const points = await readPoints(record, durable.stream, parts.objects);
  const names = [...points.map((point) => objectOf(at, point)), record?.snapshot ?? ""];
  for (const name of new Set(names.toReversed())) {
    const bytes = name === "" ? undefined : await parts.objects.get(name);
    if (bytes === undefined) continue;
    const open = await parts.host.open(at, bytes).catch((error) => {
      if (!isUnreadable(error)) throw error;
    });
    if (open === undefined) continue;
    parts.host.close(open.handle);
    return await foldWhole(() => parts.host.open(at, bytes), batches, parts);
  }
  return await foldWhole(() => parts.host.open(at, undefined), batches, parts);
}

/** The messages that can be read, each with its batch. */
function readable(messages: readonly LogMessage[]): (readonly [LogMessage, Batch])[] {
  return messages.flatMap((message) => {
    try {
      return [[message, batchOf(message)] as const];
    } catch (error) {
      if (isUnreadable(error)) return [];
      throw error;
    }
  });
}

/** The program in force after an entry. */
async function programAt(
  offset: number,
  { batches, done, record }: {
    readonly batches: readonly Batch[];
    readonly done: readonly Applied[];
    readonly record: RoomRecord | undefined;
  },
  { programById }: RoomParts,
): Promise<ProgramName | undefined> {
  const refused = new Set(done.filter(({ kind }) => kind !== "applied").map((one) => one.offset));
  const last = batches.findLast(({ after, entries: [first, ...others] }) =>
    first !== undefined && after + 1 + others.length <= offset &&
    !(first.kind === "migrate" && refused.has(first.offset))
  );
  if (last === undefined || last.after < (record?.offset ?? 0)) return record?.program;
  const { id, module } = await programById(last.program);
  return { id, module };
}

/** A timer that was set aside runs again: the operator has removed what killed two processes. */
async function releaseTimer(
  { tenant_id, room_id }: ReducedPlace,
  { records }: RoomParts,
): Promise<void> {
  const stored = await records.get([tenant_id, room_id]);
  const record = stored && decodeRecord(stored.value);
  if (record?.taken === undefined) return;
  const next = encodeRecord({ ...record, taken: undefined });
  await records.update([tenant_id, room_id], next, stored!.revision);
}

/** Returns what was lost, or `{lost: null}` if nothing was and at most a timer was released. */
export async function repairRoom(
  at: ReducedPlace,
  parts: RoomParts,
  { limits, shown }: { readonly limits: HistoryLimits; readonly shown: Shown },
): Promise<object> {
  await releaseTimer(at, parts);
  if (await isWhole(at, shown, parts)) return { lost: null };
  const durable = await parts.openLog(at.tenant_id);
  const stored = await parts.records.get([at.tenant_id, at.room_id]);
  const record = stored && decodeRecord(stored.value);
  const { messages, newest } = await readMessages(durable, at.log_room_id, 0);
  const log = readable(messages);
  const batches = log.map(([, batch]) => batch);
  let noted = record?.published ?? NO_EVENT;
  for (const { published } of batches) if (isBehind(published, noted)) noted = published;
  const { tail, published } = await publishedIn(
    durable,
    at.room_id,
    noted,
    log.map(([one]) => one),
  );
  const found = await newestState(at, durable, batches, record, parts);
  const { handle, standing: begin, done } = found;
  try {
    const last = Math.max(
      begin.offset,
      record?.offset ?? 0,
      published.offset,
      ...batches.slice(-1).map(({ after, entries }) => after + entries.length),
    );
    // The repair is an entry itself: subscribers with the last one see that values do not continue from there.
    const lost = last > begin.offset ? { from: begin.offset + 1, to: last } : undefined;
    const standing = lost === undefined ? begin : await parts.host.skip(handle, last + 1);
    const losses = lost === undefined ? [] : [{ ...lost, at_ms: parts.now() }];
    const loaded: LoadedRoom = {
      at,
      parts,
      durable,
      handle,
      standing,
      tail,
      points: undefined,
      position: newest,
      published_values: undefined,
      record: record && { ...record, lost: [...record.lost, ...losses].slice(-LOST_MAX) },
      revision: stored?.revision ?? 0,
      life: record?.life,
      published,
      program: await programAt(begin.offset, { batches, done, record }, parts),
      refused: record?.refused,
      programs: programsOf(record, batches),
      kept: undefined,
      noted,
      messages_behind: 0,
      entries_behind: 0,
      appended: { messages: 0, bytes: 0, average: 0 },
    };
    // Lost entries produce no events; earlier ones are published now.
    await publishEvents(loaded, dueEvents(done, published));
    await storeSnapshot(loaded, limits);
    return { lost: lost ?? null, offset: standing.offset, from_snapshot: begin.offset };
  } finally {
    parts.host.close(handle);
  }
}
