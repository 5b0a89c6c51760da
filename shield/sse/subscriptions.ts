/**
 * The rooms of one reader of events: in order, whether each SUB was answered, and the position in each. Pure but for
 * the callbacks; `sse_socket.ts` has the bytes.
 */
import { ArqonError, ERRORS, type Reason } from "@arqon/proto";
import { ANY_EPOCH } from "../../shared/rooms/epoch.ts";
import { positionText, type RoomPosition } from "./positions.ts";

/** One room of a reader. */
export interface WantedRoom {
  readonly room_id: string;
  /** Undefined: only new messages. */
  readonly position: RoomPosition | undefined;
  /** Whether that is from a last event's id: the room was durable then. */
  readonly returns: boolean;
  /** A CEL expression that selects messages; "": all messages. */
  readonly filter: string;
}

interface Refused {
  readonly reason?: string;
  readonly message?: string;
  readonly retry_after_ms?: number;
}

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
  returns: boolean;
  /** The epoch of new messages; undefined: none, or unknown. */
  epoch: string | undefined;
  /** Whether a SUB waits for its answer. */
  is_asked: boolean;
  /** Why the room cannot continue at the reader's position, if its SUB has none for that reason. */
  lost: Reason | undefined;
}

/** The refusal of a position in a room that is not durable. */
const NOT_DURABLE = "not-durable" satisfies Reason;

/** The rooms of one reader. */
export class EventSubscriptions {
  readonly #places: Place[];
  readonly #by_room: Map<string, Place>;
  #open: number;

  constructor(rooms: readonly WantedRoom[]) {
    const asked = { epoch: undefined, is_asked: true, lost: undefined };
    this.#places = rooms.map((room) => ({ ...room, ...asked }));
    this.#by_room = new Map(this.#places.map((place) => [place.room_id, place]));
    this.#open = rooms.length;
  }

  /** Whether every SUB was accepted. */
  get are_open(): boolean {
    return this.#open === 0;
  }

  /** Whether the reader has a position in some room. */
  get has_position(): boolean {
    return this.#places.some(({ position }) => position !== undefined);
  }

  /** Whether an id has one position only. */
  get is_one(): boolean {
    return this.#places.length === 1;
  }

  /** The SUBs, as text frames; the id of each is the room's index, counted from 1. */
  *frames(): Iterable<string> {
    for (const place of this.#places) {
      const { position } = place;
      yield this.#sub(place, position && { after_offset: position.offset, epoch: position.epoch });
    }
  }

  #sub(place: Place, after: object | undefined): string {
    const { room_id: room, filter } = place;
    return JSON.stringify({
      op: "sub",
      room,
      id: this.#places.indexOf(place) + 1,
      filter,
      ...after,
    });
  }

  /**
   * A SUB for the new position of a room whose log has another epoch, or that has become durable; undefined for an
   * unknown room, and while one waits.
   */
  again(room_id: string): string | undefined {
    const place = this.#by_room.get(room_id);
    if (place === undefined || place.is_asked) return undefined;
    // Messages until the answer have offsets of an unknown epoch.
    place.epoch = undefined;
    place.is_asked = true;
    return this.#sub(place, undefined);
  }

  /**
   * Takes the ACK of a SUB. Throws its refusal; returns the SUB without a position if the position was refused: a room
   * to which its reader returns is no longer durable.
   */
  answered(frame: string): Entered | string {
    const { id, code, reason, result = {} } = JSON.parse(frame) as SubAck;
    const place = this.#places[id - 1];
    if (reason === NOT_DURABLE && place?.returns === true) {
      [place.position, place.returns, place.lost] = [undefined, false, NOT_DURABLE];
      return this.#sub(place, undefined);
    }
    if (place !== undefined) place.is_asked = false;
    if (place === undefined || code !== 0) throw refusalIn(frame);
    if (this.#open > 0) this.#open--;
    const { lost } = place;
    place.lost = undefined;
    const { recovered, offset = 0, epoch } = result;
    place.epoch = epoch;
    // A reader that is still getting missed messages keeps its position until then.
    const is_behind = recovered === true;
    if (epoch !== undefined && !(is_behind && place.position?.epoch !== ANY_EPOCH)) {
      place.position = { epoch, offset: is_behind ? 0 : offset };
    }
    const missing = lost === undefined ? {} : { recovered: false, reason: lost };
    return { room: place.room_id, ...missing, ...result };
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
