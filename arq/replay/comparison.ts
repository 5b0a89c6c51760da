/**
 * Whether a repeated call said what the record says, and which recorded calls can be repeated at all. Pure.
 */
import type { PolicyRecord } from "../../shared/journal/record.ts";
import type { GuestOutcome } from "../../shield/policy/abi/host_abi.ts";

/** What can differ between two calls. */
export type Difference = "verdict" | "code" | "reason" | "headers" | "payload" | "state" | "fuel";

/** Faults that the Shield reports, not the module: no repetition can show them. */
const OF_THE_SHIELD: ReadonlySet<string> = new Set([
  "stall",
  "wedge",
  "queue-full",
  "missing-module",
  "breaker-open",
  "sender-slowed",
  "rate",
  "payload-too-large",
]);

/** Why the module itself did not decide a recorded call; undefined: it did, so it can be repeated. */
export function notOfTheModule({ fault, detail, units, abi }: PolicyRecord): string | undefined {
  if (fault === null) return undefined;
  if (OF_THE_SHIELD.has(fault)) return fault;
  // The chain had nothing left, or its headers were too many together.
  if (fault === "chain-fuel" && units === 0) return fault;
  if (fault === "abi" && detail.startsWith("the chain adds")) return "abi of the chain";
  // An erasure takes the detail, and so nobody knows which of the two it was.
  if (fault === "abi" && detail === "") return fault;
  // No room for an instance; a module that finds no room on its own says so.
  if (fault === "memory" && abi === 1 && !detail.includes("arqon_alloc")) return fault;
  return undefined;
}

const sameFault = (recorded: string | null, ran: string | undefined): boolean =>
  recorded === (ran ?? null) || (recorded === "chain-fuel" && ran === "fuel");

function sameHeaders(one: PolicyRecord["added_headers"], other: GuestOutcome["added_headers"]) {
  return one.length === other.length &&
    one.every(([name, value], at) => name === other[at]?.[0] && value === other[at]?.[1]);
}

/** Whether both put the same payload in the place of the message's, or none. */
function samePayload({ payload }: PolicyRecord, ran: GuestOutcome): boolean {
  return payload === (ran.payload?.toBase64() ?? null);
}

/** What a decision is, as samples and comparisons have it. */
export interface Decision {
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault: string | null;
}

/** What a repeated call decided. */
export function decisionOf({ allowed, code, reason, fault }: GuestOutcome): Decision {
  return { allowed, code, reason, fault: fault ?? null };
}

/** What differs of what users and policies wrote. */
function wordsAndData(recorded: PolicyRecord, ran: GuestOutcome): Difference[] {
  const found: Difference[] = [];
  if (recorded.reason !== ran.reason) found.push("reason");
  if (recorded.allowed && !sameHeaders(recorded.added_headers, ran.added_headers)) {
    found.push("headers");
  }
  const has_payload = recorded.mode === "enforce" && recorded.is_payload_missing !== true;
  if (recorded.allowed && has_payload && !samePayload(recorded, ran)) found.push("payload");
  return found;
}

/** What of a record can be compared. */
export interface Comparable {
  readonly compares_units: boolean;
  /** The sender's part of the record is gone: words, headers, a new payload, and what was written to state. */
  readonly is_erased: boolean;
}

/** What differs between a record and a call, in a fixed order; empty: nothing does. */
export function differences(
  recorded: PolicyRecord,
  ran: GuestOutcome,
  { compares_units, is_erased }: Comparable,
): readonly Difference[] {
  const found: Difference[] = [];
  if (recorded.allowed !== ran.allowed || !sameFault(recorded.fault, ran.fault)) {
    found.push("verdict");
  }
  // The Shield chooses the code of a fault.
  if (ran.fault === undefined && recorded.code !== ran.code) found.push("code");
  if (!is_erased) found.push(...wordsAndData(recorded, ran));
  if (compares_units && recorded.units !== ran.units) found.push("fuel");
  return found;
}
