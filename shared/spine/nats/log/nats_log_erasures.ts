/**
 * What was removed from a stream out of order, which the stream itself does not show. The eraser of single messages
 * writes a mark first, to `LOGS_BUCKET`, and readers check it after the read; a process that observes another client's
 * request (`nats stream rmm`) marks that hole for all rooms of the stream. Purges and lower limits look like removal
 * by age and size in other rooms, so a process subscribes to the requests (`nats stream purge`, `nats stream edit`,
 * and our own trims); earlier requests are unknown.
 */
import { ArqonError } from "@arqon/proto";
import { changeDocument, isConflict } from "../../contract/compare_and_set.ts";
import type { KeyValue, KvEntry, KvKey } from "../../contract/spine.ts";
import { Refusal } from "../connection/nats_errors.ts";
import { fromDirect, type StreamConfig } from "./nats_log_api.ts";
import type { NameTools } from "./nats_log_stream.ts";
import { direct, type Reading } from "./nats_log_read.ts";
import { matchesTokens } from "../../contract/subject_index.ts";

/** The subject of delete requests; the last token is the stream. */
export const DELETE_REQUESTS = "$JS.API.STREAM.MSG.DELETE";
/** The header of requests whose mark is already written. */
export const NOTED = "Arqon-Noted";

/** Messages that are looked up and removed concurrently. */
const AT_ONCE = 32;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

const roomKey = (tenant_id: string, room_id: string): KvKey => ["erased", tenant_id, room_id];
/** The key of the mark for removals by other clients. */
const streamKey = (stream: string): KvKey => ["erased-in", stream];

/** A tenant's rooms in a stream. */
export interface ErasedRooms {
  readonly stream: string;
  readonly tenant_id: string;
  /** Others have rooms there, too. */
  readonly is_shared: boolean;
}

/** The key of the mark for all rooms of the tenant, which names no room. */
const allKey = ({ stream, tenant_id, is_shared }: ErasedRooms): KvKey =>
  is_shared ? [...streamKey(stream), tenant_id] : streamKey(stream);

/** The offset of the mark, if it is of this stream; otherwise 0. */
function markOf(entry: KvEntry | undefined, stream: string): number {
  if (entry === undefined) return 0;
  const mark = JSON.parse(decoder.decode(entry.value));
  return mark.stream === stream ? Number(mark.offset) : 0;
}

async function raise(bucket: KeyValue, key: KvKey, stream: string, offset: number): Promise<void> {
  const value = encoder.encode(JSON.stringify({ stream, offset }));
  await changeDocument(async (mayLose) => {
    const entry = await bucket.get(key);
    if (markOf(entry, stream) >= offset) return;
    await mayLose(bucket.update(key, value, entry?.revision ?? 0));
  });
}

/** The highest offset of the room that was erased out of order; 0: none. */
export async function erasedThrough(
  names: NameTools,
  rooms: ErasedRooms,
  room_id: string,
): Promise<number> {
  const { stream, tenant_id, is_shared } = rooms;
  const bucket = await names.bucket();
  const keys = [roomKey(tenant_id, room_id), streamKey(stream)];
  if (is_shared) keys.push(allKey(rooms));
  const entries = await Promise.all(keys.map((key) => bucket.get(key)));
  return Math.max(...entries.map((entry) => markOf(entry, stream)));
}

/** As `DurableLog.forgetNames`. */
export async function forgetNames(names: NameTools, rooms: ErasedRooms): Promise<void> {
  const { stream, tenant_id } = rooms;
  const bucket = await names.bucket();
  for (const key of await bucket.keys(["erased", tenant_id])) {
    const entry = await bucket.get(key);
    if (entry === undefined) continue;
    await raise(bucket, allKey(rooms), stream, markOf(entry, stream));
    try {
      await bucket.delete(key, entry.revision);
    } catch (error) {
      // Raised meanwhile by an erasure that this one has not seen.
      if (!isConflict(error)) throw error;
    }
  }
}

/** Marks the hole of another client's request. */
export async function noteForeign(
  names: NameTools,
  stream: string,
  request: Uint8Array,
): Promise<void> {
  const { seq } = JSON.parse(decoder.decode(request));
  if (!Number.isSafeInteger(seq) || seq <= 0) return;
  await raise(await names.bucket(), streamKey(stream), stream, seq);
}

/** The room of a stream whose messages are erased. */
interface ErasedRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly subject: string;
}

/** As `DurableLog.erase`, for few enough messages that one request stays short. */
export async function eraseSome(
  names: NameTools,
  reading: Reading,
  { tenant_id, room_id, subject }: ErasedRoom,
  offsets: readonly number[],
): Promise<number> {
  const { api, stream, timeout_ms } = reading;
  const is_there = await Promise.all(offsets.map(async (seq) => {
    const question = { next_by_subj: subject, seq, batch: 1, max_bytes: 1 };
    const { messages: [found] } = await direct(reading, question);
    return found !== undefined && fromDirect(found).offset === seq;
  }));
  const there = offsets.filter((_, at) => is_there[at]);
  if (there.length === 0) return 0;
  const { config } = await api.info(stream, timeout_ms);
  if (config.deny_delete === true) {
    throw new ArqonError(
      "settings-conflict",
      `the stream ${stream} lets nobody remove single messages, and NATS takes that back for nobody; remove the ` +
        "room's messages up to them with through",
    );
  }
  await raise(await names.bucket(), roomKey(tenant_id, room_id), stream, Math.max(...there));
  const removed = await Promise.all(there.map((seq) => remove(reading, seq)));
  return removed.filter((was_there) => was_there).length;
}

