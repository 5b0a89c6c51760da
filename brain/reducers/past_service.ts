/**
 * Admins' requests about the past of rooms with reducers: reading it, forking, trimming and repairing a room. Each
 * request runs once, few at a time. `capability.ts` knows the rooms.
 */
import { ArqonError } from "@arqon/proto";
import type { PastAsk } from "../../shared/records/reducer_past.ts";
import type { RunnableProgram } from "./log/program.ts";
import type { ReducerMetrics } from "./metrics.ts";
import { type LoadedRoom, type ReducedPlace, roomOf, type RoomParts } from "./room/loaded_room.ts";
import { forkRoom } from "./room/fork.ts";
import {
  batchOf,
  isUnreadable,
  objectOf,
  readMessages,
  readPoints,
  writePoints,
} from "./room/stored_data.ts";
import type { HistoryLimits } from "./room/stored_data.ts";
import type { Shown } from "./visible/shown.ts";
import { latinOf } from "./state/canonical.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import type { LogEntry, Outcome } from "./state/room_state.ts";
import { type ShownBytes, shownBytes } from "./thread/shown_values.ts";
import { FOLDING, newestEntry, openPast } from "./room/past.ts";
import { decodeRecord, encodeRecord } from "../../shared/records/reducer_record.ts";
import type { ProgramName, RoomRecord } from "../../shared/records/reducer_record.ts";
import { entriesOfObjects, type RoomPoint } from "../../shared/records/reducer_points.ts";
import { loadRoom } from "./room/room_load.ts";
import { appendNothing, removeObjects, storeSnapshot } from "./room/room_writes.ts";
import {
  dueEvents,
  eventsPublished,
  publishEvents,
  publishRemaining,
} from "./room/value_changes.ts";
import type { DurableLog, LogMessage } from "../../shared/spine/contract/durable_log.ts";
import type { Batch } from "./log/batch.ts";
import type { OpenRoom } from "./thread/host.ts";
import type { Applied } from "./thread/protocol.ts";

/** Requests that run at a time: each may apply thousands of entries. */
const ASKED_MAX = 4;
const RETRY_MS = 1_000;

interface Place {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** The configured program of a room. */
interface Named {
  readonly program: Pick<RunnableProgram, "id">;
  readonly history: HistoryLimits;
  readonly log_room_id: string;
  readonly shown: Shown;
}

interface ReducerPastOptions {
  readonly parts: RoomParts;
  readonly metrics: ReducerMetrics;
  /** Throws `invalid-command` for a room without a reducer. */
  readonly namedFor: (at: Place) => Named;
  /** Throws `room-limit` if the tenant has too many rooms. */
  readonly requireFew: (at: Place) => void;
  /** Forks of a room without a snapshot of their own. */
  readonly forksOf: (at: Place) => readonly string[];
  /** Runs a job while the room is closed here. */
  readonly alone: <T>(at: Place, job: () => Promise<T>) => Promise<T>;
  readonly wake: (at: Place) => void;
}

/** Answers admins about the past of rooms; each request runs once, few at a time. */
export class ReducerPast {
  readonly #options: ReducerPastOptions;
  readonly #requests = new FairBound(ASKED_MAX);

  constructor(options: ReducerPastOptions) {
    this.#options = options;
  }

