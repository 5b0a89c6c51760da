/**
 * One recorded call as a file that people read and that CI runs: its inputs, and what was decided. What could
 * be a secret is never in it. Pure.
 */
import { z } from "zod";
import {
  type JournalRecord,
  type PolicyRecord,
  Read,
  RECORD_FORMAT,
} from "../../shared/journal/record.ts";
import type { Decision } from "./comparison.ts";
import { payloadAt } from "./recorded_inputs.ts";
import { redactedPayload, redactedRead, type RedactPath } from "./redaction.ts";

const Count = z.int().min(0);

/** `json` when writing the value anew gives the same bytes, else `text`, else `base64`. */
const Payload = z.union([
  z.strictObject({ json: z.unknown() }),
  z.strictObject({ text: z.string() }),
  z.strictObject({ base64: z.base64() }),
]);

/** A case. */
const Case = z.strictObject({
  format: z.literal(1),
  /** The id of the record. */
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
  /** Its sender signed the message; absent: not. */
  is_signed: z.literal(true).optional(),
  payload: Payload,
  reads: z.array(Read),
  budget_units: Count,
  asking_bytes: Count,
  /** Whether something was taken out, by a path or because it looked like a secret. */
  is_redacted: z.boolean(),
  verdict: z.strictObject({
    allowed: z.boolean(),
    code: Count,
    reason: z.string(),
    fault: z.string().nullable(),
    headers: z.array(z.tuple([z.string(), z.string()])),
    /** What it put in the place of the payload; null: nothing. */
    payload: Payload.nullable(),
    units: Count,
  }),
});
export type Case = z.output<typeof Case>;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** A payload in the most readable form that gives the same bytes again. */
export function readablePayload(bytes: Uint8Array): Case["payload"] {
  let text: string;
  try {
    text = strict.decode(bytes);
  } catch {
    return { base64: bytes.toBase64() };
  }
  try {
    const json: unknown = JSON.parse(text);
    if (JSON.stringify(json) === text) return { json };
  } catch {
    // Text that is no JSON.
  }
  return { text };
}

/** The bytes of a payload. */
export function payloadBytes(payload: Case["payload"]): Uint8Array {
  if ("json" in payload) return encoder.encode(JSON.stringify(payload.json));
  return "text" in payload ? encoder.encode(payload.text) : Uint8Array.fromBase64(payload.base64);
}

/**
 * An input without what must not be there. A value of state is what a policy made of payloads, and is taken as
 * one; what filled its key goes, for it has users and claims, and nothing that runs a case asks for it.
 */
function redactedInput(read: Read, redact: readonly RedactPath[]): Read {
  const { from, name, value } = read;
  if (from !== "state") return redactedRead(read, redact);
  if (value === null) return { from, name, value };
  const before = readablePayload(Uint8Array.fromBase64(value));
  const after = redactedPayload(before, redact);
  return { from, name, value: after === before ? value : payloadBytes(after).toBase64() };
}

/** The case of a recorded call; undefined when a payload or its sender is not known. */
export function caseOf(
  record: JournalRecord,
  place: number,
  redact: readonly RedactPath[],
): Case | undefined {
  const policy = record.policies[place] as PolicyRecord;
  const bytes = payloadAt(record, place);
  const is_erased = policy.reads.some((read) => read.is_erased === true);
  const is_known = !is_erased && policy.is_payload_missing !== true;
  if (bytes === undefined || record.sender === null || !is_known) return undefined;
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
    time: new Date(record.time_ms).toISOString(),
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

/** The case of a file, or what is wrong with the file. */
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

/** What was decided then. */
export function recordedDecision({ verdict }: Case): Decision {
  const { allowed, code, reason, fault } = verdict;
  return { allowed, code, reason, fault };
}

/** The record of a case with this payload, to decide it again. */
export function recordOf(one: Case, payload: Uint8Array): JournalRecord {
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