/** Removes the message and its bytes. False: another request removed it first. */
async function remove({ api, stream, timeout_ms }: Reading, seq: number): Promise<boolean> {
  try {
    await api.erase(stream, seq, { [NOTED]: "1" }, timeout_ms);
    return true;
  } catch (error) {
    const is_gone = error instanceof Refusal &&
      await api.messageAt(stream, { seq }, timeout_ms) === undefined;
    if (!is_gone) throw error;
    return false;
  }
}

/** The offsets, each once, in parts for `eraseSome`. */
export function inParts(offsets: readonly number[]): number[][] {
  const parts: number[][] = [];
  const each = [...new Set(offsets)].filter((offset) => offset > 0).sort((a, b) => a - b);
  for (let at = 0; at < each.length; at += AT_ONCE) parts.push(each.slice(at, at + AT_ONCE));
  return parts;
}

/** The subject of purge requests; the last token is the stream. Any permitted subscriber receives them. */
export const PURGE_REQUESTS = "$JS.API.STREAM.PURGE";
/** The same for a change of its configuration. */
export const UPDATE_REQUESTS = "$JS.API.STREAM.UPDATE";
/** After this time the server has completed a request, ms. */
const DONE_MS = 30_000;
/** The most filters that are remembered; above, everything counts as purged. */
const FILTERS_MAX = 1_000;
/** The filter for everything. */
export const ALL = ">";

/** The subjects that a request purges; `>` for all, and for an unreadable request. */
export function filterOf(request: Uint8Array): string {
  try {
    const { filter } = JSON.parse(decoder.decode(request));
    return typeof filter === "string" && filter !== "" ? filter : ALL;
  } catch {
    return ALL;
  }
}

/** The limits that remove messages when lowered; 0 and less: no limit. */
const LIMITS = ["max_msgs_per_subject", "max_msgs", "max_bytes", "max_age"] as const;
/** The limits of a stream. */
export type StreamLimits = Readonly<Partial<Record<typeof LIMITS[number], number>>>;

const limitOf = (limit: unknown): number =>
  typeof limit === "number" && limit > 0 ? limit : Infinity;

/** The configuration that a request asks for; empty if it cannot be read. */
export function configIn(request: Uint8Array): Partial<StreamConfig> {
  try {
    return JSON.parse(decoder.decode(request));
  } catch {
    return {};
  }
}

/** Whether a change of the stream lowers one of its limits; true also if unknown. */
export function isLowered(config: StreamLimits, known: StreamLimits | undefined): boolean {
  return known === undefined || LIMITS.some((of) => limitOf(config[of]) < limitOf(known[of]));
}

/** Whether a subject without wildcards matches the filter. */
export const isOf = (subject: string, filter: string): boolean =>
  matchesTokens(filter.split("."), subject.split("."));

interface Purge {
  /** The offset up to which it may have removed messages. */
  readonly through: number;
  /** Monotonic time of the request. */
  readonly noticed_ms: number;
}

/** The purges of one stream. */
export class Purges {
  /** By filter. */
  readonly #purges = new Map<string, Purge>();
  /** The offset from which purges are observed. */
  #since = Infinity;

  /** Records that every purge is observed from now on; the log's highest offset is `offset`. */
  listen(offset: number): void {
    // One that has just been requested may still be under way.
    for (const [filter, { through }] of this.#purges) {
      if (through <= offset) this.#purges.delete(filter);
    }
    this.#since = offset;
  }

  /** Discards the observations: some requests may have been missed. */
  deafen(): void {
    this.listen(Infinity);
  }

  noteRequest(filter: string, now_ms: number): void {
    if (this.#purges.size >= FILTERS_MAX && !this.#purges.has(filter)) {
      this.#purges.clear();
      filter = ALL;
    }
    this.#purges.set(filter, { through: Infinity, noticed_ms: now_ms });
  }

  /** Records the log's highest offset at `asked_ms`: purges well before that removed only lower offsets. */
  note(offset: number, asked_ms: number): void {
    for (const [filter, { through, noticed_ms }] of this.#purges) {
      if (through !== Infinity || asked_ms - noticed_ms < DONE_MS) continue;
      this.#purges.set(filter, { through: offset, noticed_ms });
    }
  }

  /** The offset above which no purge has removed messages of the subject. */
  through(subject: string): number {
    let most = this.#since;
    for (const [filter, { through }] of this.#purges) {
      if (through > most && isOf(subject, filter)) most = through;
    }
    return most;
  }
}
