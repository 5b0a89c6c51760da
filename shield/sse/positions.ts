/**
 * The position of a reader of events: in an event's `id`, in `Last-Event-ID`, in `?after_offset=&epoch=` for one room,
 * and `?from=start` for all. Pure. `durable/` interprets positions.
 */
import { ArqonError } from "@arqon/proto";
import { ANY_EPOCH, NO_EPOCH } from "../../shared/rooms/epoch.ts";

/** The place of a reader in a durable room. */
export interface RoomPosition {
  readonly epoch: string;
  readonly offset: number;
}

/** The text for a room without a position: it is not durable, or has sent nothing yet. */
const NOWHERE = "-";
/** `*:0`: a reader from the start that has received nothing of the room yet. */
const PART = /^([A-Za-z0-9_~=-]{0,64}|\*):(\d{1,16})$/;
const OFFSET = /^\d{1,16}$/;

/** One position as it is in an id. */
export function positionText(position: RoomPosition | undefined): string {
  return position === undefined ? NOWHERE : `${position.epoch}:${position.offset}`;
}

/**
 * Reads a last event id: one position for each room, in the order in which the request names them. Throws
 * `invalid-field` (400) for an invalid text, or one for other rooms.
 */
export function parseEventId(text: string, rooms: number): (RoomPosition | undefined)[] {
  const parts = text.split(",");
  if (parts.length !== rooms) {
    throw wrong(`the last event id has ${parts.length} positions, the request ${rooms} rooms`);
  }
  return parts.map((part) => {
    if (part === NOWHERE) return undefined;
    const [, epoch = "", digits = ""] = PART.exec(part) ?? [];
    const offset = Number(digits);
    if (digits === "" || !Number.isSafeInteger(offset)) {
      throw wrong("the last event id is not the id of an event of this bus");
    }
    return { epoch, offset };
  });
}

/** The position in the query; undefined: none. Throws `invalid-field` (400). */
export function queriedPosition(
  query: Pick<URLSearchParams, "get">,
  rooms: number,
): RoomPosition | undefined {
  const from = query.get("from"), after_offset = query.get("after_offset");
  const epoch = query.get("epoch");
  if (from !== null) {
    if (from !== "start") throw wrong("from; expected start");
    if (after_offset ?? epoch) throw wrong("from cannot be combined with after_offset and epoch");
    return { epoch: ANY_EPOCH, offset: 0 };
  }
  if (after_offset === null && epoch === null) return undefined;
  if (rooms !== 1) throw wrong("after_offset and epoch are for one room; expected last_event_id");
  const offset = Number(after_offset ?? 0);
  if (after_offset !== null && !OFFSET.test(after_offset) || !Number.isSafeInteger(offset)) {
    throw wrong("after_offset; expected an integer below 2^53");
  }
  return { epoch: epoch || NO_EPOCH, offset };
}

const wrong = (detail: string) => new ArqonError("invalid-field", detail);
