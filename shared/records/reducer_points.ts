/**
 * The kept snapshots of a room with a reducer: the last entry of each, its time by the room's clock, and where the log
 * continues. One object in the store of snapshots, named by the room's record, so that a former owner replaces none in
 * use. Pure.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { readStored, storedBytes } from "./stored.ts";

/** A kept snapshot. */
export interface RoomPoint {
  /** The last entry in it. */
  readonly offset: number;
  /** The room's clock then, Unix ms. */
  readonly time_ms: number;
  /** The message of the log whose last entry that is, in the incarnation `stream` of the log. */
  readonly position: number;
  readonly size_bytes: number;
  /** The beginning of the room's digest then, in hex; part of the object's name. */
  readonly chain: string;
}

/** Points of one incarnation of a log, in the order of their entries. */
interface RoomPoints {
  readonly stream: string;
  readonly points: readonly RoomPoint[];
}

const CHAIN_DIGITS = 16;
const whole = z.int().min(0);
const Points = z.looseObject({
  stream: z.string(),
  points: z.array(z.tuple([whole, whole, whole, whole, z.string().regex(/^[0-9a-f]{16}$/)])),
});

function nameOfRoom(tenant_id: string, room_id: string): string {
  const hash = createHash("sha256").update(JSON.stringify([tenant_id, room_id])).digest("hex");
  return hash.slice(0, 32);
}

/** The beginning of a hex digest, as points have it. */
export const chainMark = (chain: string): string => chain.slice(0, CHAIN_DIGITS);

const objectName = (kind: string) =>
(
  tenant_id: string,
  room_id: string,
  { offset, chain }: Pick<RoomPoint, "offset" | "chain">,
): string => `${kind}-${nameOfRoom(tenant_id, room_id)}-${offset}-${chain}`;

/** The name of a snapshot's object: the room, and the snapshot's content. */
export const snapshotName = objectName("snapshot");
/** The name of the object with the points up to this one. */
export const pointsName = objectName("points");

/**
 * A function that gives the last entry in an object of one of the rooms, a snapshot or a list of points, by its name;
 * undefined for any other object. All tenants' objects are in one store, so each room is hashed once for all of them.
 */
export function entriesOfObjects(
  tenant_id: string,
  rooms: readonly string[],
): (name: string) => number | undefined {
  const own = new Set(rooms.map((room_id) => nameOfRoom(tenant_id, room_id)));
  return (name) => {
    const [kind = "", room = "", offset] = name.split("-");
    const is_own = (kind === "snapshot" || kind === "points") && own.has(room);
    return is_own ? Number(offset) : undefined;
  };
}

/** The stored form, canonical. */
export function encodePoints({ stream, points }: RoomPoints): Uint8Array {
  const rows = points.map(({ offset, time_ms, position, size_bytes, chain }) =>
    [offset, time_ms, position, size_bytes, chain] as const
  );
  return storedBytes({ stream, points: rows });
}

/** Decodes points; undefined for any other bytes. */
export function decodePoints(bytes: Uint8Array): RoomPoints | undefined {
  const stored = readStored(bytes, Points, "list of a room's snapshots");
  if (stored === undefined) return undefined;
  const { stream, points } = stored;
  return {
    stream,
    points: points.map(([offset, time_ms, position, size_bytes, chain]) => ({
      offset,
      time_ms,
      position,
      size_bytes,
      chain,
    })),
  };
}
