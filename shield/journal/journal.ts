/**
 * The journal as the paths of a Shield see it: a note is begun with an operation, filled while it is decided, and
 * written when it is. Where nothing is written, no note is made and nobody asks further. Blocks and the store
 * are `queue.ts`.
 */
import { createHash } from "node:crypto";
import { ArqonError, type ScannedEnvelope } from "@arqon/proto";
import type { EntryPayload, JournalEntry } from "../../shared/journal/entry.ts";
import type { JournalRecord, PolicyRecord, Terms } from "../../shared/journal/record.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { idsOf } from "../message/message_ids.ts";
import type { Caller, Client } from "../message/caller.ts";
import type { Note as Noting, Notes } from "../message/gates.ts";
import type { PolicyBinding, PolicyOutcome, PolicySeen, Verdict } from "../message/verdict.ts";
import { givenTraceId, shareKey } from "../../shared/telemetry/trace_parent.ts";
import { isShared, type JournalRule, type JournalRules } from "./rules.ts";
import type { Env } from "../../shared/env.ts";
import type { Connection } from "../connection/connection.ts";
import type { Observer, Passed } from "../message/observers.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import type { JournalQueue } from "./queue.ts";
import type { TermsOf } from "./terms.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** A larger payload is written as its hash, so that every block stays small. */
const KEPT_PAYLOAD_BYTES = 131_072;
/** The most characters of what a client may choose freely and no check has bounded yet. */
const TEXT_CHARACTERS = 256;

const UUID_TEXT = 36;
const decoder = new TextDecoder();

/** What an operation is about, beside its caller. */
interface Noted {
  readonly hook: JournalRecord["hook"];
  readonly room_id: string;
  /** The message, where it is about one. */
  readonly envelope?: ScannedEnvelope;
  /** When it was asked, Unix ms. */
  readonly time_ms: number;
}

/** The note of one operation. */
class Note implements Noting {
  readonly rule: JournalRule;
  readonly caller: Caller;
  readonly #about: Noted;
  /** The payload as the sender sent it: a policy may replace that of the envelope. */
  readonly #data: Uint8Array | undefined;
  #time_ms: number;
  #chain: readonly PolicyBinding[] | undefined;
  #version = 0;
  #verdict: Verdict | undefined;
  #schema: JournalRecord["schema"] = null;
  #twist: string | undefined;

  constructor(rule: JournalRule, caller: Caller, about: Noted) {
    this.rule = rule;
    this.caller = caller;
    this.#about = about;
    const body = about.envelope?.event ?? about.envelope?.command;
    this.#data = body && about.envelope?.bytes.subarray(body.data_start, body.data_end);
    this.#time_ms = about.time_ms;
  }

  asked(chain: readonly PolicyBinding[], version: number, asked_ms: number): void {
    this.#chain = chain;
    this.#version = version;
    this.#time_ms = asked_ms;
  }

  judged(verdict: Verdict): void {
    this.#verdict = verdict;
  }

  checked(
    id: string,
    version: number,
    violation: NonNullable<JournalRecord["schema"]>["violation"] | undefined,
  ): void {
    // A payload that a policy has put in its place is checked, too: a violation of either stays.
    if (violation === undefined && this.#schema !== null) return;
    this.#schema = { id, version, violation: violation ?? null };
  }

  /** What the operation is about. */
  get about(): Noted {
    return this.#about;
  }

  /** The routed form of the message: its `X-Twist-ID` is kept where it has no other id. */
  stamped(routed: Uint8Array): void {
    const { envelope } = this.#about;
    if (envelope === undefined || envelope.message_id || givenTraceId(envelope)) return;
    const { twist } = idsOf(routed);
    if (twist < 0) return;
    // A block leaves out what is no UUID.
    this.#twist = decoder.decode(routed.subarray(twist, twist + UUID_TEXT));
  }

  /**
   * The entry of the operation: refused with this error, or allowed, with its place in the room's log and the
   * terms that held.
   */
  entry(error: unknown, offset: number | undefined, terms?: Terms): JournalEntry {
    const { caller: { identity, connection_id, remote_ip } } = this;
    const { envelope, hook, room_id } = this.#about;
    const body = envelope?.event ?? envelope?.command;
    const { allowed, code, reason, message } = outcomeOf(error);
    // One literal with every member: spreads take longer than all the rest.
    const entry: JournalEntry = {
      time_ms: this.#time_ms,
      hook,
      room: room_id.slice(0, TEXT_CHARACTERS),
      trace: envelope === undefined ? null : givenTraceId(envelope) || null,
      message_id: envelope?.message_id || null,
      twist: offset === undefined ? this.#twist : undefined,
      offset: offset ?? null,
      sender: { user: identity.user_id, connection: connection_id, remote_ip },
      type: envelope?.event?.type ?? envelope?.command?.name ?? "",
      content_type: body?.content_type ?? "",
      payload: this.#payload(offset !== undefined),
      allowed,
      code,
      reason,
      message,
      schema: this.#schema,
      chain_version: this.#chain === undefined ? null : this.#version,
      policies: this.#policies(),
      terms,
    };
    return envelope?.signature === undefined ? entry : { ...entry, is_signed: true };
  }

  #payload(is_stored: boolean): EntryPayload {
    const data = this.#data;
    if (data === undefined) return { form: "none" };
    const { payload } = this.rule;
    // What a policy took out of a message stands here only where the class asks for it.
    const is_replaced = this.#verdict?.outcomes.some(isReplacing) === true;
    if (payload === "reference" && (is_stored || is_replaced)) {
      return { form: "reference", bytes: data.length };
    }
    if (payload !== "hash" && data.length <= KEPT_PAYLOAD_BYTES) return { form: "kept", data };
    const sha256 = createHash("sha256").update(data).digest("hex");
    return { form: "hash", sha256, bytes: data.length };
  }

