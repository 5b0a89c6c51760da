/**
 * The journal for the message paths of a Shield: a note starts with an operation, is filled while it is decided, and
 * written with the decision. If the decision will not be recorded, no note is made. `queue.ts` has blocks and the
 * store.
 */
import { createHash } from "node:crypto";
import { ArqonError, type ScannedEnvelope } from "@arqon/proto";
import { Attached } from "../../shared/containers/attached.ts";
import type { EntryPayload, JournalEntry, JournalRecord } from "../../shared/journal/record.ts";
import type { PolicyRecord, Terms } from "../../shared/journal/record.ts";
import { fullCommandName } from "../../shared/records/command_name.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { idsOf } from "../message/message_ids.ts";
import type { Caller, Client } from "../message/caller.ts";
import type { Note as Noting, Notes } from "../message/gates.ts";
import type {
  PolicyBinding,
  PolicyOutcome,
  PolicySeen,
  Verdict,
} from "../../shared/records/verdict.ts";
import { givenTraceId, shareKey } from "../../shared/telemetry/trace_parent.ts";
import { isShared, type JournalRule, type JournalRules } from "./journal_place.ts";
import type { Env } from "../../shared/env.ts";
import type { Observed, Observer, Passed } from "../message/observers.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { Appended } from "../../shared/spine/contract/durable_log.ts";
import type { JournalQueue } from "./queue.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import type { Config } from "../../shared/config/schema.ts";
import { type OwnQuota, withOwn } from "../../shared/config/schema_quota.ts";
import { judgedRoomOf } from "../../shared/rooms/reserved.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { canAct, commandAction, type CommandActions } from "../auth/authorize.ts";
import type { Action, Identity } from "../auth/identity.ts";
import type { Settings } from "../settings/settings.ts";
import type { CompiledRule, MirrorRules } from "../mirror/rules.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";

/** A larger payload is recorded as its digest, so that every block stays small. */
const KEPT_PAYLOAD_BYTES = 131_072;
/** The most characters of a client's text that no check has limited yet. */
const TEXT_CHARACTERS = 256;

const UUID_TEXT = 36;
const decoder = new TextDecoder();

/** An operation, beside its caller. */
interface Noted {
  readonly hook: JournalRecord["hook"];
  readonly room_id: string;
  /** The message, if any. */
  readonly envelope?: ScannedEnvelope;
  /** The start of the decision, Unix ms. */
  readonly time_ms: number;
}

class Note implements Noting {
  readonly rule: JournalRule;
  readonly caller: Caller;
  readonly #about: Noted;
  /** The sender's payload: a policy may replace that of the envelope. */
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
    // A policy's replacement is checked, too: a violation by either is kept.
    if (violation === undefined && this.#schema !== null) return;
    this.#schema = { id, version, violation: violation ?? null };
  }

  get about(): Noted {
    return this.#about;
  }

  /** The routed form of the message: its `X-Twist-ID` is kept if it has no other id. */
  stamped(routed: Uint8Array): void {
    const { envelope } = this.#about;
    if (envelope === undefined || envelope.message_id || givenTraceId(envelope)) return;
    const { twist } = idsOf(routed);
    if (twist < 0) return;
    // A block omits an id that is not a UUID.
    this.#twist = decoder.decode(routed.subarray(twist, twist + UUID_TEXT));
  }

  /**
   * The entry of the operation: refused with this error, or allowed, with its offset in the room's log and the terms in
   * force.
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
      type: typeOf(envelope),
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
    const { signature, command, event: { schema_id = "" } = {} } = envelope ?? {};
    if (signature === undefined && command === undefined && schema_id === "") return entry;
    return {
      ...entry,
      ...(schema_id === "" ? {} : { schema_id: schema_id.slice(0, TEXT_CHARACTERS) }),
      ...(signature === undefined ? {} : { is_signed: true as const }),
      ...(command === undefined ? {} : { is_command: true as const }),
    };
  }

  #payload(is_stored: boolean): EntryPayload {
    const data = this.#data;
    if (data === undefined) return { form: "none" };
    const { payload } = this.rule;
    // A payload that a policy replaced is only recorded if the class requires it.
    const is_replaced = this.#verdict?.outcomes.some(isReplacing) === true;
    if (payload === "reference" && (is_stored || is_replaced)) {
      return { form: "reference", bytes: data.length };
    }
    if (payload !== "hash" && data.length <= KEPT_PAYLOAD_BYTES) return { form: "kept", data };
    const sha256 = createHash("sha256").update(data).digest("hex");
    return { form: "hash", sha256, bytes: data.length };
  }

  #policies(): readonly PolicyRecord[] {
    const chain = this.#chain;
    const verdict = this.#verdict;
    if (chain === undefined || verdict === undefined) return NO_POLICIES;
    const { seen: data = NO_DATA } = verdict;
    const last = verdict.outcomes.findLastIndex(isReplacing);
    return verdict.outcomes.map((outcome, place) => {
      const seen = data[place] ?? NOTHING_SEEN;
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
   * The recorded replacement, base64: `noted` by the policy's thread within its limit, `passed` was sent in the end.
   * Undefined: none.
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
const NO_DATA: readonly PolicySeen[] = [];
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

function typeOf({ event, command }: Partial<ScannedEnvelope> = {}): string {
  return command === undefined ? event?.type ?? "" : fullCommandName(command.name);
}

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

/** The parts of the journal. */
export interface JournalParts extends Pick<Env, "now"> {
  readonly rules: JournalRules;
  readonly classes: Pick<RoomClasses, "of">;
  readonly queue: Pick<JournalQueue, "write">;
  /** The terms besides schema and policies; absent: not recorded. */
  readonly terms?: Pick<TermsOf, "of"> | undefined;
}

/** The journal of one Shield. */
export class Journal implements Observer, Notes {
  readonly #parts: JournalParts;
  /** The notes of undecided messages. */
  readonly #notes = new Attached<ScannedEnvelope, Note>();
  /** Refusals that are recorded, or left out by a share: a connection reports each of its own again. */
  readonly #recorded = new WeakSet<object>();

