/**
 * The rooms of one reader of events: in order, whether each SUB was answered, and the position in each. Pure but for
 * the callbacks; `sse_socket.ts` has the bytes.
 */
import { ArqonError, ERRORS } from "@arqon/proto";
import type { Reason } from "@arqon/proto";
import { ANY_EPOCH } from "../../shared/rooms/epoch.ts";
import { positionText } from "./positions.ts";
import type { RoomPosition } from "./positions.ts";

/** One room of a reader. */
export interface WantedRoom {
  readonly room_id: string;
  /** Undefined: only new messages. */
  readonly position: RoomPosition | undefined;
  /** A CEL expression that selects messages; "": all messages. */
  readonly filter: string;
}

/** A refusal in a text frame. */
interface Refused {
  readonly reason?: string;
  readonly message?: string;
  readonly retry_after_ms?: number;
}

/** The ACK of a SUB in a text frame. */
interface SubAck extends Refused {
  readonly id: number;
  readonly code: number;
  readonly result?: Answered;
}

/** The position in the ACK of a durable room's SUB. */
interface Answered {
  readonly recovered?: boolean;
  readonly reason?: string;
  readonly offset?: number;
  readonly epoch?: string;
}

/** A subscribed room, as its reader sees it. */
export interface Entered {
  readonly room: string;
  readonly recovered?: boolean;
  readonly reason?: string;
  readonly offset?: number;
  readonly epoch?: string;
}

interface Place {
  readonly room_id: string;
  readonly filter: string;
  position: RoomPosition | undefined;
  /** The epoch of new messages; undefined: none, or unknown. */
  epoch: string | undefined;
}

/** The rooms of one reader. */
export class EventSubscriptions {
  readonly #places: Place[];
  readonly #by_room: Map<string, Place>;
  #open: number;

  constructor(rooms: readonly WantedRoom[]) {
    this.#places = rooms.map((room) => ({ ...room, epoch: undefined }));
    this.#by_room = new Map(this.#places.map((place) => [place.room_id, place]));
    this.#open = rooms.length;
  }

  /** Whether every SUB was accepted. */
  get are_open(): boolean {
    return this.#open === 0;
  }

  /** Whether an id has one position only. */
  get is_one(): boolean {
    return this.#places.length === 1;
  }

  /** The SUBs, as text frames; the id of each is the room's index, counted from 1. */
  *frames(): Iterable<string> {
    for (const [at, { room_id, position, filter }] of this.#places.entries()) {
      const after = position === undefined
        ? {}
        : { after_offset: position.offset, epoch: position.epoch };
      yield JSON.stringify({ op: "sub", room: room_id, id: at + 1, filter, ...after });
    }
  }

  /** A SUB for the new position of a room whose log has another epoch; undefined for an unknown room. */
  again(room_id: string): string | undefined {
    const at = this.#places.findIndex((place) => place.room_id === room_id);
    const place = this.#places[at];
    if (place?.epoch === undefined) return undefined;
    // Messages until the answer have offsets of an unknown epoch.
    place.epoch = undefined;
    return JSON.stringify({ op: "sub", room: room_id, id: at + 1, filter: place.filter });
  }

  /** Takes the ACK of a SUB. Throws its refusal. */
  answered(frame: string): Entered {
    const { id, code, result = {} } = JSON.parse(frame) as SubAck;
    const place = this.#places[id - 1];
    if (place === undefined || code !== 0) throw refusalIn(frame);
    if (this.#open > 0) this.#open--;
    const { recovered, offset = 0, epoch } = result;
    place.epoch = epoch;
    // A reader that is still getting missed messages keeps its position until then.
    const is_behind = recovered === true;
    if (epoch !== undefined && !(is_behind && place.position?.epoch !== ANY_EPOCH)) {
      place.position = { epoch, offset: is_behind ? 0 : offset };
    }
    return { room: place.room_id, ...result };
  }

  /** Records a sent message; returns its room's epoch, if it has an id. */
  sent(room_id: string, offset: number): string | undefined {
    const place = offset === 0 ? undefined : this.#by_room.get(room_id);
    if (place?.epoch === undefined) return undefined;
    place.position = { epoch: place.epoch, offset };
    return place.epoch;
  }

  /** The reader's position, as the id of an event. */
  get id(): string {
    return this.#places.map(({ position }) => positionText(position)).join(",");
  }
}

/** The refusal in an ACK or ERR, as an error. */
export function refusalIn(frame: string): ArqonError {
  const { reason: name = "", message = "", retry_after_ms = 0 } = JSON.parse(frame) as Refused;
  const reason = name in ERRORS ? name as Reason : "internal";
  const [before = ""] = ERRORS[reason].message.split("{detail}");
  const detail = message.startsWith(before) ? message.slice(before.length) : message;
  return new ArqonError(reason, detail, { retry_after_ms });
}
