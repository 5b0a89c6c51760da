/**
 * Which modules are needed: those deployed or available to a rollback, and those that the log of a room may name. Reads
 * only; rejects with `Unsure` if it cannot tell, and then nothing may be removed.
 */
import { decodeDeployment } from "../../../shared/records/reducer_deployment.ts";
import type { ReducerDeployment } from "../../../shared/records/reducer_deployment.ts";
import { decodeRecord, type RoomRecord } from "../../../shared/records/reducer_record.ts";
import { reducerRoomOf } from "../../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import { readPage } from "../../../shared/spine/contract/read_page.ts";
import { listOnce } from "../../../shared/spine/contract/list_once.ts";
import type { KeyValue, KvEntry, ObjectStore } from "../../../shared/spine/contract/spine.ts";
import { moduleOf, programIn } from "../log/program.ts";
import { sourcesOf } from "../room/fork.ts";
import { logFloor } from "../room/points.ts";
import { batchOf } from "../room/stored_data.ts";

const READ = { limit: 512, max_bytes: 4_194_304 };
const MODULE_NAME = /^module-([0-9a-f]{64})$/;

/** It is unknown which modules are needed. */
export class Unsure extends Error {
  override readonly name = "Unsure";
}

/** Where the needs are read. */
export interface NeedSources {
  readonly records: KeyValue;
  readonly deployments: KeyValue;
  readonly objects: Pick<ObjectStore, "get" | "list">;
  readonly openLog: (tenant_id: string) => Promise<DurableLog>;
}

/** The stored modules and programs. */
export interface StoredPrograms {
  /** The programs of each module, by its digest. */
  readonly modules: ReadonlyMap<string, readonly string[]>;
  readonly programs: ReadonlyMap<string, string>;
}

/** What is deployed to one class. */
export interface StoredDeployment extends Pick<KvEntry, "key" | "revision"> {
  readonly deployment: ReducerDeployment;
}

/** The modules and programs that are stored. `known`: programs that were read before; extended by those read now. */
export async function storedPrograms(
  objects: Pick<ObjectStore, "get" | "list">,
  known: Map<string, string>,
): Promise<StoredPrograms> {
  const modules = new Map<string, string[]>();
  const programs = new Map<string, string>();
  for (const { name } of await objects.list()) {
    const [, stored] = MODULE_NAME.exec(name) ?? [];
    if (stored !== undefined) modules.set(stored, modules.get(stored) ?? []);
    const id = programIn(name);
    const module = id && (known.get(id) ?? await moduleOf(objects, id));
    if (id === undefined || module === undefined) continue;
    programs.set(id, module);
    modules.set(module, [...modules.get(module) ?? [], id]);
  }
  known.clear();
  for (const [id, module] of programs) known.set(id, module);
  return { modules, programs };
}

/** The deployments of all classes. */
export async function storedDeployments(bucket: KeyValue): Promise<StoredDeployment[]> {
  return (await listOnce(bucket)).map(({ key, value, revision }) => {
    const deployment = decodeDeployment(value);
    if (deployment !== undefined) return { key, revision, deployment };
    throw new Unsure(`what is deployed to ${key.join("/")} cannot be read`);
  });
}

/** The modules that are deployed, or that a rollback can reach. */
export function deployedModules(deployments: readonly StoredDeployment[]): Set<string> {
  const all = deployments.flatMap(({ deployment: { current, before } }) => [current, ...before]);
  return new Set(all.map(({ module }) => module));
}

interface Room {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly record: RoomRecord;
}

async function storedRooms(bucket: KeyValue): Promise<Room[]> {
  const rooms: Room[] = [];
  for (const { key: [tenant_id = "", room_id = ""], value } of await listOnce(bucket)) {
    if (tenant_id === "*") continue;
    const record = decodeRecord(value);
    if (record === undefined) throw new Unsure(`the record of ${tenant_id}/${room_id} is none`);
    rooms.push({ tenant_id, room_id, record });
  }
  return rooms;
}

