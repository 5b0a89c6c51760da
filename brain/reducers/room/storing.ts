/**
 * Writes what is to outlive the Brain of a room with a reducer: entries into its log, behind the message that is
 * known to be its last, so that whoever is not its owner any more is refused; snapshots; the record. What is
 * refused with `version-conflict` was not stored, and the room has to be read again.
 */
import { createHash } from "node:crypto";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import type { LogEntry } from "../state/entry.ts";
import { encodeBatch } from "../log/batch.ts";
import { encodeRecord, type RoomRecord } from "../../../shared/records/reducer_record.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";

/** The type of a message with entries. */
const ENTRIES_TYPE = "reducer.entries";

async function writeRecord(
  loaded: LoadedRoom,
  { tenant_id, room_id }: ReducedPlace,
  record: RoomRecord,
  { records }: RoomParts,
): Promise<void> {
  const key = [tenant_id, room_id];
  loaded.revision = await records.update(key, encodeRecord(record), loaded.revision);
  loaded.record = record;
}

/** Notes that there are entries behind the snapshot, before the first is. */
async function noteBehind(
  loaded: LoadedRoom,
  at: ReducedPlace,
  parts: RoomParts,
): Promise<void> {
  const { record, durable: { stream } } = loaded;
  if (record?.is_behind) return;
  const first = {
    snapshot: "",
    previous: "",
    offset: 0,
    published: loaded.noted,
    stream,
    position: 0,
  };
  const behind = { next_ms: null, ...record, is_behind: true, behind_ms: parts.now() };
  await writeRecord(loaded, at, { ...first, ...behind }, parts);
}

/** Appends entries that the state `standing` came of; none: only how far events are published. */
export async function appendEntries(
  loaded: LoadedRoom,
  at: ReducedPlace,
  entries: readonly LogEntry[],
  { program, standing }: Pick<LoadedRoom, "standing"> & { readonly program: string },
  parts: RoomParts,
): Promise<void> {
  const { tenant_id, log_room_id } = at;
  await noteBehind(loaded, at, parts);
  const { published, durable, position } = loaded;
  const after = standing.offset - entries.length;
  const data = encodeBatch({ program, published, after, entries, chain: standing.chain });
  const { now, random } = parts;
  const payload = systemEnvelope({ now, random }, {
    ...{ tenant_id, room_id: log_room_id },
    event: { type: ENTRIES_TYPE, data, content_type: "application/octet-stream" },
  });
  const { offset } = await durable.append(log_room_id, payload, { expected_last: position });
  loaded.position = offset;
  loaded.standing = standing;
  loaded.noted = published;
  loaded.messages_behind++;
  loaded.entries_behind += entries.length;
}

/** The name of a snapshot: of the room, and of what is in it. */
function snapshotName({ tenant_id, room_id }: ReducedPlace, { standing }: LoadedRoom): string {
  const hash = createHash("sha256").update(JSON.stringify([tenant_id, room_id])).digest("hex");
  return `snapshot-${hash.slice(0, 32)}-${standing.offset}-${standing.chain.toHex().slice(0, 16)}`;
}

/** Stores the room as it stands, whose events are all published, and takes the last but one away. */
export async function storeSnapshot(
  loaded: LoadedRoom,
  at: ReducedPlace,
  parts: RoomParts,
): Promise<void> {
  const { snapshot: before = "", previous: oldest = "" } = loaded.record ?? {};
  const snapshot = snapshotName(at, loaded);
  await parts.objects.put(snapshot, await parts.host.snapshot(loaded.handle));
  const { published, position, standing: { offset, next }, durable: { stream } } = loaded;
  await writeRecord(loaded, at, {
    ...{ snapshot, previous: before === snapshot ? oldest : before, offset, published },
    ...{ stream, position },
    ...{ is_behind: false, behind_ms: 0, next_ms: next?.at_ms ?? null },
  }, parts);
  loaded.noted = published;
  loaded.messages_behind = 0;
  loaded.entries_behind = 0;
  if (oldest === "" || oldest === snapshot || before === snapshot) return;
  // What is left behind costs storage and nothing else.
  await parts.objects.delete(oldest).catch((error) => {
    parts.log.warn("a room's old snapshot was not removed", { room: at.room_id, error });
  });
}
