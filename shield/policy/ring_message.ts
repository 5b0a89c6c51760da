/**
 * What travels through the rings between the process and a policy worker: requests there, replies
 * back. A request's routing part is small and read at once; headers and claims are parsed only when
 * a guest asks for one; the payload is bytes. Every message carries the generation of its worker.
 */
import type { EvaluateRequest, Hook, PolicyFault, PolicyLog, PolicyMode } from "./policy.ts";
import { HOOKS } from "./policy.ts";

/** One policy to run, as the worker knows it. */
export interface ChainEntry {
  /** Number that the pool gave the module in this process. */
  readonly module: number;
  /** Name of the policy. */
  readonly name: string;
  readonly mode: PolicyMode;
}

/** A request as the worker reads it. */
export interface WorkerRequest {
  readonly generation: number;
  readonly id: number;
  /** On the process's monotonic clock, ms: nobody waits for the verdict any more. */
  readonly deadline_ms: number;
  readonly hook: Hook;
  readonly tenant_id: string;
  readonly chain: readonly ChainEntry[];
  /** Parsed on the first call, then kept. */
  readonly facts: () => Facts;
  readonly payload: Uint8Array;
}

/** What guests can ask for besides the payload. */
export interface Facts {
  readonly headers: EvaluateRequest["headers"];
  readonly claims: EvaluateRequest["claims"];
}

/** What one policy of a chain did. */
export interface ChainOutcome {
  readonly module: number;
  readonly name: string;
  readonly mode: PolicyMode;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault?: PolicyFault;
  /** What was wrong, for the log; set with `fault`. */
  readonly detail?: string;
  /** Instruction units, whole. */
  readonly units: number;
  readonly duration_ms: number;
}

/** What a worker answers. */
export interface WorkerReply {
  /** Nothing was run because `deadline_ms` had passed. */
  readonly expired?: boolean;
  readonly outcomes: readonly ChainOutcome[];
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  readonly logs: readonly PolicyLog[];
}

const REQUEST_HEAD_BYTES = 28;
const REPLY_HEAD_BYTES = 8;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The parts of a request's record; their lengths add up to its size. */
export function encodeRequest(
  head: { generation: number; id: number; deadline_ms: number },
  request: Pick<EvaluateRequest, "hook" | "tenant_id" | "headers" | "claims" | "payload">,
  chain: readonly ChainEntry[],
): Uint8Array[] {
  const routing = encoder.encode(JSON.stringify([
    HOOKS.indexOf(request.hook),
    request.tenant_id,
    chain.map(({ module, name, mode }) => [module, name, mode === "enforce" ? 1 : 0]),
  ]));
  const facts = encoder.encode(JSON.stringify([request.headers, request.claims]));
  const view = new DataView(new ArrayBuffer(REQUEST_HEAD_BYTES));
  view.setUint32(0, head.generation, true);
  view.setUint32(4, head.id, true);
  view.setFloat64(8, head.deadline_ms, true);
  view.setUint32(16, routing.length, true);
  view.setUint32(20, facts.length, true);
  view.setUint32(24, request.payload.length, true);
  return [new Uint8Array(view.buffer), routing, facts, request.payload];
}

/** Reads what `encodeRequest` wrote. */
export function decodeRequest(record: Uint8Array<ArrayBuffer>): WorkerRequest {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const routing_end = REQUEST_HEAD_BYTES + view.getUint32(16, true);
  const facts_end = routing_end + view.getUint32(20, true);
  const [hook, tenant_id, chain] = JSON.parse(
    decoder.decode(record.subarray(REQUEST_HEAD_BYTES, routing_end)),
  ) as [number, string, [number, string, number][]];
  let facts: Facts | undefined;
  return {
    generation: view.getUint32(0, true),
    id: view.getUint32(4, true),
    deadline_ms: view.getFloat64(8, true),
    hook: HOOKS[hook]!,
    tenant_id,
    chain: chain.map(([module, name, enforce]) => ({
      module,
      name,
      mode: enforce === 1 ? "enforce" : "observe",
    })),
    facts: () => facts ??= readFacts(record.subarray(routing_end, facts_end)),
    payload: record.subarray(facts_end, facts_end + view.getUint32(24, true)),
  };
}

function readFacts(bytes: Uint8Array): Facts {
  const [headers, claims] = JSON.parse(decoder.decode(bytes));
  return { headers, claims };
}

/** The parts of a reply's record. */
export function encodeReply(generation: number, id: number, reply: WorkerReply): Uint8Array[] {
  const view = new DataView(new ArrayBuffer(REPLY_HEAD_BYTES));
  view.setUint32(0, generation, true);
  view.setUint32(4, id, true);
  return [new Uint8Array(view.buffer), encoder.encode(JSON.stringify(reply))];
}

/** Reads what `encodeReply` wrote. */
export function decodeReply(
  record: Uint8Array<ArrayBuffer>,
): { generation: number; id: number; reply: WorkerReply } {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  return {
    generation: view.getUint32(0, true),
    id: view.getUint32(4, true),
    reply: JSON.parse(decoder.decode(record.subarray(REPLY_HEAD_BYTES))),
  };
}
