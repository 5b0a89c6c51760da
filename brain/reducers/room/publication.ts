/**
 * Publishes the events of a room's entries exactly once and in order, whoever published before: each is stored after
 * the room's last known message, with a header that identifies it. An owner that is too late gets a conflict from the
 * log, and reads how far the other one got.
 */
import { isJson } from "@arqon/proto";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { plainText } from "../state/canonical.ts";
import type { RoomEvent } from "../state/entry.ts";
import type { Applied } from "../thread/protocol.ts";
import { type EventMark, EVENTS_END, isBehind, NO_EVENT } from "../log/batch.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import { batchOf } from "./stored_data.ts";

/** Spine header of an event: the entry and the index of the event, `12.1`. Clients cannot write it. */
const EVENT_HEADER = "x-arqon-entry";
/** Messages per page read back, and their bytes. */
const READ_MESSAGES = 64;
const READ_BYTES = 1_048_576;
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

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The type of a reducer's bytes: JSON, other text, or binary. */
export function contentOf(data: Uint8Array): { readonly type: string; readonly text?: string } {
  let text = plainText(data, 0, data.length);
  try {
    text ??= strict.decode(data);
  } catch {
    return { type: "application/octet-stream" };
  }
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
export async function publishedIn(
  durable: DurableLog,
  room_id: string,
  noted: EventMark,
  log: readonly LogMessage[] = [],
): Promise<{ readonly tail: number; readonly published: EventMark }> {
  const { last, erased = 0 } = await durable.head(room_id);
  const gone = beforeErased(log, erased);
  const known = isBehind(gone, noted) ? gone : noted;
  if (last === undefined) return { tail: 0, published: known };
  let found = markOf(last.headers[EVENT_HEADER]);
  for (let before = last.offset; found === undefined;) {
    const limits = { before, limit: READ_MESSAGES, max_bytes: READ_BYTES };
    const { messages, more } = await durable.readBack(room_id, limits);
    for (const { headers } of messages) found = markOf(headers[EVENT_HEADER]) ?? found;
    const [oldest] = messages;
    if (!more || oldest === undefined) break;
    before = oldest.offset;
  }
  const published = found !== undefined && isBehind(found, known) ? found : known;
  return { tail: last.offset, published };
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
      const appended = await durable.appendAll(at.room_id, messages, loaded.tail);
      loaded.tail = appended.offset;
      loaded.published = { offset: last.offset, index: last.index };
      parts.metrics.events.inc(some.length);
      attempt = 0;
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS) throw error;
      Object.assign(loaded, await publishedIn(durable, at.room_id, loaded.published));
    }
  }
}
