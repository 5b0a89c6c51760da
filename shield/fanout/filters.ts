/** Filters of messages, for SUBs and fan-out; the filters capability implements them (`filter/`). */
import { ArqonError } from "@arqon/proto";
import type { Identity } from "../auth/identity.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { NotedRoom, SubscriptionMark } from "./delivery_notes.ts";
import type { Outgoing } from "./room_message.ts";

/** The filter of a SUB, or a class's filter for the holder of a token. */
export interface Filter {
  /** Its number in this process's ledger. */
  readonly number: number;
  /** As requested. */
  readonly text: string;
  /** Whether a message passes, in the form of its judge. */
  lets(message: object): boolean;
}

/** A receiver with filters. */
export interface Filtered {
  /** The filter of the SUB; undefined: none. */
  readonly filter?: Filter | undefined;
  /** The token's claims; undefined: a class with a filter passes nothing. */
  readonly identity?: Identity | undefined;
  /** The subscription in the ledger; absent: there is none. */
  mark?: SubscriptionMark | undefined;
}

/** A room whose messages may be withheld. */
export interface FilteredRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly room_class: RoomClass | undefined;
  /** The room in the ledger; undefined: there is none. */
  readonly noted: NotedRoom | undefined;
}

/** Judges one message for the subscribers of a room. */
export interface SentJudge {
  /** Whether it is withheld from a subscriber; if so, this is counted and recorded. */
  withholds(subscriber: Filtered): boolean;
  /** Call it after all receivers: it charges the filters' steps. */
  end(): void;
}

/** All filters of SUBs. `hold` and `release` come in pairs. */
export interface Filters {
  /**
   * The filter of a SUB; undefined: none. With a room, it may use the fields of its events. Throws `invalid-filter`,
   * and `rate-limited` if filters have exhausted the tenant's share.
   */
  of(tenant_id: string, text: string, room_id?: string): Filter | undefined;
  /** The filter of a room's class for the holder of a token; undefined: it has none. */
  ofClass(room_class: RoomClass | undefined, identity: Identity): Filter | undefined;
  /** Throws `too-many-filters` if the room or the tenant is at its limit. `before` is the replaced one. */
  requireRoom(tenant_id: string, room_id: string, filter: Filter, before?: Filter): void;
  hold(tenant_id: string, room_id: string, filter: Filter | undefined): void;
  /** A subscriber no longer has it. */
  release(tenant_id: string, room_id: string, filter: Filter | undefined): void;
  sent(room: FilteredRoom, outgoing: Outgoing): SentJudge;
}

const refuse = (): never => {
  throw new ArqonError("invalid-filter", "this node has no filters");
};

/** Without the capability: a SUB with a filter is refused, and a class with one delivers nothing. */
export const NO_FILTERS: Filters = {
  of: (_tenant_id, text) => text === "" ? undefined : refuse(),
  ofClass: (room_class) => room_class?.filter === undefined ? undefined : refuse(),
  requireRoom: refuse,
  hold: () => {},
  release: () => {},
  sent: () => ({ withholds: () => true, end: () => {} }),
};