  #policies(): readonly PolicyRecord[] {
    const [chain, verdict] = [this.#chain, this.#verdict];
    if (chain === undefined || verdict === undefined) return NO_POLICIES;
    const { told = NOTHING_TOLD } = verdict;
    const last = verdict.outcomes.findLastIndex(isReplacing);
    return verdict.outcomes.map((outcome, place) => {
      const seen = told[place] ?? NOTHING_SEEN;
      const record = policyOf(chain, outcome, seen, verdict);
      if (!isReplacing(outcome)) return record;
      const passed = place === last ? verdict.payload : undefined;
      const payload = this.#replacement(seen.payload, passed);
      return payload === undefined
        ? { ...record, is_payload_missing: true }
        : { ...record, payload };
    });
  }

  /**
   * What is written of a new payload, base64: `noted` by the policy's thread within its bound, `passed` is what
   * went on in the end. Undefined: nothing.
   */
  #replacement(noted: string | undefined, passed: Uint8Array | undefined): string | undefined {
    const { payload } = this.rule;
    if (payload === "hash") return undefined;
    if (passed === undefined) return payload === "keep" ? noted : undefined;
    const before_bytes = payload === "keep" ? this.#data?.length ?? 0 : 0;
    const left_bytes = KEPT_PAYLOAD_BYTES - (before_bytes > KEPT_PAYLOAD_BYTES ? 0 : before_bytes);
    return passed.length <= left_bytes ? passed.toBase64() : undefined;
  }
}

const isReplacing = ({ replaced }: PolicyOutcome): boolean => replaced === true;
const NO_POLICIES: readonly PolicyRecord[] = [];
const NOTHING_TOLD: readonly PolicySeen[] = [];
const NO_LOGS: PolicyRecord["logs"] = [];
const NO_READS: PolicyRecord["reads"] = [];
const NO_WRITES: PolicyRecord["writes"] = [];
const NOTHING_SEEN: PolicySeen = {
  abi: 1,
  state_reads: [],
  state_writes: [],
  has_read_payload: false,
  reads: [],
  added_headers: [],
  asking_bytes: 0,
  budget_units: 0,
  detail: "",
};
const ALLOWED = { allowed: true, code: 0, reason: "", message: "" };

function outcomeOf(
  error: unknown,
): Pick<JournalEntry, "allowed" | "code" | "reason" | "message"> {
  if (error === undefined) return ALLOWED;
  const { code, reason, message } = error instanceof ArqonError
    ? error
    : new ArqonError("internal");
  return { allowed: false, code, reason, message };
}

function readsOf({ reads, state_reads }: PolicySeen): PolicyRecord["reads"] {
  return [
    ...reads.map(([from, name, value]) => ({ from, name, value })),
    ...state_reads.map(({ template, filled, value }) => ({
      from: "state" as const,
      name: template,
      value,
      key: filled,
    })),
  ];
}

function policyOf(
  chain: readonly PolicyBinding[],
  outcome: PolicyOutcome,
  seen: PolicySeen,
  { logs }: Verdict,
): PolicyRecord {
  const { name, mode, allowed, code, reason, fault, fuel } = outcome;
  return {
    name,
    module: chain.find((binding) => binding.name === name)?.sha256 ?? "",
    abi: seen.abi,
    mode,
    allowed,
    code,
    reason,
    fault: fault ?? null,
    detail: seen.detail,
    units: Math.round(fuel * UNITS_PER_FUEL),
    budget_units: seen.budget_units,
    asking_bytes: seen.asking_bytes,
    has_read_payload: seen.has_read_payload,
    reads: seen.reads.length + seen.state_reads.length === 0 ? NO_READS : readsOf(seen),
    writes: seen.state_writes.length === 0
      ? NO_WRITES
      : seen.state_writes.map(({ template, value }) => ({ name: template, value })),
    added_headers: seen.added_headers as PolicyRecord["added_headers"],
    payload: null,
    logs: logs.length === 0
      ? NO_LOGS
      : logs.filter((line) => line.name === name).map(({ level, message }) => ({ level, message })),
  };
}

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
