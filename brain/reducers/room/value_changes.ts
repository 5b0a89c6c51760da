/**
 * Publishes the changes of a room's visible values in the room beside it, each after its last known message, so that a
 * former owner is refused. A header has the entry up to which everything is published: a new owner continues there.
 * Does nothing for classes without visible values.
 */
import { valuesRoomOf } from "../../../shared/rooms/values_room.ts";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import { scopeIn, type Shown } from "../visible/shown.ts";
import {
  type EntryChanges,
  nothingTold,
  type ValueMessage,
  valueMessages,
} from "../visible/value_messages.ts";

/** Spine header of a message: the entry up to which changes are published. Clients cannot write it. */
const TOLD_HEADER = "x-arqon-told";
/** The type of such a message. */
const VALUES_TYPE = "values";

/** How far changes are published. */
export interface Told {
  entry: number;
  /** Position of the newest message. */
  tail: number;
}

/** A room, and what is shown of it. */
export interface ShownRoom {
  readonly loaded: LoadedRoom;
  readonly at: ReducedPlace;
  readonly shown: Shown;
  readonly parts: RoomParts;
}

const scopeOf = ({ shown, loaded: { durable } }: ShownRoom) => scopeIn(shown, durable.stream);

async function publish(
  { loaded: { durable }, at: { tenant_id, room_id }, parts }: ShownRoom,
  told: Told,
  { data, told: entry }: ValueMessage,
): Promise<void> {
  const values_room_id = valuesRoomOf(room_id)!;
  const { now, random } = parts;
  const payload = systemEnvelope({ now, random }, {
    ...{ tenant_id, room_id: values_room_id },
    event: { type: VALUES_TYPE, data, content_type: "application/json" },
  });
  const options = { headers: { [TOLD_HEADER]: String(entry) }, expected_last: told.tail };
  told.tail = (await durable.append(values_room_id, payload, options)).offset;
  told.entry = entry;
  parts.metrics.told.inc();
}

/** How far changes were published by a former owner; at least `known`, before which it is unknown. */
async function toldBefore(room: ShownRoom, known: number): Promise<Told> {
  const { last } = await room.loaded.durable.head(valuesRoomOf(room.at.room_id)!);
  const told = { entry: Number(last?.headers[TOLD_HEADER] ?? 0), tail: last?.offset ?? 0 };
  // A subscriber with older values sees a gap here, and reads them again.
  if (told.entry < known) await publish(room, told, nothingTold(scopeOf(room), known, known));
  return told;
}

/**
 * How far changes are published, or undefined if the room shows nothing. `known`: everything after it is published
 * here.
 */
export async function toldOf(room: ShownRoom, known: number): Promise<Told | undefined> {
  const { loaded, at, shown } = room;
  if (shown.prefixes.length === 0 || valuesRoomOf(at.room_id) === undefined) {
    return loaded.told = undefined;
  }
  return loaded.told ??= await toldBefore(room, known);
}

/** Publishes the changes of entries after `known`. Rejects as the log does. */
export async function tellChanges(
  room: ShownRoom,
  known: number,
  entries: readonly EntryChanges[],
): Promise<void> {
  const told = await toldOf(room, known);
  if (told === undefined) return;
  if (!entries.some(({ changes }) => changes.length > 0)) return;
  for (const message of valueMessages(scopeOf(room), told.entry, entries)) {
    await publish(room, told, message);
  }
}

/** Publishes all remaining changes, before their source is removed. */
export async function tellAll(room: ShownRoom): Promise<void> {
  const { loaded: { told, standing } } = room;
  if (told === undefined || told.entry >= standing.offset) return;
  await publish(room, told, nothingTold(scopeOf(room), told.entry, standing.offset));
}
