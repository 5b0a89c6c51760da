/**
 * The messages in the rings between the process and a policy worker: requests to the worker and its replies, as bytes
 * at fixed places. Parts that only some policies need are omitted for the others: headers and claims, texts of a
 * refusal, log lines. A worker identifies the policies of a chain by their index; their names stay in the process.
 */
import type { EvaluateRequest, PolicyFacts } from "../abi/policy.ts";
import { type Hook, HOOKS, POLICY_FAULTS } from "../../../shared/records/verdict.ts";
import { METER_VERSION } from "../../../wasm/metering/meter_costs.ts";
import type { Records } from "./ring.ts";
import {
  decodeReplyState,
  decodeRequestState,
  encodeReplyState,
  encodeRequestState,
  type ReadRequestState,
  withHolds,
} from "./ring_state.ts";
import { chainAt, ENTRY_BYTES, tenantBytes, tenantOf, type WorkerEntry } from "./ring_last.ts";
import { decodeWords, encodeWords, NO_WORDS } from "./ring_words.ts";
import type { ChainOutcome, WorkerReply } from "./ring_words.ts";
import type { HoldChanges, SlotValue } from "../state/held_values.ts";
import type { ChainValues } from "../state/key_holds.ts";
import type { SlotRef } from "../state/declaration.ts";
import type { AbiVersion } from "../abi/host_functions.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { passing_messages } from "../../../shared/containers/byte_arena.ts";

/** One policy to run, in the process's form. */
export interface ChainEntry extends WorkerEntry {
  readonly name: string;
  /** Whether its module can read headers or claims. */
  readonly asks: boolean;
  /** The places of its values for this operation, by slot; absent without state. */
  readonly slots?: readonly SlotRef[];
  /** The version of its module's ABI; absent: 1. */
  readonly abi?: AbiVersion;
}

/** A request in the worker's form. */
export interface WorkerRequest {
  readonly id: number;
  /** The time after which the verdict is no longer awaited, in ms of the process's monotonic clock. */
  readonly deadline_ms: number;
  readonly hook: Hook;
  readonly tenant_id: string;
  readonly chain: readonly WorkerEntry[];
  /** The facts, parsed on the first call and then cached; empty if no policy of the chain can read them. */
  readonly facts: () => PolicyFacts;
  /** The size of the facts as JSON; 0 if no policy of the chain can read them. */
  readonly facts_bytes: number;
  readonly payload: Uint8Array;
  /** The new values and ended holds of its policies; absent: none. */
  readonly hold_changes?: HoldChanges;
  /** See `EvaluateRequest`. */
  readonly payload_most: number;
  /** Whether the reply has to contain what each policy read. */
  readonly record_reads?: boolean;
}

const OUTCOME_BYTES = 28;

const REQUEST_HEAD_BYTES = 36;
const REPLY_HEAD_BYTES = 8;
/** Bits of a reply. */
const EXPIRED = 1;
const HAS_PAYLOAD = 2;
/**
 * The layout of messages, for both ends to compare. A worker reads its code when it starts, perhaps hours after the
 * process. If the files were replaced meanwhile, the two must not communicate, since one would read at the wrong
 * places.
 */
export const RING_LAYOUT = [
  ...[11, REQUEST_HEAD_BYTES, ENTRY_BYTES, REPLY_HEAD_BYTES, OUTCOME_BYTES, POLICY_FAULTS.length],
  METER_VERSION,
].join(".");
/** The bit of a request's hook that asks for the reads of policies. */
const RECORD_READS = 0x80;
const NO_FACTS: PolicyFacts = { headers: [], claims: {} };
const NO_TEXTS: readonly [string, string] = ["", ""];
const NO_VALUES: readonly SlotValue[] = [];

/** The parts of a request that a worker needs. */
type Asked = Pick<
  EvaluateRequest,
  "hook" | "tenant_id" | "facts" | "payload" | "payload_most" | "record_reads"
>;

/** A request in the worker's form for a chain that runs on this thread, with the same price for its facts. */
export function requestInPlace(
  request: Asked,
  chain: readonly ChainEntry[],
  state?: ReadRequestState,
): WorkerRequest {
  const { hook, tenant_id, payload, payload_most, record_reads = false } = request;
  const asks = chain.some(canAsk);
  const facts = asks ? request.facts() : NO_FACTS;
  const written = asks ? encodeFacts(facts) : undefined;
  const read = {
    id: 0,
    deadline_ms: Infinity,
    hook,
    tenant_id,
    chain,
    facts: asks ? () => facts : noFacts,
    facts_bytes: factsBytes(written?.headers.length ?? 0, written?.claims.length ?? 0),
    payload,
    payload_most,
    record_reads,
  };
  if (state === undefined) return read;
  return { ...read, chain: withHolds(chain, slotsOf, state), hold_changes: state.hold_changes };
}

