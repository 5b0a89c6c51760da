/**
 * Publishes the changes of a room's visible values in the room beside it, each after its last known message, so that a
 * former owner is refused. A header has the entry up to which everything is published: a new owner continues there.
 * Does nothing for classes without visible values.
 */
import { valuesRoomOf } from "../../../shared/rooms/reserved.ts";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import type { RoomRecord } from "../../../shared/records/reducer_record.ts";
import type { LoadedRoom, PublishedValues, ReducedPlace, RoomParts } from "./loaded_room.ts";
import { scopeIn, type Shown, type ShownValue, valueJson } from "../visible/shown.ts";
import { ArqonError, isJson, utf8OrUndefined } from "@arqon/proto";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { pagesBack } from "../../../shared/spine/contract/read_page.ts";
import type { RoomEvent } from "../state/room_state.ts";
import type { Applied } from "../thread/protocol.ts";
import {
  type Batch,
  type EventMark,
  EVENTS_END,
  isBehind,
  laterOf,
  NO_EVENT,
} from "../log/batch.ts";
import { batchOf, recordOf } from "./stored_data.ts";

// Events of entries are published exactly once and in order, whoever published before: each is stored after the last
// known message, with a header that identifies it. An owner that is too late gets a conflict from the log, and reads
// how far the other one got.

/** Spine header of an event: the entry and the index of the event, `12.1`. Clients cannot write it. */
const EVENT_HEADER = "x-arqon-entry";
/** A page that is read back. */
const READ = { limit: 64, max_bytes: 1_048_576 };
/** Events stored together, and their approximate bytes. */
const TOGETHER_EVENTS = 256;
const TOGETHER_BYTES = 524_288;
/** Conflicts with another owner before publishing fails. */
const ATTEMPTS = 64;

/** An unpublished event. */
export interface DueEvent extends EventMark {
  readonly event: RoomEvent;
  /** The room's time at its entry. */
  readonly time_ms: number;
}

/** The type of a reducer's bytes: JSON, other text, or binary. */
export function contentOf(data: Uint8Array): { readonly type: string; readonly text?: string } {
  const text = utf8OrUndefined(data);
  if (text === undefined) return { type: "application/octet-stream" };
  return { type: isJson(text) ? "application/json" : "text/plain", text };
}

/** The events of applied entries after `published`. */
export function dueEvents(applied: readonly Applied[], published: EventMark): DueEvent[] {
  return applied.flatMap(({ offset, time_ms, events }) =>
    events.map((event, at) => ({ offset, index: at + 1, event, time_ms }))
  ).filter((due) => isBehind(due, published));
}

function markOf(header: string | undefined): EventMark | undefined {
  const [, offset, index] = /^(\d{1,16})\.(\d{1,8})$/.exec(header ?? "") ?? [];
  return offset === undefined ? undefined : { offset: Number(offset), index: Number(index) };
}

/**
 * The last event before a message of the room that was erased, by the room's log. It is unknown which event it was, and
 * none may come back: all events of entries before it count.
 */
function beforeErased(log: readonly LogMessage[], erased: number): EventMark {
  const last = log.findLast(({ offset }) => offset < erased);
  if (last === undefined) return NO_EVENT;
  const { after, entries } = batchOf(last);
  return { offset: after + entries.length, index: EVENTS_END };
}

/** The room's newest message, and the last event that was published, at least `noted`. `log` is the room's log. */
async function publishedIn(
  durable: DurableLog,
  room_id: string,
  noted: EventMark,
  log: readonly LogMessage[] = [],
): Promise<{ readonly tail: number; readonly published: EventMark }> {
  const { last, erased = 0 } = await durable.head(room_id);
  const gone = beforeErased(log, erased);
  const known = laterOf(gone, noted);
  if (last === undefined) return { tail: 0, published: known };
  let found = markOf(last.headers[EVENT_HEADER]);
  if (found === undefined) {
    const from = { before: last.offset, ...READ };
    for await (const { messages } of pagesBack(durable, room_id, from)) {
      for (const { headers } of messages) found = markOf(headers[EVENT_HEADER]) ?? found;
      if (found !== undefined) break;
    }
  }
  return { tail: last.offset, published: laterOf(found ?? known, known) };
}