  /** The answer as JSON. Rejects with the refusal. */
  async answer(at: Place, ask: PastAsk): Promise<string> {
    const { parts: { fuel }, metrics } = this.#options;
    const wait_ms = fuel.wait(at.tenant_id);
    if (wait_ms > 0) {
      metrics.refused.inc();
      throw fuel.refusal(wait_ms);
    }
    if (!this.#requests.take(at.tenant_id)) {
      metrics.refused.inc();
      const detail = "others of this tenant's questions about the past of rooms are being answered";
      throw new ArqonError("too-many-pending", detail, { retry_after_ms: RETRY_MS });
    }
    try {
      return JSON.stringify(await this.#answer(at, ask));
    } finally {
      this.#requests.add(at.tenant_id, -1);
    }
  }

  async #answer(at: Place, ask: PastAsk): Promise<object> {
    const { parts, namedFor, requireFew, alone, wake } = this.#options;
    const { log_room_id, history: limits, program, shown } = namedFor(at);
    const place: ReducedPlace = { ...at, log_room_id };
    switch (ask.action) {
      case "show":
        return showPast(place, ask, parts);
      case "fork": {
        const other = { tenant_id: at.tenant_id, room_id: ask.source };
        const source = namedFor(other);
        if (source.program.id !== program.id) {
          const detail = `${at.room_id} and ${ask.source} have different reducers`;
          throw new ArqonError("invalid-command", detail);
        }
        requireFew(at);
        const from = { ...other, log_room_id: source.log_room_id };
        const fork = await alone(at, () => forkRoom(place, from, ask, parts));
        // The fork gets its own snapshot then, before the other room may lose its start.
        wake(at);
        return fork;
      }
      case "trim": {
        const [fork] = this.#options.forksOf(at);
        if (fork !== undefined) {
          const detail = `${fork} began with the past of ${at.room_id} and has no snapshot yet`;
          throw new ArqonError("invalid-command", `${detail}: it has one soon after it began`);
        }
        const own = { limits, program: program.id, shown };
        return alone(at, () => trimRoom(place, ask.before, parts, own));
      }
      case "repair":
        return alone(at, () => repairRoom(place, parts, { limits, shown }));
      default:
        return ask satisfies never;
    }
  }
}

type ShowAsk = Extract<PastAsk, { action: "show" }>;

const EVENTS_MAX = 16;

/** The fields of an entry for the answer. */
function askedBy(entry: LogEntry): object {
  switch (entry.kind) {
    case "command": {
      const { command, data, user_id, role } = entry;
      return { timer: null, command, data: shownBytes(data), user_id, role };
    }
    case "timer":
      return { timer: entry.key, command: null, data: null, user_id: "", role: "timer" };
    case "migrate": {
      const data = shownBytes(new TextEncoder().encode(entry.from));
      return { timer: null, command: "migrate", data, user_id: "", role: "deploy" };
    }
    default:
      return entry satisfies never;
  }
}

function shownEntry(entry: LogEntry, outcome: Outcome): object {
  const { kind: verdict, code, reason, answer, events, repeats, detail } = outcome;
  const shown = (bytes: Uint8Array): ShownBytes | null =>
    bytes.length === 0 ? null : shownBytes(bytes.subarray(0, 1_024));
  return {
    offset: entry.offset,
    ...askedBy(entry),
    verdict,
    code,
    reason,
    detail,
    answer: shown(answer),
    repeats: repeats ?? null,
    events: events.slice(0, EVENTS_MAX).map(({ type, data, to }) => ({
      type,
      to,
      data: shown(data),
    })),
  };
}

/** Returns the page as JSON. Rejects with `invalid-command` for an entry that does not exist yet. */
async function showPast(
  at: ReducedPlace,
  { offset: wanted = Infinity, time_ms = Infinity, prefix, after, limit }: ShowAsk,
  parts: RoomParts,
): Promise<object> {
  const { handle, next } = await openPast(at, { offset: wanted, time_ms }, parts);
  try {
    const program = next && await parts.programById(next.program);
    const options = {
      prefix: latinOf(new TextEncoder().encode(prefix)),
      after: latinOf(Uint8Array.fromBase64(after)),
      limit,
    };
    const { standing: after_it, shown } = await parts.host.show(
      handle,
      next && { entry: next.entry, program: program! },
      options,
    );
    const { offset, time_ms: at_ms } = after_it;
    if (wanted !== Infinity && time_ms === Infinity && offset !== wanted) {
      const detail = `${at.room_id} has no entry ${wanted} yet: its last is ${offset}`;
      throw new ArqonError("invalid-command", detail);
    }
    const { next: more, outcome, ...values } = shown;
    return {
      offset,
      at_ms,
      last: Math.max(offset, await newestEntry(at, parts)),
      entry: next && outcome ? shownEntry(next.entry, outcome) : null,
      ...values,
      next: more === undefined ? null : btoa(more),
    };
  } finally {
    parts.host.close(handle);
  }
}

// A trim removes a room's log up to a snapshot, and every earlier snapshot. The state of the room stays. The owner
// does it while nothing else of the room is running.

interface TrimOptions {
  readonly limits: HistoryLimits;
  readonly program: string;
  readonly shown: Shown;
}

/**
 * Removes objects of the room from before an entry that its record no longer names: those dropped now, and those left
 * by a Brain that was killed before it removed them. None is ever stored again, since offsets only grow.
 */
async function removeBefore(
  at: ReducedPlace,
  offset: number,
  listed: string,
  parts: RoomParts,
): Promise<number> {
  const names = (await parts.objects.list()).map(({ name }) => name);
  const entryIn = entriesOfObjects(at.tenant_id, [at.room_id]);
  const gone = names.filter((name) => name !== listed && (entryIn(name) ?? offset) < offset);
  await removeObjects(gone, at, parts);
  return gone.filter((name) => name.startsWith("snapshot-")).length;
}

/** Drops snapshots before this one from the record, then removes them. */
async function dropBefore(loaded: LoadedRoom, from: RoomPoint): Promise<number> {
  const { at, parts, durable, record, revision } = loaded;
  if (record === undefined) return 0;
  const points = await readPoints(record, durable.stream, parts.objects);
  const kept = points.filter(({ offset }) => offset >= from.offset);
  const named = kept.map((point) => objectOf(at, point));
  const previous = named.includes(record.previous) ? record.previous : "";
  // The list's name contains the last point: it is another object only if that changed.
  const listed = await writePoints(at, durable.stream, kept, parts.objects);
  const next = { ...record, previous, points: listed, fork: null };
  const key = [at.tenant_id, at.room_id];
  loaded.revision = await parts.records.update(key, encodeRecord(next), revision);
  loaded.record = next;
  return await removeBefore(at, from.offset, listed, parts);
}

/**
 * Removes everything before the last snapshot that is not after the entry `before`; if absent, before a new snapshot.
 * Returns the start of the kept past, and how much was removed.
 */
export async function trimRoom(
  at: ReducedPlace,
  before: number | undefined,
  parts: RoomParts,
  { limits, program, shown }: TrimOptions,
): Promise<object> {
  const loaded = await loadRoom(at, shown, parts);
  try {
    const { durable, standing } = loaded;
    // The source of changes of visible values is about to go.
    await publishRemaining({ loaded, shown });
    const is_all = before === undefined || before >= standing.offset;
    if (is_all) {
      // After a message without entries no message with entries has to stay.
      await appendNothing(loaded, program);
      await storeSnapshot(loaded, limits);
    }
    const points = await readPoints(loaded.record, durable.stream, parts.objects);
    const from = points.findLast(({ offset }) => is_all || offset <= before);
    if (from === undefined) return { offset: 0, messages: 0, snapshots: 0 };
    const snapshots = await dropBefore(loaded, from);
    const stored = await durable.count(at.log_room_id, 1);
    const keep = is_all ? 1 : Math.max(1, await durable.count(at.log_room_id, from.position + 1));
    if (keep < stored) await durable.trim(at.log_room_id, keep);
    return { offset: from.offset, messages: Math.max(0, stored - keep), snapshots };
  } finally {
    parts.host.close(loaded.handle);
  }
}

// A repair, at an operator's request, of a room whose log has lost entries: it continues from the newest readable
// state, as if the missing entries had changed nothing. A readable room stays as it is.

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
  const read = log.map(([message]) => message);
  const marks = await eventsPublished(durable, at, record, read, batches);
  const found = await newestState(at, durable, batches, record, parts);
  const { handle, standing: begin, done } = found;
  try {
    const last = Math.max(
      begin.offset,
      record?.offset ?? 0,
      marks.published.offset,
      ...batches.slice(-1).map(({ after, entries }) => after + entries.length),
    );
    // The repair is an entry itself: subscribers with the last one see that values do not continue from there.
    const lost = last > begin.offset ? { from: begin.offset + 1, to: last } : undefined;
    const standing = lost === undefined ? begin : await parts.host.skip(handle, last + 1);
    const losses = lost === undefined ? [] : [{ ...lost, at_ms: parts.now() }];
    const begun = { at, parts, durable, handle, standing, position: newest, ...marks };
    const loaded = roomOf({
      ...begun,
      record: record && { ...record, lost: [...record.lost, ...losses].slice(-LOST_MAX) },
      revision: stored?.revision ?? 0,
    });
    loaded.program = await programAt(begin.offset, { batches, done, record }, parts);
    loaded.kept = undefined;
    // Lost entries produce no events; earlier ones are published now.
    await publishEvents(loaded, dueEvents(done, marks.published));
    await storeSnapshot(loaded, limits);
    return { lost: lost ?? null, offset: standing.offset, from_snapshot: begin.offset };
  } finally {
    parts.host.close(handle);
  }
}
