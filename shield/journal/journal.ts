/**
 * The journal as the paths of a Shield see it: a note is begun with an operation, filled while it is decided, and
 * written when it is. Where nothing is written, no note is made and nobody asks further. Blocks and the store
 * are `queue.ts`.
 */
import type { ArqonError, ScannedEnvelope } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { JournalRecord } from "../../shared/journal/record.ts";
import type { Connection } from "../connection/connection.ts";
import type { Caller, Client } from "../message/caller.ts";
import type { Notes } from "../message/gates.ts";
import type { Observer, Passed } from "../message/observers.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import { shareKey } from "../../shared/telemetry/trace_parent.ts";
import { Note } from "./note.ts";
import type { JournalQueue } from "./queue.ts";
import { isShared } from "./rules.ts";
import type { JournalRules } from "./rules.ts";
import type { TermsOf } from "./terms.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** What a journal is made from. */
export interface JournalParts extends Pick<Env, "now"> {
  readonly rules: JournalRules;
  readonly classes: Pick<RoomClasses, "of">;
  readonly queue: Pick<JournalQueue, "write">;
  /** What held beside schema and policies; absent: nobody takes note of it. */
  readonly terms?: Pick<TermsOf, "of"> | undefined;
}

/** The journal of one Shield. */
export class Journal implements Observer, Notes {
  readonly #parts: JournalParts;
  /** The notes of messages that are not decided yet. */
  readonly #notes = new WeakMap<ScannedEnvelope, Note>();
  /** Refusals that are written: a connection reports each of its own again. */
  readonly #told = new WeakSet<object>();

  constructor(parts: JournalParts) {
    this.#parts = parts;
  }

  /** Begins the note of a message or command; undefined when it is not written whatever is decided. */
  message(caller: Caller, envelope: ScannedEnvelope): Note | undefined {
    const { rules, classes, now } = this.#parts;
    const { room_id } = envelope;
    const room_class = classes.of(caller.identity.tenant_id, room_id);
    const rule = rules.of(room_class);
    if (rule === undefined || !isShared(rule, shareKey(envelope, caller))) return undefined;
    const about = { hook: "on_message", room_id, envelope, time_ms: now() } as const;
    const note = new Note(rule, caller, about);
    this.#notes.set(envelope, note);
    return note;
  }

  /** Begins the note of a SUB, or of a connection. */
  operation(
    caller: Caller,
    hook: Exclude<JournalRecord["hook"], "on_message">,
    room_id: string,
  ): Note | undefined {
    const { rules, classes, now } = this.#parts;
    const room_class = hook === "on_connect"
      ? undefined
      : classes.of(caller.identity.tenant_id, room_id);
    const rule = rules.of(room_class);
    if (rule === undefined || !isShared(rule, caller.connection_id)) return undefined;
    return new Note(rule, caller, { hook, room_id, time_ms: now() });
  }

  /** Keeps the id and time of a message that has them from here, while its bytes are there. */
  passed({ envelope, routed, stored }: Readonly<Passed>): void {
    if (stored === undefined) this.#notes.get(envelope)?.stamped(routed);
  }

  awaits(envelope: ScannedEnvelope): boolean {
    return this.#notes.has(envelope);
  }

  /** Writes that a message was let through, with its place in the room's log, if it has one. */
  confirmed(envelope: ScannedEnvelope, stored: Appended | undefined): void {
    const note = this.#taken(envelope);
    if (note !== undefined) this.allow(note, stored?.offset);
  }

  /** Writes that a command was let through. */
  answered(_caller: Caller, envelope: ScannedEnvelope): void {
    const note = this.#taken(envelope);
    if (note !== undefined) this.allow(note);
  }

  /** Writes that a message was refused with this error. */
  refused(_caller: Caller, envelope: ScannedEnvelope, error: unknown): void {
    const note = this.#taken(envelope);
    if (note !== undefined) this.deny(note, error);
  }

  /** The note of a message that is decided now. */
  #taken(envelope: ScannedEnvelope): Note | undefined {
    const note = this.#notes.get(envelope);
    if (note !== undefined) this.#notes.delete(envelope);
    return note;
  }

  /** Writes that an operation was let through. */
  allow(note: Note, offset?: number): void {
    if (note.rule.mode === "all") this.#write(note, undefined, offset);
  }

  /** Writes that an operation was refused. */
  deny(note: Note, error: unknown): void {
    if (typeof error === "object" && error !== null) this.#told.add(error);
    this.#write(note, error, undefined);
  }

  /**
   * Writes that something of a connection was refused, unless that is written: a frame that nobody could read,
   * or one too many. `room_id` is "" where it is about none.
   */
  denied(
    { caller }: Pick<Connection, "caller">,
    room_id: string,
    _refusal: ArqonError,
    error: unknown,
  ): void {
    if (typeof error === "object" && error !== null && this.#told.has(error)) return;
    const { rules, classes, now } = this.#parts;
    const room_class = room_id === "" ? undefined : classes.of(caller.identity.tenant_id, room_id);
    const rule = rules.of(room_class);
    if (rule === undefined || !isShared(rule, caller.connection_id)) return;
    // Not told again, and another one may be refused with the same error: those of rates are shared.
    const note = new Note(rule, caller, { hook: "on_message", room_id, time_ms: now() });
    this.#write(note, error, undefined);
  }

  /** Writes that somebody known was not let in, before there was a connection. */
  banned(client: Client, error: unknown): void {
    const caller = { ...client, connection_id: "", request_headers: [] };
    const note = this.operation(caller, "on_connect", "");
    if (note !== undefined) this.deny(note, error);
  }

  #write(note: Note, error: unknown, offset: number | undefined): void {
    step(AT.journal);
    const { caller, caller: { identity }, rule, about: { hook, room_id, envelope } } = note;
    const is_allowed = error === undefined;
    const terms = this.#parts.terms?.of({ caller, hook, room_id, envelope, is_allowed });
    this.#parts.queue.write(identity.tenant_id, rule.keeping, note.entry(error, offset, terms));
  }
}
