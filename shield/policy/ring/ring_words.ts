/**
 * The words of a reply: texts of refusals, added headers, log lines, and what policies have seen. They stand as
 * JSON behind the rest of it, and are mostly absent. Knows no places of numbers.
 */
import type { PolicySeen } from "../../message/verdict.ts";
import type { WorkerReply } from "./ring_message.ts";

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
