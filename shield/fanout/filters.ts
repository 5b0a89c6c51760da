/**
 * What keeps messages from those who asked for others, or may not have them, as SUBs and fan-out ask it. What a
 * filter is and what it may take is the capability's affair (`filter/`).
 */
import { ArqonError } from "@arqon/proto";
import type { Identity } from "../auth/identity.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import { nextTurn } from "../../shared/turns/next_turn.ts";
import type { Channel, Subscriber } from "./channel.ts";
import type { Outgoing } from "./outgoing.ts";

/** What a SUB has asked for, or what a room's class says for the holder of a token. */
export interface Filter {
  /** Its number in the ledger, of this process. */
  readonly number: number;
  /** As it was asked for. */
  readonly text: string;
  /** Whether a message passes, which is as its judge sees it. */
  lets(message: object): boolean;
}

/** Somebody from whom messages may be kept. */
export interface Filtered {
  /** The filter of the SUB; undefined: none. */
  readonly filter?: Filter | undefined;
  /** The token's claims; undefined: a class with a filter lets nothing through. */
  readonly identity?: Identity | undefined;
}

/** Judges one message on its way to a room. */
export interface SentJudge {
  /** Whether it is kept from a subscriber; if so, that is counted and noted. */
  withholds(subscriber: Subscriber): boolean;
  /** All who may have it have it: what filters took is charged. */
  end(): void;
}

/** Judges what one reader has missed of a room, message by message. */
export interface MissedJudge {
  /** Whether a message is kept from the reader; if so, that is counted. */
  withholds(reader: Filtered, room_class: RoomClass, envelope: Uint8Array): boolean;
  /** Whether the reader has to give way now. */
  isOver(): boolean;
  /** Calls back when it may go on. */
  later(resume: () => void): void;
}

/** All filters of SUBs. What `hold` takes, `release` gives back. */
export interface Filters {
  /**
   * The filter of a SUB; undefined: it has none. With a room, it may name what events have there. Throws
   * `invalid-filter`, and `rate-limited` when filters have used up the tenant's share.
   */
  of(tenant_id: string, text: string, room_id?: string): Filter | undefined;
  /** The filter of a room's class for the holder of a token; undefined: it has none. */
  ofClass(room_class: RoomClass | undefined, identity: Identity): Filter | undefined;
  /**
   * Throws `too-many-filters` when the room or the tenant may not have one more. `before` is the one that
   * is replaced.
   */
  requireRoom(tenant_id: string, room_id: string, filter: Filter, before?: Filter): void;
  /** Takes note that a subscriber of a room has a filter. */
  hold(tenant_id: string, room_id: string, filter: Filter | undefined): void;
  /** Takes note that a subscriber has it no longer. */
  release(tenant_id: string, room_id: string, filter: Filter | undefined): void;
  /** Begins to judge a message. */
  sent(channel: Channel, outgoing: Outgoing): SentJudge;
  /** Begins to judge what somebody has missed. */
  missed(tenant_id: string, room_id: string): MissedJudge;
}

const refuse = (): never => {
  throw new ArqonError("invalid-filter", "this node has no filters");
};

/** Where nobody filters: who asks for a filter is refused, and of a class with one nobody gets a message. */
export const NO_FILTERS: Filters = {
  of: (_tenant_id, text) => text === "" ? undefined : refuse(),
  ofClass: (room_class) => room_class?.filter === undefined ? undefined : refuse(),
  requireRoom: refuse,
  hold: () => {},
  release: () => {},
  sent: () => ({ withholds: () => true, end: () => {} }),
  missed: () => ({
    withholds: ({ filter }, room_class) => filter !== undefined || room_class.filter !== undefined,
    isOver: () => false,
    later: nextTurn,
  }),
};
