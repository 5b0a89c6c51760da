/**
 * Read-only routes about rooms with reducers, for clients that fold a room's log themselves: the record of a room's
 * snapshots, and the bytes of snapshots, programs and modules. The log itself is the history of the room
 * `ROOM~reducer`. It also lists the rooms whose reducers are cut off.
 */
import { ArqonError } from "@arqon/proto";
import { CUT_OFF_MAX, CutOffAnswer } from "../../../shared/cluster/cluster_room.ts";
import {
  decodeRecord,
  REDUCER_OBJECTS,
  REDUCERS_BUCKET,
  type RoomRecord,
} from "../../../shared/records/reducer_record.ts";
import { decodePoints, snapshotName } from "../../../shared/records/reducer_points.ts";
import { reducerRoomOf } from "../../../shared/rooms/reserved.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Env } from "../../../shared/env.ts";
import { roomEpoch } from "../../../shared/rooms/epoch.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { readQuery, requireId } from "../routing/query.ts";
import type { Answer, ListContext } from "./lists.ts";

/** What reading rooms with reducers needs of the process. */
export interface ReducedRoomContext extends Pick<Env, "log"> {
  readonly spine: Pick<Spine, "keyValue" | "objects">;
  readonly classes: {
    of(tenant_id: string, room_id: string): Pick<RoomClass, "reducer" | "pattern">;
  };
}

/** A room with a reducer. */
export interface Reduced {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly reducer: string;
}

/** A snapshot, and the position in the log that follows it. */
interface Snapshot {
  readonly name: string;
  /** The last entry in it. */
  readonly offset: number;
  /** The room's clock then; 0: unknown. */
  readonly at_ms: number;
  /** The message of the log with that entry. */
  readonly position: number;
  readonly size_bytes: number;
}

/** Names that are digests: only readers of a room's log know the names that it contains. */
const PROGRAM = /^(?:program|module)-[0-9a-f]{64}$/;

/** Throws `not-found` for a room without a reducer, before anything is opened. */
export function reducedOf(
  { classes }: Pick<ReducedRoomContext, "classes">,
  { tenant, names }: AdminCall,
): Reduced {
  const room_id = requireId(names.room ?? "", "room");
  const { reducer } = classes.of(tenant, room_id);
  if (reducer !== undefined && reducerRoomOf(room_id) !== undefined) {
    return { tenant_id: tenant, room_id, reducer };
  }
  throw new ArqonError("not-found", `${room_id} has no reducer`);
}

async function recordOf(
  { spine }: ReducedRoomContext,
  { tenant_id, room_id }: Reduced,
): Promise<RoomRecord | undefined> {
  const stored = await (await spine.keyValue(REDUCERS_BUCKET)).get([tenant_id, room_id]);
  if (stored === undefined) return undefined;
  const record = decodeRecord(stored.value);
  if (record !== undefined) return record;
  throw new ArqonError("log-unavailable", `the record of ${room_id} cannot be read`);
}

/** The snapshots of a room that its record names, in the order of their entries. */
async function snapshotsOf(
  { spine }: ReducedRoomContext,
  { tenant_id, room_id }: Reduced,
  record: RoomRecord | undefined,
): Promise<Snapshot[]> {
  if (record === undefined || record.snapshot === "") return [];
  const { snapshot: name, offset, position, points, stream } = record;
  const bytes = points === ""
    ? undefined
    : await (await spine.objects(REDUCER_OBJECTS)).get(points);
  const known = bytes === undefined ? undefined : decodePoints(bytes);
  // A record in the old format, without points, names only the newest snapshot.
  if (known?.stream !== stream) return [{ name, offset, at_ms: 0, position, size_bytes: 0 }];
  return known.points.map((point) => ({
    name: snapshotName(tenant_id, room_id, point),
    offset: point.offset,
    at_ms: point.time_ms,
    position: point.position,
    size_bytes: point.size_bytes,
  }));
}

/** Answers `GET /v1/rooms/{tenant}/{room}/reducer`. Rejects with `spine-unavailable`. */
export async function reducedRoom(
  context: ReducedRoomContext,
  call: AdminCall,
): Promise<Answer> {
  const at = reducedOf(context, call);
  const record = await recordOf(context, at);
  const log_room_id = reducerRoomOf(at.room_id)!;
  const epoch = record === undefined ? "" : roomEpoch(record.stream, log_room_id);
  const snapshots = await snapshotsOf(context, at, record);
  const { offset = 0, fork = null, lost = [], program, refused = null } = record ?? {};
  const { pattern } = context.classes.of(at.tenant_id, at.room_id);
  return {
    ...at,
    class: pattern,
    log_room_id,
    epoch,
    offset,
    snapshots,
    fork,
    lost,
    module: program?.module ?? null,
    refused,
  };
}

/** Answers `GET /v1/tenants/{tenant}/rooms/cut-off`. Rejects with `brain-unavailable` when no Brain answers. */
export async function cutOffRooms(
  { asker }: ListContext,
  { tenant, url }: AdminCall,
): Promise<Answer> {
  readQuery(url, {});
  const options = { params: { tenant }, of: "brain" } as const;
  const { answers, nodes } = await asker.ask("cut_off", CutOffAnswer, options);
  if (answers.length === 0) {
    throw new ArqonError("brain-unavailable", "no Brain answered which rooms are cut off", {
      retry_after_ms: 1_000,
    });
  }
  const rooms = answers.flatMap(({ node_id: brain_id, value }) =>
    value.rooms.map((room) => ({ ...room, brain_id }))
  );
  const total = answers.reduce((sum, { value }) => sum + value.total, 0);
  return { tenant_id: tenant, rooms: rooms.slice(0, CUT_OFF_MAX), total, nodes };
}

/** Answers `GET /v1/rooms/{tenant}/{room}/reducer/{object}`. Rejects with `spine-unavailable`. */
export async function reducedObject(
  context: ReducedRoomContext,
  call: AdminCall,
): Promise<Response> {
  const at = reducedOf(context, call);
  const { object = "" } = call.names;
  if (!PROGRAM.test(object)) {
    // Snapshots belong to a tenant: only those in the room's record are served.
    const known = await snapshotsOf(context, at, await recordOf(context, at));
    if (!known.some(({ name }) => name === object)) throw notStored(at);
  }
  const bytes = await (await context.spine.objects(REDUCER_OBJECTS)).get(object);
  if (bytes === undefined) throw notStored(at);
  const { tenant_id, room_id } = at;
  context.log.info("an operator reads a room with a reducer", {
    tenant_id,
    room: room_id,
    object,
    by: call.by,
  });
  const headers = { "content-type": "application/octet-stream" };
  return new Response(new Uint8Array(bytes), { headers });
}

const notStored = ({ room_id }: Reduced) =>
  new ArqonError("not-found", `${room_id} has no such snapshot, and there is no such program`);
