/** Snapshots of rooms with reducers, in the store of objects: they go with their room, before its record does. */
import type { ObjectStore, Spine } from "../../shared/spine/contract/spine.ts";
import { entryOfObject } from "../../shared/records/reducer_points.ts";
import { REDUCER_OBJECTS, REDUCERS_BUCKET } from "../../shared/records/reducer_record.ts";
import type { DataStore, Whose } from "./stores.ts";

/** Names of the objects of the rooms that are meant; a user's share of them is not known. */
async function namesOf(
  spine: Pick<Spine, "keyValue">,
  objects: ObjectStore,
  { tenant, user, room, offset }: Whose,
): Promise<{ readonly name: string; readonly size_bytes: number }[]> {
  if (user !== undefined || offset !== undefined) return [];
  const records = await spine.keyValue(REDUCERS_BUCKET, { leaves_stream: true });
  const keys = await records.keys([tenant]);
  const rooms = [...new Set(keys.map(([, room_id = ""]) => room_id))]
    .filter((room_id) => room === undefined || room_id === room);
  if (rooms.length === 0) return [];
  const stored = await objects.list();
  return stored.filter(({ name }) =>
    rooms.some((room_id) => entryOfObject({ tenant_id: tenant, room_id }, name) !== undefined)
  );
}

/** Of all rooms with reducers. */
export function snapshotStore(spine: Pick<Spine, "keyValue" | "objects">): DataStore {
  const open = () => spine.objects(REDUCER_OBJECTS);
  return {
    name: "snapshots of reducers",
    async stock(whose) {
      const found = await namesOf(spine, await open(), whose);
      const bytes = found.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
      return { where: `OBJ_${REDUCER_OBJECTS}`, count: found.length, bytes };
    },
    async *lines(whose) {
      const objects = await open();
      for (const { name } of await namesOf(spine, objects, whose)) {
        const base64 = (await objects.get(name) ?? new Uint8Array()).toBase64();
        yield JSON.stringify({ store: "snapshots of reducers", name, base64 });
      }
    },
    async erase(whose) {
      const objects = await open();
      const found = await namesOf(spine, objects, whose);
      for (const { name } of found) await objects.delete(name);
      return found.length;
    },
  };
}
