/**
 * Who learns what happens to messages and to those who send them, without a say in it: traces, use, why, tap and
 * mirror. Each event is reported in one place of the kernel, to a list that is made once: where nobody listens, it costs
 * a look at an empty list. Nobody keeps bytes that it is notified of, waits or throws.
 */
import type { Ack, ArqonError, ScannedEnvelope } from "@arqon/proto";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { Identity } from "../auth/identity.ts";
import type { Connection } from "../connection/connection.ts";
import type { EndSaid } from "../connection/connection_parts.ts";
import type { Caller, Client } from "./caller.ts";

/** A message that has passed: one object for all of them, lent for the call. */
export interface Passed {
  caller: Caller;
  envelope: ScannedEnvelope;
  /** `in.t.T.r.R` of its room. */
  subject: Subject;
  room_class: RoomClass;
  /** Its routed form, as the Spine or the log has it. */
  routed: Uint8Array;
  headers: SpineHeaders | undefined;
  /** What the room's log said; undefined: the room has none. */
  stored: Appended | undefined;
  /** Whether somebody here heard the room all the while. */
  is_heard: boolean;
}

/** Who asks for a connection; what its token says of it, where that is known. */
export interface Asked {
  readonly request: Request;
  readonly remote_ip: string;
  readonly who: Pick<Identity, "tenant_id" | "user_id"> | undefined;
  /** The connection that it says it had, or "". */
  readonly former: string;
}

/** What somebody wants to be notified of. */
export interface Observer {
  /** A message or command is about to be judged. */
  begun?(caller: Caller, envelope: ScannedEnvelope): void;
  /** The schema of an event is about to be asked; `checked` follows in the same turn. */
  checking?(envelope: ScannedEnvelope): void;
  /** It was, in so many steps; `error` is what it refuses with, undefined: nothing. */
  checked?(caller: Caller, envelope: ScannedEnvelope, steps: number, error: unknown): void;
  /** A message or command is refused, by whomever. */
  refused?(caller: Caller, envelope: ScannedEnvelope, error: unknown): void;
  /** It is with the Spine, or in its room's log. */
  passed?(passed: Readonly<Passed>): void;
  /** Its ACK may go out: the log, or the server, has it. Without that, `refused` is reported. */
  confirmed?(envelope: ScannedEnvelope, stored: Appended | undefined): void;
  /** Whether that is of use to it: the server is asked for it only then. Absent: it is, of every message. */
  awaits?(envelope: ScannedEnvelope): boolean;
  /** A command has its answer. */
  answered?(caller: Caller, envelope: ScannedEnvelope, room_class: RoomClass, ack: Ack): void;
  /** A client asks for a socket. */
  asked?(request: Request): void;
  /** Its token is good, and nobody has banned it. */
  known?(request: Request, identity: Identity): void;
  /** It is about to be asked for as this caller. */
  connecting?(request: Request, caller: Caller): void;
  /** Its request is answered; with `refusal`, it gets no socket. */
  greeted?(asked: Asked, refusal: ArqonError | undefined): void;
  /** Somebody known is banned, whatever it asks for. */
  banned?(client: Client, error: unknown): void;
  /** A connection is there, or there no longer. */
  entered?(connection: Connection): void;
  ended?(connection: Connection, end: EndSaid): void;
  /** A client receives a refusal, which `error` has led to; `room_id` is "" where it is about none. */
  denied?(connection: Connection, room_id: string, refusal: ArqonError, error: unknown): void;
}

/** Everybody who wants to be notified, by event. */
export type Observers = {
  readonly [Event in keyof Observer]-?: readonly NonNullable<Observer[Event]>[];
};

const always = () => true;

/** The lists of those observers, in their order. */
export function observersOf(all: readonly (Observer | undefined)[]): Observers {
  const of = <Told>(pick: (one: Observer) => Told | undefined): Told[] =>
    all.map((one) => one && pick(one)).filter((told) => told !== undefined);
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
