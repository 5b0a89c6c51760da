/**
 * Observers of messages and their senders, without influence: traces, usage, why, tap and mirror. The kernel reports
 * each event in one place, to a list made once: without observers, it costs one check of an empty list. An observer
 * keeps no bytes, never waits and never throws.
 */
import type { Ack, ArqonError, ScannedEnvelope } from "@arqon/proto";
import type { UserUse } from "../../shared/records/user_use.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { Identity } from "../auth/identity.ts";
import type { Caller, Client } from "./caller.ts";

/** A published message: one object for all of them, valid during the call. */
export interface Passed {
  caller: Caller;
  envelope: ScannedEnvelope;
  subject: Subject;
  room_class: RoomClass;
  routed: Uint8Array;
  headers: SpineHeaders | undefined;
  /** The answer of the room's log; undefined: the room has none. */
  stored: Appended | undefined;
  /** Whether the room had a subscriber on this Shield all the while. */
  subscribed: boolean;
}

/** A client that requests a connection; its token's content, if known. */
export interface Handshake {
  readonly request: Request;
  readonly remote_ip: string;
  readonly who: Pick<Identity, "tenant_id" | "user_id"> | undefined;
  /** The client's previous connection, or "". */
  readonly former: string;
}

/** A connection, for observers. */
export interface Observed {
  readonly id: string;
  /** Its number in the ledger; 0: there is none. */
  readonly number: number;
  /** When it began by the ledger's clock, Unix ms; 0: there is none. */
  readonly noted_ms: number;
  /** The current identity and caller: REFRESH makes others. */
  readonly identity: Identity;
  readonly caller: Caller;
  /** The object that counts its usage; undefined: not counted. */
  readonly use: UserUse | undefined;
}

/** The end of a connection. */
export interface SentEnd {
  readonly code: number;
  /** The reason that the client received; "": it closed the connection itself, or was lost. */
  readonly reason: string;
  /** Bytes that its socket had not sent. */
  readonly unsent_bytes: number;
  /** The ledger's position of the oldest frame never given to the socket; 0: all were. */
  readonly queued_from: number;
}

/** The events of an observer. */
export interface Observer {
  /** A message or command is about to be judged. */
  begun?(caller: Caller, envelope: ScannedEnvelope): void;
  /** The schema check of an event begins; `checked` follows in the same turn. */
  checking?(envelope: ScannedEnvelope): void;
  /** The check has ended after that many steps; `error` is its refusal, if any. */
  checked?(caller: Caller, envelope: ScannedEnvelope, steps: number, error: unknown): void;
  /** A message or command was refused, by any check. */
  refused?(caller: Caller, envelope: ScannedEnvelope, error: unknown): void;
  /** The message is in the Spine, or in its room's log. */
  passed?(passed: Readonly<Passed>): void;
  /** The message may be acknowledged: the log, or the server, has it. Otherwise `refused` follows. */
  confirmed?(envelope: ScannedEnvelope, stored: Appended | undefined): void;
  /** Whether the observer needs `confirmed`, which makes a flush necessary. Absent: for every message. */
  awaits?(envelope: ScannedEnvelope): boolean;
  /** A command was answered. */
  answered?(caller: Caller, envelope: ScannedEnvelope, room_class: RoomClass, ack: Ack): void;
  asked?(request: Request): void;
  /** Its token is valid, and its user is not banned. */
  known?(request: Request, identity: Identity): void;
  /** Policies are about to judge the connection of this caller. */
  connecting?(request: Request, caller: Caller): void;
  /** Its request was answered; with `refusal`, without a socket. */
  greeted?(handshake: Handshake, refusal: ArqonError | undefined): void;
  /** A request of a known user was refused because of a ban. */
  banned?(client: Client, error: unknown): void;
  entered?(connection: Observed): void;
  ended?(connection: Observed, end: SentEnd): void;
  /** A client receives a refusal, caused by `error`; `room_id` is "" without a room. */
  denied?(connection: Observed, room_id: string, refusal: ArqonError, error: unknown): void;
}

/** The observers of each event. */
export type Observers = {
  readonly [Event in keyof Observer]-?: readonly NonNullable<Observer[Event]>[];
};

const always = () => true;

/** The lists of these observers, in order. */
export function observersOf(all: readonly (Observer | undefined)[]): Observers {
  const of = <Part>(pick: (one: Observer) => Part | undefined): Part[] =>
    all.map((one) => one && pick(one)).filter((part) => part !== undefined);
  return {
    begun: of((one) => one.begun?.bind(one)),
    checking: of((one) => one.checking?.bind(one)),
    checked: of((one) => one.checked?.bind(one)),
    refused: of((one) => one.refused?.bind(one)),
    passed: of((one) => one.passed?.bind(one)),
    confirmed: of((one) => one.confirmed?.bind(one)),
    awaits: of((one) => one.confirmed && (one.awaits?.bind(one) ?? always)),
    answered: of((one) => one.answered?.bind(one)),
    asked: of((one) => one.asked?.bind(one)),
    known: of((one) => one.known?.bind(one)),
    connecting: of((one) => one.connecting?.bind(one)),
    greeted: of((one) => one.greeted?.bind(one)),
    banned: of((one) => one.banned?.bind(one)),
    entered: of((one) => one.entered?.bind(one)),
    ended: of((one) => one.ended?.bind(one)),
    denied: of((one) => one.denied?.bind(one)),
  };
}
