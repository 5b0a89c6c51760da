/**
 * Tells the changes of a room's visible values in the room beside it, each behind the message that is known to be its
 * last, so that whoever is no longer the owner is refused. With a header that says up to which entry everything is
 * reported: from there a new owner goes on. Where a class shows nothing, nothing of it is done.
 */
import { valuesRoomOf } from "../../../shared/rooms/values_room.ts";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import type { LoadedRoom, ReducedPlace, RoomParts, Told } from "./loaded_room.ts";
import { scopeIn, type Shown } from "../visible/shown.ts";
import {
  type EntryChanges,
  nothingTold,
  type ValueMessage,
  valueMessages,
} from "../visible/value_messages.ts";

/** Spine header of a message: the entry up to which everything is reported. No client can write one. */
const TOLD_HEADER = "x-arqon-told";
/** The type of such a message. */
const VALUES_TYPE = "values";

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

/** How far changes are reported, by whoever did so before; at least up to `known`, before which that is unknown. */
async function toldBefore(room: ShownRoom, known: number): Promise<Told> {
  const { last } = await room.loaded.durable.head(valuesRoomOf(room.at.room_id)!);
  const told = { entry: Number(last?.headers[TOLD_HEADER] ?? 0), tail: last?.offset ?? 0 };
  // Who has older values finds that they do not go on here, and reads them again.
  if (told.entry < known) await publish(room, told, nothingTold(scopeOf(room), known, known));
  return told;
}

/** Whether the room shows anything, and how far it is reported then. `known`: all that is behind it is given here. */
export async function toldOf(room: ShownRoom, known: number): Promise<Told | undefined> {
  const { loaded, at, shown } = room;
  if (shown.prefixes.length === 0 || valuesRoomOf(at.room_id) === undefined) {
    return loaded.told = undefined;
  }
  return loaded.told ??= await toldBefore(room, known);
}

/** Tells what entries behind `known` have changed. Rejects as the log does. */
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

/** Tells that nothing is left to be reported, before what could tell it is gone. */
export async function tellAll(room: ShownRoom): Promise<void> {
  const { loaded: { told, standing } } = room;
  if (told === undefined || told.entry >= standing.offset) return;
  await publish(room, told, nothingTold(scopeOf(room), told.entry, standing.offset));
}