const canAsk = ({ asks }: ChainEntry): boolean => asks;
const slotsOf = ({ slots }: ChainEntry): number => slots?.length ?? 0;

/**
 * The parts of a request's record; their lengths add up to its size. They must be copied before the next call of this
 * module, which overwrites them.
 */
export function encodeRequest(
  head: { id: number; deadline_ms: number },
  request: Asked,
  chain: readonly ChainEntry[],
  state?: ChainValues,
): Uint8Array[] {
  const { hook, tenant_id, payload, payload_most, record_reads = false } = request;
  const entries_bytes = chain.length * ENTRY_BYTES;
  const tenant = tenantBytes(tenant_id);
  const view = headRoom(REQUEST_HEAD_BYTES + entries_bytes);
  const asks = chain.some(canAsk);
  const facts = asks ? encodeFacts(request.facts()) : undefined;
  view.setUint32(0, head.id, true);
  view.setUint32(4, facts?.claims.length ?? 0, true);
  view.setFloat64(8, head.deadline_ms, true);
  view.setUint8(16, HOOKS.indexOf(hook) | (record_reads ? RECORD_READS : 0));
  view.setUint8(17, chain.length);
  view.setUint16(18, tenant.length, true);
  view.setUint32(20, facts?.headers.length ?? 0, true);
  view.setUint32(24, payload.length, true);
  const values = state === undefined ? undefined : encodeRequestState(state);
  view.setUint32(28, values?.length ?? 0, true);
  view.setInt32(32, payload_most, true);
  let at = REQUEST_HEAD_BYTES;
  for (const entry of chain) {
    view.setUint32(at, entry.module, true);
    view.setUint8(at + 4, entry.mode === "enforce" ? 1 : 0);
    view.setUint8(at + 5, slotsOf(entry));
    at += ENTRY_BYTES;
  }
  const count = 3 + (facts === undefined ? 0 : 2) + (values === undefined ? 0 : 1);
  const parts = partsFrom(headPart(at), count);
  let place = 1;
  parts[place++] = tenant;
  if (facts !== undefined) {
    parts[place++] = facts.headers;
    parts[place++] = facts.claims;
  }
  if (values !== undefined) parts[place++] = values;
  parts[place] = payload;
  return parts;
}

/**
 * Reads a request of `encodeRequest` from the current record. Its payload is a view of the records. Throws RangeError
 * if the record is not a request.
 */
export function decodeRequest({ view, bytes, start, end }: Records): WorkerRequest {
  const entries_start = start + REQUEST_HEAD_BYTES;
  const chain = chainAt(view, entries_start, view.getUint8(start + 17));
  const at = entries_start + chain.length * ENTRY_BYTES;
  const tenant_end = at + view.getUint16(start + 18, true);
  const claims_start = tenant_end + view.getUint32(start + 20, true);
  const facts_end = claims_start + view.getUint32(start + 4, true);
  const state_end = facts_end + view.getUint32(start + 28, true);
  const payload_end = state_end + view.getUint32(start + 24, true);
  if (payload_end !== end) throw new RangeError(`a request of ${end - start} bytes`);
  const request = {
    id: view.getUint32(start, true),
    deadline_ms: view.getFloat64(start + 8, true),
    hook: HOOKS[view.getUint8(start + 16) & ~RECORD_READS]!,
    tenant_id: tenantOf(bytes, at, tenant_end),
    chain,
    facts: facts_end === tenant_end ? noFacts : factsAt(bytes, tenant_end, claims_start, facts_end),
    facts_bytes: factsBytes(claims_start - tenant_end, facts_end - claims_start),
    payload: bytes.subarray(state_end, payload_end),
    payload_most: view.getInt32(start + 32, true),
    record_reads: (view.getUint8(start + 16) & RECORD_READS) !== 0,
  };
  if (state_end === facts_end) return request;
  const state = decodeRequestState({ view, bytes, start: facts_end, end: state_end });
  const slots = (_: unknown, at: number) => view.getUint8(entries_start + at * ENTRY_BYTES + 5);
  return { ...request, chain: withHolds(chain, slots, state), hold_changes: state.hold_changes };
}

const noFacts = () => NO_FACTS;