  constructor(parts: JournalParts) {
    this.#parts = parts;
  }

  /** Starts the note of a message or command; undefined if it is not recorded in any case. */
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

  /** Starts the note of a SUB, or of a connection. */
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

  /** Stores the id and time that this Shield gave a message, while its bytes are available. */
  passed({ envelope, routed, stored }: Readonly<Passed>): void {
    if (stored === undefined) this.#notes.get(envelope)?.stamped(routed);
  }

  awaits(envelope: ScannedEnvelope): boolean {
    return this.#notes.get(envelope) !== undefined;
  }

  /** Records that a message was admitted, with its offset in the room's log, if any. */
  confirmed(envelope: ScannedEnvelope, stored: Appended | undefined): void {
    const note = this.#notes.take(envelope);
    if (note !== undefined) this.allow(note, stored?.offset);
  }

  answered(_caller: Caller, envelope: ScannedEnvelope): void {
    this.confirmed(envelope, undefined);
  }

  /** Records that a message was refused with this error, unless its trace is outside of the share. */
  refused(_caller: Caller, envelope: ScannedEnvelope, error: unknown): void {
    const note = this.#notes.take(envelope);
    if (note !== undefined) this.deny(note, error);
    else this.#judged(error);
  }

  allow(note: Note, offset?: number): void {
    if (note.rule.mode === "all") this.#write(note, undefined, offset);
  }

  deny(note: Note, error: unknown): void {
    this.#judged(error);
    this.#write(note, error, undefined);
  }

  /** Its connection, which reports the refusal again, adds nothing. */
  #judged(error: unknown): void {
    if (typeof error === "object" && error !== null) this.#recorded.add(error);
  }

