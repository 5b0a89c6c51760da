/**
 * The words of a reply: texts of refusals, added headers, log lines, and the reads of policies. They are JSON after the
 * other parts of a reply, and mostly absent.
 */
import type { PolicyFault, PolicySeen } from "../../../shared/records/verdict.ts";
import type { SlotValue } from "../state/held_values.ts";

/** The outcome of one policy of a chain. */
export interface ChainOutcome {
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault?: PolicyFault;
  /** The problem, for the log; set together with `fault`. */
  readonly detail?: string;
  /** True if no instance could be made, which no sender causes. */
  readonly unmade?: true;
  /** Instruction units, whole. */
  readonly units: number;
  /** Units for making an instance for the call, or for restoring its first state. */
  readonly instance_units: number;
  readonly duration_ms: number;
  /** True if it has replaced the payload; absent: it has not. */
  readonly replaced?: boolean;
  /** Whether it read the payload; only with `record_reads`. */
  readonly has_read_payload?: true;
  /** What else it read; only with `record_reads`, and absent without reads. */
  readonly seen?: WorkerSeen;
}

/** Adds the time of a policy, for `reduce`: for every message, a loop over an array makes an iterator. */
export const addDuration = (ms: number, { duration_ms }: ChainOutcome): number => ms + duration_ms;

/** A worker's answer to one request. */
export interface WorkerReply {
  /** True if nothing ran because `deadline_ms` had passed. */
  readonly expired?: boolean;
  /** The outcomes of the chain's policies in order, of those that ran. */
  readonly outcomes: readonly ChainOutcome[];
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  readonly logs: readonly WorkerLog[];
  /** The state that policies with a verdict wrote, in order; absent: none. */
  readonly written?: readonly SlotValue[];
  /** The state that they read, if the request asks for it; absent: none. */
  readonly read?: readonly SlotValue[];
  /** The payload of the last policy that replaced it; absent: none did. */
  readonly payload?: Uint8Array;
}

/** One `host_log` line. */
export interface WorkerLog {
  /** The index of the policy in its chain. */
  readonly place: number;
  /** 0 debug, 1 info, 2 warn, 3 error. */
  readonly level: number;
  readonly message: string;
}

type SeenWords = Pick<PolicySeen, "reads" | "added_headers" | "asking_bytes" | "payload">;

/** What a policy read and wrote, besides its outcome. Usual values are absent. */
interface WorkerSeen extends SeenWords {
  /** The units of the call; absent: those of a whole call. */
  readonly budget_units?: number;
}

/** The words of a reply. */
export interface Words {
  readonly texts: readonly (readonly [reason: string, detail: string])[];
  readonly added_headers: WorkerReply["added_headers"];
  readonly logs: WorkerReply["logs"];
  /** The reads of each policy, by its index; absent if not requested, or without reads. */
  readonly seen?: readonly (WorkerSeen | null)[];
}

/** The words of a reply without any. */
export const NO_WORDS: Words = { texts: [], added_headers: [], logs: [] };
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The words of a reply, as bytes; undefined if it has none. */
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

/** The words in these bytes; no bytes mean none. */
export function decodeWords(bytes: Uint8Array): Words {
  return bytes.length === 0 ? NO_WORDS : JSON.parse(decoder.decode(bytes));
}
