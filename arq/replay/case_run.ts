/**
 * Decides cases again: each on a fresh instance, so that no case depends on another, and the smallest message
 * for which two modules still differ.
 */
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { type GuestOutcome, instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import { type Case, payloadBytes, readablePayload, recordOf } from "./case_file.ts";
import { type Comparable, type Decision, decisionOf } from "./comparison.ts";
import { type Difference, differences } from "./comparison.ts";
import { RecordedInputs } from "./recorded_inputs.ts";
import { redactedPayload } from "./redaction.ts";
import { recordedState } from "./replay_state.ts";
import type { ReplayModule } from "./repeater.ts";
import { shrinkPayload } from "./shrink.ts";

/** What a module says of a case. */
export interface CaseOutcome {
  readonly decision: Decision;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** What it put in the place of the payload; undefined: nothing. */
  readonly payload: Uint8Array | undefined;
  readonly units: number;
  /** What differs from the recorded verdict, without fuel; empty: nothing does. */
  readonly differs: readonly Difference[];
  /** Inputs that the module asks for and the case does not have; then the rest counts for nothing. */
  readonly unknown: readonly string[];
}

/** No case is of somebody who was erased. */
const WHOLE: Comparable = { compares_units: false, is_erased: false };

function run(module: ReplayModule, one: Case, payload: Uint8Array) {
  const record = recordOf(one, payload);
  const inputs = new RecordedInputs(record, 0);
  inputs.state = recordedState(module.slots, record.policies[0]!, inputs);
  const guest = instantiateGuest(module);
  const outcome = guest.call(one.hook, inputs, one.budget_units / UNITS_PER_FUEL);
  return { record, outcome, unknown: [...inputs.unknown ?? []] };
}

/** What a module says of a case. */
export function runCase(module: ReplayModule, one: Case): CaseOutcome {
  const { record, outcome, unknown } = run(module, one, payloadBytes(one.payload));
  const [recorded] = record.policies;
  if (recorded === undefined) throw new TypeError("a case has one policy");
  return {
    decision: decisionOf(outcome),
    headers: outcome.added_headers,
    payload: outcome.payload,
    units: outcome.units,
    differs: differences(recorded, outcome, WHOLE).filter((what) =>
      what !== "payload" || !isRedactedSame(one, outcome.payload)
    ),
    unknown,
  };
}

/** Whether the new payload is the case's, once secrets are out of it, too: a mask is not what was masked. */
function isRedactedSame({ is_redacted, verdict }: Case, payload: Uint8Array | undefined): boolean {
  if (!is_redacted || verdict.payload === null || payload === undefined) return false;
  const now = redactedPayload(readablePayload(payload), []);
  return JSON.stringify(now) === JSON.stringify(verdict.payload);
}

const sameVerdict = (one: GuestOutcome, other: GuestOutcome): boolean =>
  one.allowed === other.allowed && one.code === other.code && one.fault === other.fault;

/**
 * The smallest message that was found of which `before` and `after` still say different verdicts, of the same
 * kind as of the case's own; undefined when they agree about that.
 */
export function shrinkFlip(
  before: ReplayModule,
  after: ReplayModule,
  one: Case,
): Uint8Array | undefined {
  const payload = payloadBytes(one.payload);
  const [old, now] = [run(before, one, payload), run(after, one, payload)];
  if (old.outcome.allowed === now.outcome.allowed) return undefined;
  return shrinkPayload(payload, (smaller) => {
    const then = run(before, one, smaller);
    const next = run(after, one, smaller);
    return then.unknown.length + next.unknown.length === 0 &&
      sameVerdict(then.outcome, old.outcome) && sameVerdict(next.outcome, now.outcome);
  });
}