  /**
   * Records a refusal on a connection unless it is recorded already: of an unreadable frame, or of one beyond a rate.
   * `room_id` is "" without a room.
   */
  denied(
    { caller }: Pick<Observed, "caller">,
    room_id: string,
    _refusal: ArqonError,
    error: unknown,
  ): void {
    if (typeof error === "object" && error !== null && this.#recorded.has(error)) return;
    const { rules, classes, now } = this.#parts;
    const room_class = room_id === "" ? undefined : classes.of(caller.identity.tenant_id, room_id);
    const rule = rules.of(room_class);
    if (rule === undefined || !isShared(rule, caller.connection_id)) return;
    // Not marked as recorded: refusals by rate share one error, and another one may follow.
    const note = new Note(rule, caller, { hook: "on_message", room_id, time_ms: now() });
    this.#write(note, error, undefined);
  }

  /** Records that a known user was rejected before there was a connection. */
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

/** The sources. */
export interface TermsParts {
  readonly config: Pick<Config, "limits" | "quota">;
  readonly classes: Pick<RoomClasses, "of">;
  /** The grants that commands of capabilities need; absent: there are none. */
  readonly actions?: CommandActions;
  /** Tenants' own settings; absent: none. */
  readonly settings?: Pick<Settings, "get"> | undefined;
  /** Absent: no mirror. */
  readonly mirror?: Pick<MirrorRules, "match" | "picks" | "size"> | undefined;
}

/** An operation, and whether it was admitted. */
export interface TermsQuery {
  readonly caller: Caller;
  readonly hook: JournalRecord["hook"];
  /** "" without a room. */
  readonly room_id: string;
  readonly envelope?: ScannedEnvelope | undefined;
  readonly is_allowed: boolean;
}

/** Finds the terms of operations; equal terms are one object. */
export class TermsOf {
  readonly #parts: TermsParts;
  readonly #credentials = new WeakMap<Identity, Terms["credential"]>();
  #limits!: Terms["limits"];
  /** Tenants with a quota in the configuration. */
  readonly #own_limits = new Map<string, Terms["limits"]>();
  /** Tenants with quotas set at run time, by these. */
  #given_limits = new WeakMap<readonly OwnQuota[], Terms["limits"]>();
  readonly #classes = new WeakMap<RoomClass, Terms["room_class"]>();
  readonly #copied = new WeakMap<CompiledRule, Terms["mirror"]>();
  readonly #left = new WeakMap<CompiledRule, Terms["mirror"]>();

  constructor(parts: TermsParts) {
    this.#parts = parts;
    this.renew();
  }

  /** Applies the current rates and quotas of the configuration. */
  renew(): void {
    const { config: { limits, quota } } = this.#parts;
    this.#own_limits.clear();
    this.#given_limits = new WeakMap();
    const usual = {
      connection: rate(limits.messages_per_second, limits.bytes_per_second),
      user: rate(limits.user_messages_per_second, limits.user_bytes_per_second),
      tenant: rate(limits.tenant_messages_per_second, limits.tenant_bytes_per_second),
    };
    if (quota === undefined) {
      this.#limits = { ...usual, quota: null };
      return;
    }
    const { tenant_messages_per_second: messages, tenant_bytes_per_second: bytes } = quota;
    this.#limits = { ...usual, quota: rate(messages, bytes) };
    for (const { tenant, messages_per_second, bytes_per_second } of quota.tenants) {
      const own = rate(messages_per_second ?? messages, bytes_per_second ?? bytes);
      this.#own_limits.set(tenant, { ...usual, quota: own });
    }
  }

  /** The terms of an operation that is being decided. */
  of(query: TermsQuery): Terms {
    const { caller: { identity }, hook, room_id } = query;
    return {
      credential: this.#credentialOf(identity),
      expires_ms: Math.max(0, Math.trunc(identity.expires_ms)),
      grant: grantOf(identity, actionOf(query, this.#parts.actions), room_id),
      limits: this.#limitsOf(identity.tenant_id),
      room_class: hook === "on_connect" || room_id === ""
        ? null
        : this.#classOf(this.#parts.classes.of(identity.tenant_id, room_id)),
      mirror: this.#mirrorOf(query),
    };
  }

  #limitsOf(tenant_id: string): Terms["limits"] {
    const limits = this.#own_limits.get(tenant_id) ?? this.#limits;
    const given = this.#parts.settings?.get(tenant_id).quotas ?? [];
    if (limits.quota === null || given.length === 0) return limits;
    let found = this.#given_limits.get(given);
    if (found === undefined) {
      const { messages_per_second, bytes_per_second } = limits.quota;
      const both = withOwn({ messages: messages_per_second, bytes: bytes_per_second }, given);
      found = { ...limits, quota: rate(both.messages, both.bytes) };
      this.#given_limits.set(given, found);
    }
    return found;
  }

  #credentialOf(identity: Identity): Terms["credential"] {
    let found = this.#credentials.get(identity);
    if (found === undefined) {
      const { issuer, key_id, role, grants } = identity;
      found = { issuer, kid: key_id ?? null, role, has_grants: grants !== undefined };
      this.#credentials.set(identity, found);
    }
    return found;
  }

  #classOf(room_class: RoomClass): Terms["room_class"] {
    let found = this.#classes.get(room_class);
    if (found === undefined) {
      const { pattern, source, durable } = room_class;
      found = { pattern, source, durable };
      this.#classes.set(room_class, found);
    }
    return found;
  }

  /** Only admitted events and signals are mirrored. */
  #mirrorOf({ caller, room_id, envelope, is_allowed }: TermsQuery): Terms["mirror"] {
    const { mirror } = this.#parts;
    if (mirror === undefined || mirror.size === 0 || !is_allowed) return null;
    if (envelope === undefined || envelope.command !== undefined) return null;
    const { tenant_id } = caller.identity;
    const rule = mirror.match(roomSubject("in", tenant_id, room_id), tenant_id);
    if (rule === undefined) return null;
    const is_copied = mirror.picks(rule, shareKey(envelope, caller));
    const known = is_copied ? this.#copied : this.#left;
    let found = known.get(rule);
    if (found === undefined) {
      const { prefix, percent, source } = rule;
      known.set(rule, found = { prefix, percent, source, is_copied });
    }
    return found;
  }
}

const rate = (messages_per_second: number, bytes_per_second: number) => ({
  messages_per_second,
  bytes_per_second,
});

function actionOf(
  { hook, envelope }: TermsQuery,
  own: CommandActions | undefined,
): Action | undefined {
  if (hook === "on_connect") return undefined;
  if (hook === "on_subscribe") return "subscribe";
  return envelope?.command === undefined ? "publish" : commandAction(envelope.command.name, own);
}

/** The room or pattern of the grant that `canAct` finds; null: none, or the token has no grants. */
function grantOf(
  { grants }: Pick<Identity, "grants">,
  action: Action | undefined,
  room_id: string,
): string | null {
  if (grants === undefined || action === undefined || room_id === "") return null;
  if (!canAct({ grants }, action, room_id)) return null;
  // What is kept beside a room is read with the grants of that room, by whichever of them it takes.
  const judged = judgedRoomOf(room_id);
  const allows = grants.find((one) =>
    canAct({ grants: [one] }, action, judged) || canAct({ grants: [one] }, action, room_id)
  );
  return allows?.room ?? null;
}
