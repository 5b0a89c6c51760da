/**
 * The words of a reply: texts of refusals, added headers, log lines, and what policies have seen. They stand as
 * JSON behind the rest of it, and are mostly absent. Knows no places of numbers.
 */
import type { PolicyFault, PolicySeen } from "../../message/verdict.ts";
import type { SlotValue } from "../state/held_values.ts";

/** What one policy of a chain did. */
export interface ChainOutcome {
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault?: PolicyFault;
  /** What was wrong, for the log; set together with `fault`. */
  readonly detail?: string;
  /** True when no instance could be made, which is no sender's doing. */
  readonly unmade?: true;
  /** Instruction units, whole. */
  readonly units: number;
  /** Units for making an instance for the call, or for putting its first state back. */
  readonly instance_units: number;
  readonly duration_ms: number;
  /** True when it has replaced the payload; absent: it has not. */
  readonly replaced?: boolean;
  /** Whether it asked for the payload; told only with `record_reads`. */
  readonly has_read_payload?: true;
  /** What else it read; told only with `record_reads`, and absent when there is nothing to tell. */
  readonly seen?: WorkerSeen;
}

/** The answer of a worker to one request. */
export interface WorkerReply {
  /** True when nothing was run because `deadline_ms` had passed. */
  readonly expired?: boolean;
  /** The outcomes of the chain's policies in order, as far as they were run. */
  readonly outcomes: readonly ChainOutcome[];
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  readonly logs: readonly WorkerLog[];
  /** The state that policies wrote which came to a verdict, in order; absent: none. */
  readonly written?: readonly SlotValue[];
  /** The state that they read, as far as the request asks for it; absent: none. */
  readonly read?: readonly SlotValue[];
  /** The payload that the last policy has left which replaced it; absent: none did. */
  readonly payload?: Uint8Array;
}

/** One `host_log` line. */
export interface WorkerLog {
  /** The place of the policy in its chain, from 0 on. */
  readonly place: number;
  /** 0 debug, 1 info, 2 warn, 3 error. */
  readonly level: number;
  readonly message: string;
}

type SeenWords = Pick<PolicySeen, "reads" | "added_headers" | "asking_bytes" | "payload">;

/** What a policy read and wrote, beside its outcome. What is usual is absent. */
export interface WorkerSeen extends SeenWords {
  /** The units that the call had; absent: those of a whole call. */
  readonly budget_units?: number;
}

/** The words of a reply. */
export interface Words {
  readonly texts: readonly (readonly [reason: string, detail: string])[];
  readonly added_headers: WorkerReply["added_headers"];
  readonly logs: WorkerReply["logs"];
  /** What each policy has seen, by its place; absent when nobody asked, or none has. */
  readonly seen?: readonly (WorkerSeen | null)[];
}

/** The words of a reply that has none. */
export const NO_WORDS: Words = { texts: [], added_headers: [], logs: [] };
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The words of a reply, as bytes; undefined when it has none. */
export function encodeWords(reply: WorkerReply): Uint8Array | undefined {
  const { outcomes, added_headers, logs } = reply;
  const wordless = added_headers.length === 0 && logs.length === 0 &&
    outcomes.every(({ reason, fault, seen }) =>
      reason === "" && fault === undefined && seen === undefined
    );
  if (wordless) return undefined;
  const texts = outcomes.map(({ reason, detail = "" }) => [reason, detail] as const);
  const words: Words = outcomes.every(({ seen }) => seen === undefined)
    ? { texts, added_headers, logs }
    : { texts, added_headers, logs, seen: outcomes.map(({ seen }) => seen ?? null) };
  return encoder.encode(JSON.stringify(words));
}

/** The words that are there; no bytes are none. */
export function decodeWords(bytes: Uint8Array): Words {
  return bytes.length === 0 ? NO_WORDS : JSON.parse(decoder.decode(bytes));
}