/** How far events were published by the room's record, its log and the room itself, and the room's newest message. */
export async function eventsPublished(
  durable: DurableLog,
  { room_id }: ReducedPlace,
  record: RoomRecord | undefined,
  log: readonly LogMessage[],
  batches: readonly Batch[],
): Promise<Pick<LoadedRoom, "noted" | "published" | "tail">> {
  const noted = batches.map(({ published }) => published)
    .reduce(laterOf, record?.published ?? NO_EVENT);
  return { noted, ...await publishedIn(durable, room_id, noted, log) };
}

function envelopeOf(
  { tenant_id, room_id }: ReducedPlace,
  { event: { type, data, to }, offset, index, time_ms }: DueEvent,
  { random }: RoomParts,
): Uint8Array {
  return systemEnvelope({ now: () => time_ms, random }, {
    tenant_id,
    room_id,
    message_id: `${offset}.${index}`,
    headers: to === "" ? {} : { "x-to": to },
    event: { type, data, content_type: contentOf(data).type },
  });
}

/** The first events that are stored together, at least one. */
function together(due: readonly DueEvent[]): readonly DueEvent[] {
  let bytes = 0;
  const end = due.findIndex(({ event: { data, type } }, at) => {
    bytes += data.length + type.length;
    return at > 0 && (at === TOGETHER_EVENTS || bytes > TOGETHER_BYTES);
  });
  return end < 0 ? due : due.slice(0, end);
}

/** Whether the room was erased since it was read: its log shows no owner then, and its events must not come back. */
const isErased = async ({ at, parts, life }: LoadedRoom): Promise<boolean> =>
  (await recordOf(at, parts))?.life !== life;

/**
 * Publishes messages after a room's newest one, and returns the offset of the last. The first ones of a room are taken
 * back if it was erased before they were stored: it was as empty before. Later ones are refused then.
 */
async function appendAfter(
  loaded: LoadedRoom,
  room_id: string,
  messages: Parameters<DurableLog["appendAll"]>[1],
  tail: number,
): Promise<number> {
  const { offset } = await loaded.durable.appendAll(room_id, messages, tail);
  if (tail > 0 || !await isErased(loaded)) return offset;
  await loaded.durable.trim(room_id, { through: offset });
  throw new ArqonError("version-conflict");
}

/** Publishes the events after the last published one. Rejects as the log does. */
export async function publishEvents(loaded: LoadedRoom, due: readonly DueEvent[]): Promise<void> {
  const { at, parts, durable } = loaded;
  let left = due;
  for (let attempt = 1;; attempt++) {
    left = left.filter((one) => isBehind(one, loaded.published));
    const some = together(left);
    const last = some.at(-1);
    if (last === undefined) return;
    const messages = some.map((one) => {
      const headers = { [EVENT_HEADER]: `${one.offset}.${one.index}` };
      return { payload: envelopeOf(at, one, parts), headers };
    });
    try {
      loaded.tail = await appendAfter(loaded, at.room_id, messages, loaded.tail);
      loaded.published = { offset: last.offset, index: last.index };
      parts.metrics.events.inc(some.length);
      attempt = 0;
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS || await isErased(loaded)) throw error;
      Object.assign(loaded, await publishedIn(durable, at.room_id, loaded.published));
    }
  }
}

/** Spine header of a message: the entry up to which changes are published. Clients cannot write it. */
const PUBLISHED_HEADER = "x-arqon-told";
/** The type of such a message. */
const VALUES_TYPE = "values";

/** A room, and what is shown of it. */
export interface ShownRoom {
  readonly loaded: LoadedRoom;
  readonly shown: Shown;
}

const scopeOf = ({ shown, loaded: { durable, life } }: ShownRoom) =>
  scopeIn(shown, durable.stream, life);

async function publish(
  { loaded }: ShownRoom,
  published: PublishedValues,
  { data, published_to: entry }: ValueMessage,
): Promise<void> {
  const { at: { tenant_id, room_id }, parts } = loaded;
  const values_room_id = valuesRoomOf(room_id)!;
  const { now, random } = parts;
  const payload = systemEnvelope({ now, random }, {
    tenant_id,
    room_id: values_room_id,
    event: { type: VALUES_TYPE, data, content_type: "application/json" },
  });
  const message = { payload, headers: { [PUBLISHED_HEADER]: String(entry) } };
  published.tail = await appendAfter(loaded, values_room_id, [message], published.tail);
  published.entry = entry;
  parts.metrics.value_messages.inc();
}

