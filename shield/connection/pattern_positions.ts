/**
 * The positions that a SUB of a pattern brings, `{EPOCH: {ROOM: OFFSET}}`: one for each durable room in which the
 * client has been. Pure; what becomes of them is `subscribe_pattern.ts`.
 */
import { ArqonError, matchesRoomPattern } from "@arqon/proto";
import { roomEpoch } from "../../shared/rooms/epoch.ts";
import type { Position } from "../fanout/entry.ts";
import type { Lives } from "../../shared/spine/contract/lives.ts";
import { parseStrictJsonBytes } from "../../shared/strict_json.ts";
import { requireRoomId } from "../../shared/subjects/subject.ts";

/** The positions, by room. */
export type PatternPositions = ReadonlyMap<string, Position>;

/** The most bytes that one position takes, as the frame has it: a room, a number and what is between. */
const POSITION_BYTES = 256;

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function invalid(detail: string): ArqonError {
  return new ArqonError("invalid-field", `positions: ${detail}`);
}

/**
 * Reads them; undefined when the SUB has none. Throws `invalid-field`, `invalid-room` for a room that is none
 * or that the pattern does not match, `too-many-rooms` with more than `most`.
 */
export function readPositions(
  bytes: Uint8Array,
  pattern: string,
  most: number,
): PatternPositions | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes.length > POSITION_BYTES * (most + 1)) {
    throw new ArqonError(
      "too-many-rooms",
      `positions: ${bytes.length} bytes, at most ${most} rooms`,
    );
  }
  const positions = new Map<string, Position>();
  for (const [epoch, rooms] of Object.entries(tableOf(bytes))) {
    if (epoch === "") throw invalid("an epoch is empty");
    if (!isTable(rooms)) throw invalid("an epoch has no rooms");
    for (const [room_id, after] of Object.entries(rooms)) {
      requireRoomId(room_id);
      if (!matchesRoomPattern(pattern, room_id)) {
        throw new ArqonError("invalid-room", `${room_id} is not of ${pattern}`);
      }
      if (!Number.isSafeInteger(after) || Number(after) < 0) throw invalid(`${room_id}: no offset`);
      if (positions.has(room_id)) throw invalid(`${room_id} stands twice`);
      positions.set(room_id, { after: Number(after), epoch });
      if (positions.size > most) {
        throw new ArqonError("too-many-rooms", `positions of ${pattern}, at most ${most}`);
      }
    }
  }
  return positions;
}

function tableOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value = parseStrictJsonBytes(bytes);
    if (isTable(value)) return value;
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
  throw invalid("no object");
}

/** The epoch of all rooms of a log in one of its lives, which stands for each room's own. */
export function logEpoch(life: string): string {
  return roomEpoch(life, "*");
}

/** The position in its room's own epoch, when it was given in that of the log. */
export function ofRoom({ after, epoch }: Position, room_id: string, lives: Lives): Position {
  const life = lives.findLast(({ name }) => logEpoch(name) === epoch);
  return life === undefined ? { after, epoch } : { after, epoch: roomEpoch(life.name, room_id) };
}