/** The parts of a reply's record, which must be copied like those of a request. */
export function encodeReply(id: number, reply: WorkerReply): Uint8Array[] {
  const { outcomes, expired = false, payload } = reply;
  const size_bytes = REPLY_HEAD_BYTES + outcomes.length * OUTCOME_BYTES;
  const view = headRoom(size_bytes + PAYLOAD_HEAD_BYTES);
  view.setUint32(0, id, true);
  view.setUint8(4, (expired ? EXPIRED : 0) | (payload === undefined ? 0 : HAS_PAYLOAD));
  view.setUint8(5, outcomes.length);
  const { written = NO_VALUES, read = NO_VALUES } = reply;
  const has_state = written.length + read.length > 0;
  view.setUint8(6, has_state ? 1 : 0);
  putOutcomes(view, REPLY_HEAD_BYTES, outcomes);
  if (payload !== undefined) view.setUint32(size_bytes, payload.length, true);
  const head = headPart(payload === undefined ? size_bytes : size_bytes + PAYLOAD_HEAD_BYTES);
  const state = has_state ? encodeReplyState({ written, read }) : undefined;
  const words = encodeWords(reply);
  const more = Number(payload !== undefined) + Number(has_state) + Number(words !== undefined);
  const parts = partsFrom(head, 1 + more);
  let place = 1;
  if (payload !== undefined) parts[place++] = payload;
  if (state !== undefined) parts[place++] = state;
  if (words !== undefined) parts[place] = words;
  return parts;
}

/**
 * Reads a reply of `encodeReply` from the current record. Only its values of state are views of the records. Throws
 * RangeError if the record is not a reply.
 */
export function decodeReply(
  { view, bytes, start, end }: Records,
): { id: number; reply: WorkerReply } {
  const count = view.getUint8(start + 5);
  const flags = view.getUint8(start + 4);
  const payload_start = start + REPLY_HEAD_BYTES + count * OUTCOME_BYTES;
  const payload = payloadAt(view, bytes, (flags & HAS_PAYLOAD) !== 0, payload_start);
  const state_start = payload_start +
    (payload === undefined ? 0 : PAYLOAD_HEAD_BYTES + payload.length);
  if (state_start > end) throw new RangeError(`a reply of ${end - start} bytes`);
  const state = view.getUint8(start + 6) === 1
    ? decodeReplyState({ view, bytes, start: state_start, end })
    : undefined;
  const words_start = state?.end ?? state_start;
  const words = words_start === end ? NO_WORDS : decodeWords(bytes.subarray(words_start, end));
  const { texts, added_headers, logs, seen } = words;
  const outcomes: ChainOutcome[] = new Array(count);
  for (let place = 0; place < count; place++) {
    const [reason, detail] = texts[place] ?? NO_TEXTS;
    const at = start + REPLY_HEAD_BYTES + place * OUTCOME_BYTES;
    const outcome = outcomeAt(view, at, reason, detail);
    const data = seen?.[place] ?? undefined;
    outcomes[place] = data === undefined ? outcome : { ...outcome, seen: data };
  }
  let reply: WorkerReply = { outcomes, added_headers, logs };
  if (payload !== undefined) reply = { ...reply, payload };
  if (state !== undefined) reply = { ...reply, written: state.written, read: state.read };
  if ((flags & EXPIRED) !== 0) reply = { ...reply, expired: true };
  return { id: view.getUint32(start, true), reply };
}

// Headers and claims for a policy worker, each as JSON. The claims of a connection are the same for all its messages:
// they are written once, and read once while the worker caches them. The cache never changes an answer or a price.

/** The size of the JSON of facts without that of headers and claims; it is part of the price of reading them. */
const AROUND_BYTES = '{"headers":,"claims":}'.length;
/** The most claims that a worker caches, and their longest JSON, in UTF-16 units. */
const CLAIMS_MAX = 256;
const CLAIMS_UNITS = 4_096;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The written claims, as bytes. */
const written = new WeakMap<PolicyFacts["claims"], Uint8Array>();
/** The read claims, by their JSON. */
const read = new BoundedMap<string, PolicyFacts["claims"]>(CLAIMS_MAX);

/** The parts of facts that are sent; the next call overwrites the headers. */
function encodeFacts({ headers, claims }: PolicyFacts): Record<keyof PolicyFacts, Uint8Array> {
  let bytes = written.get(claims);
  if (bytes === undefined) written.set(claims, bytes = encoder.encode(JSON.stringify(claims)));
  return { headers: textPart(JSON.stringify(headers)), claims: bytes };
}

/** Most headers fit: a buffer for each message would cost more than its encoding. */
const TEXT_ROOM = new Uint8Array(32_768);

/** The UTF-8 of a text, mostly in the room; three bytes are the most of a unit. */
function textPart(text: string): Uint8Array {
  if (3 * text.length > TEXT_ROOM.length) return encoder.encode(text);
  return TEXT_ROOM.subarray(0, encoder.encodeInto(text, TEXT_ROOM).written);
}

/** The size of the JSON of facts, on which the price of reading them depends; 0 if none are sent. */
function factsBytes(headers_bytes: number, claims_bytes: number): number {
  return headers_bytes === 0 ? 0 : headers_bytes + claims_bytes + AROUND_BYTES;
}