/** How far changes were published by a former owner; at least `known`, before which it is unknown. */
async function publishedEarlier(room: ShownRoom, known: number): Promise<PublishedValues> {
  const { last } = await room.loaded.durable.head(valuesRoomOf(room.loaded.at.room_id)!);
  const published = {
    entry: Number(last?.headers[PUBLISHED_HEADER] ?? 0),
    tail: last?.offset ?? 0,
  };
  // A subscriber with older values sees a gap here, and reads them again.
  if (published.entry < known) {
    await publish(room, published, unchangedMessage(scopeOf(room), known, known));
  }
  return published;
}

/**
 * How far changes are published, or undefined if the room shows nothing. `known`: everything after it is published
 * here.
 */
export async function publishedValuesOf(
  room: ShownRoom,
  known: number,
): Promise<PublishedValues | undefined> {
  const { loaded, shown } = room;
  if (shown.prefixes.length === 0 || valuesRoomOf(loaded.at.room_id) === undefined) {
    return loaded.published_values = undefined;
  }
  return loaded.published_values ??= await publishedEarlier(room, known);
}

/** Publishes the changes of entries after `known`. Rejects as the log does. */
export async function publishChanges(
  room: ShownRoom,
  known: number,
  entries: readonly EntryChanges[],
): Promise<void> {
  const published = await publishedValuesOf(room, known);
  if (published === undefined) return;
  if (!entries.some(({ changes }) => changes.length > 0)) return;
  for (const message of valueMessages(scopeOf(room), published.entry, entries)) {
    await publish(room, published, message);
  }
}

/** Publishes all remaining changes, before their source is removed. */
export async function publishRemaining(room: ShownRoom): Promise<void> {
  const { loaded: { published_values: published, standing } } = room;
  if (published === undefined || published.entry >= standing.offset) return;
  await publish(room, published, unchangedMessage(scopeOf(room), published.entry, standing.offset));
}

// Each message covers the entries after the one before. A subscriber with the values of entry `after` that applies
// all parts of a message has those of `to`.

/** Approximate bytes of keys and values of one message: a value is never split. */
const MESSAGE_BYTES = 131_072;
/** Approximate bytes of an entry, a change and quotes. */
const CHANGE_BYTES = 32;

/** The visible changes of one entry, by its offset. */
interface EntryChanges {
  readonly offset: number;
  readonly changes: readonly ShownValue[];
}

/** A message, and the entry up to which everything is published with it. */
interface ValueMessage {
  readonly data: Uint8Array;
  readonly published_to: number;
}

interface Draft {
  readonly to: number;
  readonly part: number;
  readonly more: boolean;
  readonly changes: readonly string[];
}

const encoder = new TextEncoder();

function messageOf(scope: string, after: number, draft: Draft): ValueMessage {
  const { to, part, more, changes } = draft;
  const parts = part > 1 || more ? `,"part":${part}` : "";
  const text = `{"scope":"${scope}","after":${after},"to":${to}${parts}` +
    `${more ? `,"more":true` : ""},"changes":[${changes.join()}]}`;
  return { data: encoder.encode(text), published_to: more ? after : to };
}

/** A message without changes: everything up to `to` is published. */
export const unchangedMessage = (scope: string, after: number, to: number): ValueMessage =>
  messageOf(scope, after, { to, part: 1, more: false, changes: [] });

/** The messages for entries after `after`; none if they changed nothing visible. */
export function valueMessages(
  scope: string,
  after: number,
  entries: readonly EntryChanges[],
): ValueMessage[] {
  const messages: ValueMessage[] = [];
  let published_to = after;
  let part = 1;
  let bytes = 0;
  let to = after;
  let changes: string[] = [];
  const close = (more: boolean) => {
    const message = messageOf(scope, published_to, { to, part, more, changes });
    messages.push(message);
    published_to = message.published_to;
    part = more ? part + 1 : 1;
    [bytes, changes] = [0, []];
  };
  for (const entry of entries) {
    if (entry.offset <= after || entry.changes.length === 0) continue;
    if (bytes > MESSAGE_BYTES || part > 1) close(false);
    to = entry.offset;
    for (const [key, value] of entry.changes) {
      if (bytes > MESSAGE_BYTES) close(true);
      changes.push(`[${to},${JSON.stringify(key)},${valueJson(value)}]`);
      bytes += CHANGE_BYTES + key.length + (value?.length ?? 0);
    }
  }
  if (changes.length > 0) close(false);
  return messages;
}
