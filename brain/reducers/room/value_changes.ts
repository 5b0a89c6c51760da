/**
 * Publishes the changes of a room's visible values in the room beside it, each after its last known message, so that a
 * former owner is refused. A header has the entry up to which everything is published: a new owner continues there.
 * Does nothing for classes without visible values.
 */
import { valuesRoomOf } from "../../../shared/rooms/reserved.ts";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import type { LoadedRoom, PublishedValues } from "./loaded_room.ts";
import { scopeIn, type Shown } from "../visible/shown.ts";
import {
  type EntryChanges,
  unchangedMessage,
  type ValueMessage,
  valueMessages,
} from "../visible/value_messages.ts";

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
  { loaded: { durable, at: { tenant_id, room_id }, parts } }: ShownRoom,
  published: PublishedValues,
  { data, published_to: entry }: ValueMessage,
): Promise<void> {
  const values_room_id = valuesRoomOf(room_id)!;
  const { now, random } = parts;
  const payload = systemEnvelope({ now, random }, {
    tenant_id,
    room_id: values_room_id,
    event: { type: VALUES_TYPE, data, content_type: "application/json" },
  });
  const options = { headers: { [PUBLISHED_HEADER]: String(entry) }, expected_last: published.tail };
  published.tail = (await durable.append(values_room_id, payload, options)).offset;
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
