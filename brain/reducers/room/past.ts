/**
 * The state of a room after an entry of its log: the nearest stored state, and the entries since, applied by their own
 * programs. A fork starts from the state of another room. Changes nothing.
 */
import { ArqonError } from "@arqon/proto";
import { reducerRoomOf } from "../../../shared/rooms/reserved.ts";
import type { ProgramName, RoomFork, RoomRecord } from "../../../shared/records/reducer_record.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import { type Batch, foldable } from "../log/batch.ts";
import type { LogEntry } from "../state/room_state.ts";
import type { OpenRoom } from "../thread/host.ts";
import type { RoomStanding } from "../thread/protocol.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";
import {
  batchOf,
  isUnreadable,
  logFloor,
  objectOf,
  readPoints,
  recordOf,
  unreadable,
} from "./stored_data.ts";

/** Bytes of the first page of messages; each later one is twice as long: the entry is usually near. */
const READ_BYTES = 131_072;
const READ_BYTES_MAX = 4_194_304;
const READ_MESSAGES = 512;
/** The most entries to apply: snapshots are nearer, unless their number is limited far too low. */
const ENTRIES_MAX = 100_000;
/** Applies all entries, and collects no visible changes. */
export const FOLDING = { may_stop: false, shown: [] };
/** The longest chain of forks that is followed. */
const DEPTH_MAX = 16;

/** A position in a room's log: after the last entry that is not past it. */
export interface Wanted {
  readonly offset: number;
  readonly time_ms: number;
}

/** An entry that is not applied yet, so that its effect can be shown. */
export interface NextEntry {
  readonly entry: LogEntry;
  readonly program: string;
}

/** The start of a fork, and the program of its last entry. */
export interface ForkedRoom extends OpenRoom {
  /** Absent: it has no entry. */
  readonly program?: ProgramName | undefined;
}

/** An earlier state, kept in the worker. The caller closes it. */
export interface PastRoom extends ForkedRoom {
  /** The wanted entry; undefined: the state includes it, or there is none. */
  readonly next: NextEntry | undefined;
  /** The next batch of the log; undefined: none, or nobody has looked. */
  readonly behind: Batch | undefined;
}

interface Beginning {
  /** "": the first state of the room. */
  readonly object: string;
  readonly offset: number;
  readonly time_ms: number;
  readonly position: number;
}

/** The possible starts of a fold of the log, earliest first. */
async function beginningsOf(
  at: ReducedPlace,
  record: RoomRecord | undefined,
  durable: DurableLog,
  parts: RoomParts,
): Promise<readonly Beginning[]> {
  const floor = await logFloor(durable, at.log_room_id);
  const points = await readPoints(record, durable.stream, parts.objects);
  const stored = points.map((point): Beginning => ({ ...point, object: objectOf(at, point) }));
  const known = record?.snapshot ?? "";
  if (record !== undefined && known !== "" && !stored.some(({ object }) => object === known)) {
    const position = record.stream === durable.stream ? record.position : 0;
    stored.push({ object: known, offset: record.offset, time_ms: 0, position });
  }
  const origin = record?.fork?.offset ?? 0;
  const { states: begins, is_whole } = foldable(stored, { floor, origin });
  const first = { object: "", offset: origin, time_ms: 0, position: 0 };
  return is_whole ? [first, ...begins] : begins;
}

const isPast = ({ offset, time_ms }: Wanted, wanted: Wanted) =>
  offset > wanted.offset || time_ms > wanted.time_ms;

/** Applies messages of the log to an open room, one after the other. */
class Fold {
  readonly #parts: RoomParts;
  readonly #handle: number;
  readonly #wanted: Wanted;
  standing: RoomStanding;
  /** The batch after the wanted entry. */
  behind: Batch | undefined;
  /** Queued until it is known whether it is the last. */
  #held: { readonly entries: readonly LogEntry[]; readonly batch: Batch } | undefined;
  #count = 0;

  constructor({ handle, standing }: OpenRoom, wanted: Wanted, parts: RoomParts) {
    this.#handle = handle;
    this.standing = standing;
    this.#wanted = wanted;
    this.#parts = parts;
  }

