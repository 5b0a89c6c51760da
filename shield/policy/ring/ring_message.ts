/**
 * What travels through the rings between the process and a policy worker: requests to the worker,
 * replies back, as bytes at fixed places. What only some policies want is left out for the others:
 * headers and claims, words of a refusal, log lines. A worker knows the policies of a chain by their
 * place in it; their names stay in the process. Every message carries the generation of its worker.
 */
import type { EvaluateRequest, Hook, PolicyFacts, PolicyFault, PolicyMode } from "../abi/policy.ts";
import { METER_VERSION } from "../../../wasm/metering/meter_costs.ts";
import { HOOKS, POLICY_FAULTS } from "../abi/policy.ts";

/** One policy to run, as the worker knows it. */
export interface WorkerEntry {
  /** The number that the pool gave the module in this process. */
  readonly module: number;
  readonly mode: PolicyMode;
}

/** One policy to run, as the process knows it. */
export interface ChainEntry extends WorkerEntry {
  /** Name of the policy. */
  readonly name: string;
  /** True when its module can ask for headers or claims. */
  readonly asks: boolean;
}

/** A request as the worker reads it. */
export interface WorkerRequest {
  readonly generation: number;
  readonly id: number;
  /** When nobody waits for the verdict any more, in ms of the process's monotonic clock. */
  readonly deadline_ms: number;
  readonly hook: Hook;
  readonly tenant_id: string;
  readonly chain: readonly WorkerEntry[];
  /** The facts, parsed on the first call and then kept; empty when no policy of the chain can ask. */
  readonly facts: () => PolicyFacts;
  /** The size of the facts as `encodeFacts` writes them. */
  readonly facts_bytes: number;
  readonly payload: Uint8Array;
}

/** What one policy of a chain did. */
export interface ChainOutcome {
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault?: PolicyFault;
  /** What was wrong, for the log; set together with `fault`. */
  readonly detail?: string;
  /** Instruction units, whole. */
  readonly units: number;
  /** Units for making an instance for the call; 0 when there was one. */
  readonly instance_units: number;
  readonly duration_ms: number;
}

/** One `host_log` line. */
export interface WorkerLog {
  /** The place of the policy in its chain, from 0 on. */
  readonly place: number;
  /** 0 debug, 1 info, 2 warn, 3 error. */
  readonly level: number;
  readonly message: string;
}

/** The answer of a worker to one request. */
export interface WorkerReply {
  /** True when nothing was run because `deadline_ms` had passed. */
  readonly expired?: boolean;
  /** The outcomes of the chain's policies in order, as far as they were run. */
  readonly outcomes: readonly ChainOutcome[];
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  readonly logs: readonly WorkerLog[];
}

/** The parts of a reply that have words. They stand as JSON behind the rest, and are mostly absent. */
interface Words {
  readonly texts: readonly (readonly [reason: string, detail: string])[];
  readonly added_headers: WorkerReply["added_headers"];
  readonly logs: WorkerReply["logs"];
}

const REQUEST_HEAD_BYTES = 28;
const ENTRY_BYTES = 5;
const REPLY_HEAD_BYTES = 12;
const OUTCOME_BYTES = 28;
/**
 * The layout of messages, for both ends to compare. A worker reads its code when it starts, perhaps
 * hours after the process did. When the files have been replaced meanwhile, the two must not talk,
 * since one would read at the wrong places.
 */
export const RING_LAYOUT = [
  ...[1, REQUEST_HEAD_BYTES, ENTRY_BYTES, REPLY_HEAD_BYTES, OUTCOME_BYTES, POLICY_FAULTS.length],
  METER_VERSION,
].join(".");
/** The most bytes of UTF-8 for one UTF-16 code unit. */
const UNIT_BYTES = 3;
const NO_FACTS: PolicyFacts = { headers: [], claims: {} };
const NO_WORDS: Words = { texts: [], added_headers: [], logs: [] };
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The memory for the next head; it grows, and never leaves this thread. */
let scratch = new DataView(new ArrayBuffer(512));

function room(size_bytes: number): DataView<ArrayBuffer> {
  if (scratch.byteLength < size_bytes) scratch = new DataView(new ArrayBuffer(size_bytes * 2));
  return scratch;
}

/** Headers and claims as they travel. The price of asking depends on the size of this. */
export function encodeFacts(facts: PolicyFacts): Uint8Array {
  return encoder.encode(JSON.stringify(facts));
}

/**
 * The parts of a request's record; their lengths add up to its size. They must be copied before the
 * next call of this module, which writes over them.
 */