/** The facts in these bytes: headers, then claims. They are parsed on the first call. */
function factsAt(
  bytes: Uint8Array,
  start: number,
  claims_start: number,
  end: number,
): () => PolicyFacts {
  let facts: PolicyFacts | undefined;
  return () =>
    facts ??= {
      headers: JSON.parse(decoder.decode(bytes.subarray(start, claims_start))),
      claims: claimsOf(decoder.decode(bytes.subarray(claims_start, end))),
    };
}

function claimsOf(text: string): PolicyFacts["claims"] {
  const known = read.use(text);
  if (known !== undefined) return known;
  const claims = JSON.parse(text);
  if (text.length <= CLAIMS_UNITS) read.set(text, claims);
  return claims;
}

/** Before a payload in a reply: its length. */
const PAYLOAD_HEAD_BYTES = 4;
/** Bits of an outcome. */
const ALLOWED = 1;
const REPLACED = 2;
const READ_PAYLOAD = 4;
const UNMADE = 8;

/** Writes outcomes from `start` on, one after the other. */
function putOutcomes(view: DataView, start: number, outcomes: readonly ChainOutcome[]): void {
  let at = start;
  for (const ran of outcomes) {
    const { allowed, fault, code, units, instance_units, duration_ms } = ran;
    view.setUint8(
      at,
      (allowed ? ALLOWED : 0) | (ran.replaced === true ? REPLACED : 0) |
        (ran.has_read_payload === true ? READ_PAYLOAD : 0) |
        (ran.unmade === true ? UNMADE : 0),
    );
    // 0 means no fault.
    view.setUint8(at + 1, fault === undefined ? 0 : POLICY_FAULTS.indexOf(fault) + 1);
    view.setUint16(at + 2, code, true);
    view.setFloat64(at + 4, units, true);
    view.setFloat64(at + 12, duration_ms, true);
    view.setFloat64(at + 20, instance_units, true);
    at += OUTCOME_BYTES;
  }
}

/** A copy of the payload in a reply, if it has one. */
function payloadAt(
  view: DataView,
  bytes: Uint8Array,
  is_there: boolean,
  start: number,
): Uint8Array | undefined {
  if (!is_there) return undefined;
  const from = start + PAYLOAD_HEAD_BYTES;
  return passing_messages.copy(bytes.subarray(from, from + view.getUint32(start, true)));
}

/** Reads the outcome at this place, with its texts. */
function outcomeAt(view: DataView, at: number, reason: string, detail: string): ChainOutcome {
  const flags = view.getUint8(at);
  const fault = view.getUint8(at + 1);
  const outcome = {
    allowed: (flags & ALLOWED) !== 0,
    code: view.getUint16(at + 2, true),
    reason,
    units: view.getFloat64(at + 4, true),
    duration_ms: view.getFloat64(at + 12, true),
    instance_units: view.getFloat64(at + 20, true),
  };
  const read: ChainOutcome = (flags & READ_PAYLOAD) === 0
    ? outcome
    : { ...outcome, has_read_payload: true };
  const ran = (flags & REPLACED) === 0 ? read : { ...read, replaced: true };
  if (fault === 0) return ran;
  const failed = { ...ran, fault: POLICY_FAULTS[fault - 1]!, detail };
  return (flags & UNMADE) === 0 ? failed : { ...failed, unmade: true };
}

/** Heads up to this size have a cached view for each size. */
const KEPT_BYTES = 512;

/** The scratch grows, and never leaves this thread. */
let scratch = new DataView(new ArrayBuffer(KEPT_BYTES));
/** Views of the first bytes of the scratch, by size. */
let heads: Uint8Array<ArrayBuffer>[] = [];

/** Room for a head; the old content is overwritten. */
export function headRoom(size_bytes: number): DataView<ArrayBuffer> {
  if (scratch.byteLength < size_bytes) {
    scratch = new DataView(new ArrayBuffer(size_bytes * 2));
    heads = [];
  }
  return scratch;
}

/** The first bytes of the room, as the part of a record. */
export function headPart(size_bytes: number): Uint8Array<ArrayBuffer> {
  if (size_bytes > KEPT_BYTES) return new Uint8Array(scratch.buffer, 0, size_bytes);
  return heads[size_bytes] ??= new Uint8Array(scratch.buffer, 0, size_bytes);
}

/** The lists by their number of parts. A single list that shrinks and grows would get new memory each time. */
const lists: Uint8Array[][] = [];

/** The list of a record's `count` parts, with the first one set; the caller sets the others. */
export function partsFrom(head: Uint8Array, count: number): Uint8Array[] {
  const parts = lists[count] ??= new Array(count).fill(head);
  parts[0] = head;
  return parts;
}