  /** Takes a message of the log. False: the next one is past the wanted entry. */
  async take(batch: Batch): Promise<boolean> {
    const last = this.#held?.entries.at(-1)?.offset ?? this.standing.offset;
    if (batch.after + batch.entries.length <= last) return true;
    if (batch.after > last) {
      throw unreadable(`entries ${last + 1} to ${batch.after} of the room's log are gone`);
    }
    await this.#apply(0);
    let time_ms = this.standing.time_ms;
    const entries = batch.entries.filter((entry) => {
      time_ms = Math.max(time_ms, entry.time_ms);
      return entry.offset > last && !isPast({ offset: entry.offset, time_ms }, this.#wanted);
    });
    this.#count += entries.length;
    if (this.#count > ENTRIES_MAX) {
      throw new ArqonError("invalid-command", `more than ${ENTRIES_MAX} entries behind a snapshot`);
    }
    if (entries.length > 0) this.#held = { entries, batch };
    else this.behind ??= batch;
    const end = entries.at(-1)?.offset;
    return end === batch.after + batch.entries.length && end < this.#wanted.offset;
  }

  /** Applies the queued entries except the last, which it returns. */
  async last(): Promise<NextEntry | undefined> {
    const entry = this.#held?.entries.at(-1);
    if (this.#held === undefined || entry === undefined) return undefined;
    const { program } = this.#held.batch;
    await this.#apply(1);
    return { entry, program };
  }

  async #apply(left: number): Promise<void> {
    if (this.#held === undefined) return;
    const { entries, batch } = this.#held;
    this.#held = undefined;
    const own = entries.slice(0, entries.length - left);
    if (own.length === 0) return;
    const program = await this.#parts.programById(batch.program);
    const { standing } = await this.#parts.host.apply(this.#handle, program, own, FOLDING);
    this.standing = standing;
    const is_end = standing.offset === batch.after + batch.entries.length;
    if (is_end && standing.chain !== batch.chain.toHex()) {
      throw unreadable(`entry ${standing.offset} has a different result than when it was written`);
    }
  }
}

async function foldTo(
  open: ForkedRoom,
  at: ReducedPlace,
  { durable, position }: { readonly durable: DurableLog; readonly position: number },
  wanted: Wanted,
  parts: RoomParts,
): Promise<PastRoom> {
  const fold = new Fold(open, wanted, parts);
  let after = position;
  pages: for (let max_bytes = READ_BYTES;; max_bytes = Math.min(max_bytes * 2, READ_BYTES_MAX)) {
    const page = await durable.read(at.log_room_id, { after, limit: READ_MESSAGES, max_bytes });
    for (const message of page.messages) {
      after = message.offset;
      if (!await fold.take(batchOf(message))) break pages;
    }
    if (!page.more || page.messages.length === 0) break;
  }
  const next = await fold.last();
  return { ...open, standing: fold.standing, next, behind: fold.behind };
}

/**
 * Opens a room in the state before the last entry that is not past the wanted position. Rejects with `log-unavailable`
 * if that is not retained, and with errors of storage and worker.
 */
export async function openPast(
  at: ReducedPlace,
  wanted: Wanted,
  parts: RoomParts,
  depth = 0,
): Promise<PastRoom> {
  if (depth > DEPTH_MAX) throw unreadable(`more than ${DEPTH_MAX} forks of forks`);
  const durable = await parts.openLog(at.tenant_id);
  const record = await recordOf(at, parts);
  const fork = record?.fork ?? undefined;
  // The entry itself is to be shown, so the state before it is needed.
  const before = { ...wanted, offset: Math.max(0, wanted.offset - 1) };
  if (fork !== undefined && isPast({ offset: fork.offset, time_ms: 0 }, before)) {
    try {
      return await openPast(await sourceOf(at, fork, parts), wanted, parts, depth + 1);
    } catch (error) {
      // The start of the fork may be in a snapshot of its own.
      if (!isUnreadable(error) || wanted.offset < fork.offset) throw error;
    }
  }
  const begins = await beginningsOf(at, record, durable, parts);
  let gone = unreadable(`what ${at.room_id} was then is not kept`);
  // If that is not retained, the state stored after the entry still has its values.
  for (const most of [before, wanted]) {
    for (const one of begins.toReversed()) {
      if (isPast(one, most)) continue;
      const open = await openBeginning(at, one, record, parts, depth).catch((error) => {
        if (!isUnreadable(error)) throw error;
        // A fork's start went with the past of the other room; its own snapshots did not.
        gone = error;
        return undefined;
      });
      if (open === undefined) continue;
      try {
        if (!isPast(open.standing, most)) {
          return await foldTo(open, at, { durable, position: one.position }, wanted, parts);
        }
      } catch (error) {
        parts.host.close(open.handle);
        throw error;
      }
      parts.host.close(open.handle);
      if (fork !== undefined && one.object === "") {
        return await openPast(await sourceOf(at, fork, parts), wanted, parts, depth + 1);
      }
    }
  }
  throw gone;
}

async function openBeginning(
  at: ReducedPlace,
  { object }: Beginning,
  record: RoomRecord | undefined,
  parts: RoomParts,
  depth: number,
): Promise<ForkedRoom | undefined> {
  if (object === "") {
    return record?.fork
      ? await openFork(at, record.fork, parts, depth + 1)
      : await parts.host.open(at, undefined);
  }
  const snapshot = await parts.objects.get(object);
  if (snapshot === undefined) return undefined;
  const open = await parts.host.open(at, snapshot);
  return record?.snapshot === object ? { ...open, program: record.program } : open;
}

/** The last entry of a room; 0: none. */
export async function newestEntry(at: ReducedPlace, parts: RoomParts): Promise<number> {
  const record = await recordOf(at, parts);
  const { last } = await (await parts.openLog(at.tenant_id)).head(at.log_room_id);
  const newest = last && batchOf(last);
  return Math.max(newest ? newest.after + newest.entries.length : 0, record?.offset ?? 0);
}

/** Whether an entry can be reached from a stored state; applies nothing. */
export async function isReachable(
  at: ReducedPlace,
  offset: number,
  parts: RoomParts,
): Promise<boolean> {
  const record = await recordOf(at, parts);
  const fork = record?.fork ?? undefined;
  const source = fork && await sourceOf(at, fork, parts).catch((error) => {
    if (!isUnreadable(error)) throw error;
    return undefined;
  });
  if (fork && source && offset <= fork.offset && await isReachable(source, offset, parts)) {
    return true;
  }
  const durable = await parts.openLog(at.tenant_id);
  const begins = await beginningsOf(at, record, durable, parts);
  const before = begins.filter((one) => one.offset <= offset);
  if (fork === undefined || before.some(({ object }) => object !== "")) return before.length > 0;
  return before.length > 0 && source !== undefined &&
    await isReachable(source, fork.offset, parts);
}

/**
 * The program of a state: the one stored with it, or that of the next batch in the log, which is the same or took over
 * without a migration, as it would in a fork.
 */
async function programOf(
  { program, behind }: PastRoom,
  room_id: string,
  parts: RoomParts,
): Promise<ProgramName | undefined> {
  if (program !== undefined || behind === undefined) return program;
  if (behind.entries[0]?.kind !== "migrate") return await parts.programById(behind.program);
  throw unreadable(`the program of ${room_id} before entry ${behind.after + 1} is not kept`);
}

/** The state that a fork begins with. Rejects with `log-unavailable` if the other room's past is not retained. */
export async function openFork(
  at: ReducedPlace,
  fork: RoomFork,
  parts: RoomParts,
  depth = 0,
): Promise<ForkedRoom> {
  const { room_id, offset, with_timers } = fork;
  const wanted = { offset, time_ms: Infinity };
  const past = await openPast(await sourceOf(at, fork, parts), wanted, parts, depth);
  const { handle, standing, next } = past;
  try {
    const applied = next && await parts.programById(next.program);
    if (applied !== undefined) await parts.host.apply(handle, applied, [next!.entry], FOLDING);
    const program = applied ?? await programOf(past, room_id, parts);
    const reached = next?.entry.offset ?? standing.offset;
    if (reached !== offset) throw unreadable(`entry ${offset} of ${room_id} is gone`);
    const own = await parts.host.become(handle, at.room_id, with_timers);
    return { handle, standing: own, program };
  } catch (error) {
    parts.host.close(handle);
    throw error;
  }
}

/** The room in which a fork began. Rejects with `log-unavailable` if it was erased since, and perhaps begun again. */
async function sourceOf(
  { tenant_id }: Pick<ReducedPlace, "tenant_id">,
  { room_id, life }: RoomFork,
  parts: RoomParts,
): Promise<ReducedPlace> {
  const source = { tenant_id, room_id, log_room_id: reducerRoomOf(room_id)! };
  const record = await recordOf(source, parts);
  if (record?.life === life) return source;
  throw unreadable(`what ${room_id} was then is not kept`);
}
