/**
 * The outcomes of a chain's policies within a reply, as bytes at fixed places, and the payload that they have
 * left behind them. Their words and the rest of a reply are `ring_message.ts`.
 */
import { POLICY_FAULTS } from "../../message/verdict.ts";
import type { ChainOutcome } from "./ring_message.ts";

/** The size of an outcome. */
export const OUTCOME_BYTES = 28;
/** Before a payload in a reply: its length. */
export const PAYLOAD_HEAD_BYTES = 4;
/** Bits of an outcome. */
const ALLOWED = 1;
const REPLACED = 2;
const READ_PAYLOAD = 4;
const UNMADE = 8;

/** Writes outcomes from `start` on, one behind the other. */
export function putOutcomes(
  view: DataView,
  start: number,
  outcomes: readonly ChainOutcome[],
): void {
  let at = start;
  for (const ran of outcomes) {
    const { allowed, fault, code, units, instance_units, duration_ms } = ran;
    view.setUint8(
      at,
      (allowed ? ALLOWED : 0) | (ran.replaced === true ? REPLACED : 0) |
        (ran.has_read_payload === true ? READ_PAYLOAD : 0) |
        (ran.unmade === true ? UNMADE : 0),
    );
    // 0 stands for no fault.
    view.setUint8(at + 1, fault === undefined ? 0 : POLICY_FAULTS.indexOf(fault) + 1);
    view.setUint16(at + 2, code, true);
    view.setFloat64(at + 4, units, true);
    view.setFloat64(at + 12, duration_ms, true);
    view.setFloat64(at + 20, instance_units, true);
    at += OUTCOME_BYTES;
  }
}

/** A copy of the payload of a reply that has one. */
export function payloadAt(
  view: DataView,
  bytes: Uint8Array,
  is_there: boolean,
  start: number,
): Uint8Array | undefined {
  if (!is_there) return undefined;
  const from = start + PAYLOAD_HEAD_BYTES;
  return bytes.slice(from, from + view.getUint32(start, true));
}

/** Reads the outcome that is there, with its words. */
export function outcomeAt(
  view: DataView,
  at: number,
  reason: string,
  detail: string,
): ChainOutcome {
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
  const told = (flags & REPLACED) === 0 ? read : { ...read, replaced: true };
  if (fault === 0) return told;
  const failed = { ...told, fault: POLICY_FAULTS[fault - 1]!, detail };
  return (flags & UNMADE) === 0 ? failed : { ...failed, unmade: true };
}
