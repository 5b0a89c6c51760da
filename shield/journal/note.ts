/**
 * What is noted of one operation while it is decided: by the schema, by the policies, and in the end by the
 * path itself. It becomes an entry of the journal. No clock, no queue.
 */
import { createHash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import type { EntryPayload, JournalEntry } from "../../shared/journal/entry.ts";
import type { JournalRecord, PolicyRecord, Terms } from "../../shared/journal/record.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { idsOf } from "../message/message_ids.ts";
import type { Caller } from "../message/caller.ts";
import type { Note as Noting } from "../message/gates.ts";
import type { PolicyBinding, PolicyOutcome, PolicySeen, Verdict } from "../message/verdict.ts";
import { givenTraceId } from "../../shared/telemetry/trace_parent.ts";
import type { JournalRule } from "./rules.ts";

/** A larger payload is written as its hash, so that every block stays small. */
const KEPT_PAYLOAD_BYTES = 131_072;
/** The most characters of what a client may choose freely and no check has bounded yet. */
const TEXT_CHARACTERS = 256;

const UUID_TEXT = 36;
const decoder = new TextDecoder();

/** What an operation is about, beside its caller. */
export interface Noted {
  readonly hook: JournalRecord["hook"];
  readonly room_id: string;
  /** The message, where it is about one. */
  readonly envelope?: ScannedEnvelope;
  /** When it was asked, Unix ms. */
  readonly time_ms: number;
}

/** The note of one operation. */
export class Note implements Noting {
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