const keyOf = (tenant_id: string, room_id: string) => `${tenant_id}/${room_id}`;

/** Rooms whose past a fork without a snapshot reads, directly or through other forks. */
function readByForks(rooms: readonly Room[]): Set<string> {
  const known = new Map(rooms.map((room) => [keyOf(room.tenant_id, room.room_id), room]));
  const read = new Set<string>();
  for (const { tenant_id, room_id } of rooms.filter((room) => room.record.snapshot === "")) {
    const sourceOf = (name: string) => known.get(keyOf(tenant_id, name))?.record.fork?.room_id;
    for (const source of sourcesOf(room_id, sourceOf)) {
      const key = keyOf(tenant_id, source);
      // Another fork has visited it and all its sources.
      if (read.has(key)) break;
      read.add(key);
    }
  }
  return read;
}

/** The first entry that the room needs of its log. */
async function floorOf(
  { record, room_id }: Room,
  durable: DurableLog,
): Promise<number> {
  const log_room_id = reducerRoomOf(room_id);
  // In another incarnation of the log, nothing is known of it yet.
  if (log_room_id === undefined || record.stream !== durable.stream) return 0;
  return await logFloor(durable, log_room_id) ?? (record.is_behind ? 0 : Infinity);
}

/** The programs of entries up to `to` that the record does not list, read from the log. */
async function programsUpTo(
  { room_id }: Room,
  to: number,
  durable: DurableLog,
): Promise<Set<string>> {
  const found = new Set<string>();
  const log_room_id = reducerRoomOf(room_id);
  if (log_room_id === undefined) return found;
  for (let after = 0;;) {
    const page = await readPage(durable, log_room_id, { after, ...READ });
    for (const message of page.messages) {
      const batch = batchOf(message);
      if (batch.after >= to) return found;
      if (batch.entries.length > 0) found.add(batch.program);
      after = message.offset;
    }
    if (!page.more || page.messages.length === 0) return found;
  }
}

/** The modules that a room may need, among the candidates for removal. */
async function neededBy(
  room: Room,
  { programs }: StoredPrograms,
  may_go: ReadonlySet<string>,
  is_read: boolean,
  openLog: NeedSources["openLog"],
): Promise<string[]> {
  const { record, tenant_id } = room;
  const { from, named } = record.programs ?? { from: Infinity, named: [] };
  const own = record.program === undefined ? [] : [record.program.id];
  const ids = new Set([...own, ...named.filter(({ to }) => to === null).map(({ id }) => id)]);
  const before = named.filter(({ id, to }) => to !== null && !ids.has(id));
  if (is_read) { for (const { id } of before) if (programs.has(id)) ids.add(id); }
  // The log is only read for candidates that are not known to be needed.
  const in_doubt = before.filter(({ id }) =>
    !ids.has(id) && (!programs.has(id) || may_go.has(programs.get(id)!))
  );
  if (in_doubt.length > 0 || from > 0) {
    const durable = await openLog(tenant_id);
    const floor = await floorOf(room, durable);
    for (const { id, to } of in_doubt) if (to! > floor) ids.add(id);
    if (from > floor) { for (const id of await programsUpTo(room, from, durable)) ids.add(id); }
  }
  return [...ids].map((id) => {
    const module = programs.get(id);
    if (module !== undefined) return module;
    throw new Unsure(`${tenant_id}/${room.room_id} needs the program ${id}, which is not stored`);
  });
}

/** Those modules that no room needs. */
export async function unneeded(
  may_go: ReadonlySet<string>,
  stored: StoredPrograms,
  { records, openLog }: Pick<NeedSources, "records" | "openLog">,
): Promise<Set<string>> {
  const left = new Set(may_go);
  if (left.size === 0) return left;
  const rooms = await storedRooms(records);
  const read = readByForks(rooms);
  for (const room of rooms) {
    const is_read = read.has(keyOf(room.tenant_id, room.room_id));
    for (const module of await neededBy(room, stored, may_go, is_read, openLog)) {
      left.delete(module);
    }
  }
  return left;
}