export function encodeRequest(
  head: { generation: number; id: number; deadline_ms: number },
  request: Pick<EvaluateRequest, "hook" | "tenant_id" | "facts" | "payload">,
  chain: readonly ChainEntry[],
): Uint8Array[] {
  const { hook, tenant_id, payload } = request;
  const entries_bytes = chain.length * ENTRY_BYTES;
  const view = room(REQUEST_HEAD_BYTES + entries_bytes + tenant_id.length * UNIT_BYTES);
  const tenant_start = REQUEST_HEAD_BYTES + entries_bytes;
  const tenant = new Uint8Array(view.buffer, tenant_start);
  const tenant_bytes = encoder.encodeInto(tenant_id, tenant).written;
  const asks = chain.some((entry) => entry.asks);
  const facts = asks ? encodeFacts(request.facts()) : undefined;
  view.setUint32(0, head.generation, true);
  view.setUint32(4, head.id, true);
  view.setFloat64(8, head.deadline_ms, true);
  view.setUint8(16, HOOKS.indexOf(hook));
  view.setUint8(17, chain.length);
  view.setUint16(18, tenant_bytes, true);
  view.setUint32(20, facts?.length ?? 0, true);
  view.setUint32(24, payload.length, true);
  for (const [place, { module, mode }] of chain.entries()) {
    const at = REQUEST_HEAD_BYTES + place * ENTRY_BYTES;
    view.setUint32(at, module, true);
    view.setUint8(at + 4, mode === "enforce" ? 1 : 0);
  }
  const fixed = new Uint8Array(view.buffer, 0, tenant_start + tenant_bytes);
  return facts === undefined ? [fixed, payload] : [fixed, facts, payload];
}

/** Reads what `encodeRequest` wrote. */
export function decodeRequest(record: Uint8Array<ArrayBuffer>): WorkerRequest {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const chain: WorkerEntry[] = [];
  let at = REQUEST_HEAD_BYTES;
  for (let left = view.getUint8(17); left > 0; left--, at += ENTRY_BYTES) {
    const mode = view.getUint8(at + 4) === 1 ? "enforce" : "observe";
    chain.push({ module: view.getUint32(at, true), mode });
  }
  const tenant_end = at + view.getUint16(18, true);
  const facts_end = tenant_end + view.getUint32(20, true);
  let facts = facts_end === tenant_end ? NO_FACTS : undefined;
  return {
    generation: view.getUint32(0, true),
    id: view.getUint32(4, true),
    deadline_ms: view.getFloat64(8, true),
    hook: HOOKS[view.getUint8(16)]!,
    tenant_id: decoder.decode(record.subarray(at, tenant_end)),
    chain,
    facts: () => facts ??= JSON.parse(decoder.decode(record.subarray(tenant_end, facts_end))),
    facts_bytes: facts_end - tenant_end,
    payload: record.subarray(facts_end, facts_end + view.getUint32(24, true)),
  };
}

function wordsOf({ outcomes, added_headers, logs }: WorkerReply): Words | undefined {
  const wordless = added_headers.length === 0 && logs.length === 0 &&
    outcomes.every(({ reason, fault }) => reason === "" && fault === undefined);
  if (wordless) return undefined;
  const texts = outcomes.map(({ reason, detail = "" }) => [reason, detail] as const);
  return { texts, added_headers, logs };
}

/** The parts of a reply's record, which must be copied like those of a request. */
export function encodeReply(generation: number, id: number, reply: WorkerReply): Uint8Array[] {
  const { outcomes, expired = false } = reply;
  const size_bytes = REPLY_HEAD_BYTES + outcomes.length * OUTCOME_BYTES;
  const view = room(size_bytes);
  view.setUint32(0, generation, true);
  view.setUint32(4, id, true);
  view.setUint8(8, expired ? 1 : 0);
  view.setUint8(9, outcomes.length);
  for (const [place, outcome] of outcomes.entries()) {
    const { allowed, fault, code, units, instance_units, duration_ms } = outcome;
    const at = REPLY_HEAD_BYTES + place * OUTCOME_BYTES;
    view.setUint8(at, allowed ? 1 : 0);
    // 0 stands for no fault.
    view.setUint8(at + 1, fault === undefined ? 0 : POLICY_FAULTS.indexOf(fault) + 1);
    view.setUint16(at + 2, code, true);
    view.setFloat64(at + 4, units, true);
    view.setFloat64(at + 12, duration_ms, true);
    view.setFloat64(at + 20, instance_units, true);
  }
  const fixed = new Uint8Array(view.buffer, 0, size_bytes);
  const words = wordsOf(reply);
  return words === undefined ? [fixed] : [fixed, encoder.encode(JSON.stringify(words))];
}

/** Reads what `encodeReply` wrote. */
export function decodeReply(
  record: Uint8Array<ArrayBuffer>,
): { generation: number; id: number; reply: WorkerReply } {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const count = view.getUint8(9);
  const words_start = REPLY_HEAD_BYTES + count * OUTCOME_BYTES;
  const { texts, added_headers, logs }: Words = words_start === record.length
    ? NO_WORDS
    : JSON.parse(decoder.decode(record.subarray(words_start)));
  const outcomes: ChainOutcome[] = [];
  for (let place = 0; place < count; place++) {
    const at = REPLY_HEAD_BYTES + place * OUTCOME_BYTES;
    const fault = POLICY_FAULTS[view.getUint8(at + 1) - 1];
    const [reason, detail] = texts[place] ?? ["", ""];
    outcomes.push({
      allowed: view.getUint8(at) === 1,
      code: view.getUint16(at + 2, true),
      reason,
      ...(fault === undefined ? {} : { fault, detail }),
      units: view.getFloat64(at + 4, true),
      duration_ms: view.getFloat64(at + 12, true),
      instance_units: view.getFloat64(at + 20, true),
    });
  }
  const expired = view.getUint8(8) === 1 ? { expired: true } : {};
  const reply = { ...expired, outcomes, added_headers, logs };
  return { generation: view.getUint32(0, true), id: view.getUint32(4, true), reply };
}
