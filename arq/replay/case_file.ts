/**
 * One recorded call as a file that people read and that CI runs: its inputs and the decision; and how such a case is
 * decided again, each on a fresh instance, with the smallest message about which two modules still differ. It never
 * contains anything that could be a secret.
 */
import { utf8OrUndefined } from "@arqon/proto";
import { z } from "zod";
import { Read, RECORD_FORMAT } from "../../shared/journal/record.ts";
import type { JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import {
  decisionOf,
  differences,
  isSignal,
  payloadAt,
  RecordedInputs,
  recordedState,
} from "./recorded_call.ts";
import type { Comparable, Decision } from "./recorded_call.ts";
import { redactedPayload, redactedRead, type RedactPath } from "./redaction.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { type GuestOutcome, instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import type { ReplayModule } from "./repeater.ts";
import { time } from "../answers/figures.ts";

const Count = z.int().min(0);

/** `json` when serializing the value gives the same bytes, else `text`, else `base64`. */
const Payload = z.union([
  z.strictObject({ json: z.unknown() }),
  z.strictObject({ text: z.string() }),
  z.strictObject({ base64: z.base64() }),
]);

const Case = z.strictObject({
  format: z.literal(1),
  id: z.string(),
  time: z.iso.datetime(),
  policy: z.string(),
  /** Hex SHA-256 of the module that decided. */
  module: z.string().regex(/^[0-9a-f]{64}$/),
  hook: z.enum(["on_connect", "on_subscribe", "on_message"]),
  tenant: z.string(),
  room: z.string(),
  user: z.string(),
  type: z.string(),
  content_type: z.string(),
  /** Whether the sender signed the message; absent: no. */
  is_signed: z.literal(true).optional(),
  payload: Payload,
  reads: z.array(Read),
  budget_units: Count,
  asking_bytes: Count,
  /** Whether something was removed, by a path or because it looked like a secret. */
  is_redacted: z.boolean(),
  verdict: z.strictObject({
    allowed: z.boolean(),
    code: Count,
    reason: z.string(),
    fault: z.string().nullable(),
    headers: z.array(z.tuple([z.string(), z.string()])),
    /** The replacing payload; null: unchanged. */
    payload: Payload.nullable(),
    units: Count,
  }),
});
/** A payload in the most readable form that restores the same bytes. */
export type Case = z.output<typeof Case>;

const encoder = new TextEncoder();

/** A payload in the most readable form that restores the same bytes. */
export function readablePayload(bytes: Uint8Array): Case["payload"] {
  const text = utf8OrUndefined(bytes);
  if (text === undefined) return { base64: bytes.toBase64() };
  try {
    const json: unknown = JSON.parse(text);
    if (JSON.stringify(json) === text) return { json };
  } catch {
    // Text that is not JSON.
  }
  return { text };
}

/** The bytes of a payload. */
export function payloadBytes(payload: Case["payload"]): Uint8Array {
  if ("json" in payload) return encoder.encode(JSON.stringify(payload.json));
  return "text" in payload ? encoder.encode(payload.text) : Uint8Array.fromBase64(payload.base64);
}

/**
 * An input without secrets. A value of state is derived from payloads and is redacted like one; the values that fill
 * its key are removed, because they contain users and claims, and running a case does not need them.
 */
function redactedInput(read: Read, redact: readonly RedactPath[]): Read {
  const { from, name, value } = read;
  if (from !== "state") return redactedRead(read, redact);
  if (value === null) return { from, name, value };
  const before = readablePayload(Uint8Array.fromBase64(value));
  const after = redactedPayload(before, redact);
  return { from, name, value: after === before ? value : payloadBytes(after).toBase64() };
}

/** The case of a recorded call; undefined for a signal, and when a payload or its sender is unknown. */
export function caseOf(
  record: JournalRecord,
  place: number,
  redact: readonly RedactPath[],
): Case | undefined {
  const policy = record.policies[place] as PolicyRecord;
  const bytes = payloadAt(record, place);
  const is_erased = policy.reads.some((read) => read.is_erased === true);
  const is_known = !is_erased && policy.is_payload_missing !== true;
  if (bytes === undefined || record.sender === null || !is_known || isSignal(record)) {
    return undefined;
  }
  const before = readablePayload(bytes);
  const payload = redactedPayload(before, redact);
  const reads = policy.reads.map((read) => redactedInput(read, redact));
  const changed = reads.some((read, at) => read.value !== policy.reads[at]?.value);
  const { allowed, code, reason, fault, added_headers: headers, units } = policy;
  const replaced = policy.payload === null
    ? null
    : redactedPayload(readablePayload(Uint8Array.fromBase64(policy.payload)), redact);
  return {
    format: 1,
    id: record.id,
    time: time(record.time_ms),
    policy: policy.name,
    module: policy.module,
    hook: record.hook,
    tenant: record.tenant,
    room: record.room,
    user: record.sender.user,
    type: record.type,
    content_type: record.content_type,
    ...(record.is_signed === true ? { is_signed: true } : {}),
    payload,
    reads,
    budget_units: policy.budget_units,
    asking_bytes: policy.asking_bytes,
    is_redacted: changed || payload !== before,
    verdict: { allowed, code, reason, fault, headers, payload: replaced, units },
  };
}

/** The case of a file, or the problem of the file. */
export function parseCase(text: string): { readonly case: Case } | { readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "it is no JSON" };
  }
  const parsed = Case.safeParse(value);
  if (parsed.success) return { case: parsed.data };
  const [issue] = parsed.error.issues;
  return { problem: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "it is no case"}` };
}

/** The recorded decision. */
export function recordedDecision({ verdict }: Case): Decision {
  const { allowed, code, reason, fault } = verdict;
  return { allowed, code, reason, fault };
}

function recordOf(one: Case, payload: Uint8Array): JournalRecord {
  const { verdict } = one;
  const policy: PolicyRecord = {
    name: one.policy,
    module: one.module,
    abi: 1,
    mode: "enforce",
    allowed: verdict.allowed,
    code: verdict.code,
    reason: verdict.reason,
    fault: verdict.fault,
    detail: "",
    units: verdict.units,
    budget_units: one.budget_units,
    asking_bytes: one.asking_bytes,
    has_read_payload: true,
    reads: one.reads,
    writes: [],
    added_headers: verdict.headers,
    payload: verdict.payload === null ? null : payloadBytes(verdict.payload).toBase64(),
    logs: [],
  };
  return {
    format: RECORD_FORMAT,
    id: one.id,
    time_ms: Date.parse(one.time),
    node: "",
    tenant: one.tenant,
    hook: one.hook,
    room: one.room,
    trace: null,
    message_id: null,
    offset: null,
    sender: { user: one.user, connection: "", remote_ip: "" },
    type: one.type,
    content_type: one.content_type,
    ...(one.is_signed === true ? { is_signed: true } : {}),
    payload: { form: "kept", data: payload.toBase64() },
    allowed: verdict.allowed,
    code: verdict.code,
    reason: "",
    message: "",
    schema: null,
    chain_version: null,
    meter_version: 0,
    policies: [policy],
  };
}

/** Most messages that are tried. */
const TRIES = 20_000;

/** All sequences with one range removed, long ranges first. */
function* shorter<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let size = items.length; size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < items.length; start += size) {
      yield [...items.slice(0, start), ...items.slice(start + size)];
    }
  }
}

/** Every JSON value that is one step simpler. */
function* simpler(value: unknown): Generator<unknown> {
  if (typeof value === "string") {
    for (const characters of shorter([...value])) yield characters.join("");
  } else if (typeof value === "number") {
    if (value !== 0) yield 0;
    if (!Number.isInteger(value)) yield Math.trunc(value);
  } else if (Array.isArray(value)) {
    yield* shorter(value);
    for (const [at, member] of value.entries()) {
      for (const next of simpler(member)) yield value.with(at, next);
    }
  } else if (typeof value === "object" && value !== null) {
    const members = Object.entries(value);
    for (const fewer of shorter(members)) yield Object.fromEntries(fewer);
    for (const [at, [name, member]] of members.entries()) {
      for (const next of simpler(member)) {
        yield Object.fromEntries(members.with(at, [name, next]));
      }
    }
  }
}

/** Repeatedly takes the first simpler value that has the property, until none has or `tries` are used up. */
function reduce<T>(first: T, next: (value: T) => Iterable<T>, has: (value: T) => boolean): T {
  let value = first;
  let tries = 0;
  for (;;) {
    let found: { readonly value: T } | undefined;
    for (const one of next(value)) {
      if (++tries > TRIES) return value;
      if (!has(one)) continue;
      found = { value: one };
      break;
    }
    if (found === undefined) return value;
    value = found.value;
  }
}

/** A smaller payload for which `has` is true; it must be true for the given one. */
export function shrinkPayload(
  payload: Uint8Array,
  has: (payload: Uint8Array) => boolean,
): Uint8Array {
  const text = utf8OrUndefined(payload);
  if (text === undefined) {
    const bytes = reduce<readonly number[]>(
      [...payload],
      shorter,
      (one) => has(Uint8Array.from(one)),
    );
    return Uint8Array.from(bytes);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    const characters = reduce<readonly string[]>(
      [...text],
      shorter,
      (one) => has(encoder.encode(one.join(""))),
    );
    return encoder.encode(characters.join(""));
  }
  const written = (value: unknown) => encoder.encode(JSON.stringify(value));
  // Without its whitespace and escapes it may have lost the property.
  if (!has(written(json))) return payload;
  return written(reduce(json, simpler, (value) => has(written(value))));
}

/** A case never belongs to an erased user. */
const WHOLE: Comparable = { compares_units: false, is_erased: false };

function run(module: ReplayModule, one: Case, payload: Uint8Array) {
  const record = recordOf(one, payload);
  const inputs = new RecordedInputs(record, 0);
  inputs.state = recordedState(module.slots, record.policies[0]!, inputs);
  const guest = instantiateGuest(module);
  const outcome = guest.call(one.hook, inputs, one.budget_units / UNITS_PER_FUEL);
  return { record, outcome, unknown: [...inputs.unknown ?? []] };
}

/** Runs a module on a case, on a fresh instance. */
export function runCase(module: ReplayModule, one: Case) {
  const { record, outcome, unknown } = run(module, one, payloadBytes(one.payload));
  const [recorded] = record.policies;
  if (recorded === undefined) throw new TypeError("a case has one policy");
  return {
    decision: decisionOf(outcome),
    headers: outcome.added_headers,
    payload: outcome.payload,
    units: outcome.units,
    /** Differences from the recorded verdict, without fuel; empty: none. */
    differs: differences(recorded, outcome, WHOLE).filter((what) =>
      what !== "payload" || !isRedactedSame(one, outcome.payload)
    ),
    /** Inputs that the module reads but the case lacks; if there are any, the outcome is meaningless. */
    unknown,
  };
}

/** Whether the new payload equals the case's after redaction: a mask is not the masked value. */
function isRedactedSame({ is_redacted, verdict }: Case, payload: Uint8Array | undefined): boolean {
  if (!is_redacted || verdict.payload === null || payload === undefined) return false;
  const now = redactedPayload(readablePayload(payload), []);
  return JSON.stringify(now) === JSON.stringify(verdict.payload);
}

const sameVerdict = (one: GuestOutcome, other: GuestOutcome): boolean =>
  one.allowed === other.allowed && one.code === other.code && one.fault === other.fault;

/**
 * The smallest message found about which `before` and `after` still differ in the same way as about the case's own;
 * undefined when they agree about that one.
 */
export function shrinkFlip(
  before: ReplayModule,
  after: ReplayModule,
  one: Case,
): Uint8Array | undefined {
  const payload = payloadBytes(one.payload);
  const old = run(before, one, payload);
  const now = run(after, one, payload);
  if (old.outcome.allowed === now.outcome.allowed) return undefined;
  return shrinkPayload(payload, (smaller) => {
    const then = run(before, one, smaller);
    const next = run(after, one, smaller);
    return then.unknown.length + next.unknown.length === 0 &&
      sameVerdict(then.outcome, old.outcome) && sameVerdict(next.outcome, now.outcome);
  });
}
