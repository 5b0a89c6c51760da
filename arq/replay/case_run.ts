/**
 * Decides cases again: each on a fresh instance, so that no case depends on another, and the smallest message
 * for which two modules still differ.
 */
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { type GuestOutcome, instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import { type Case, payloadBytes, readablePayload, recordOf } from "./case_file.ts";
import {
  type Comparable,
  type Decision,
  decisionOf,
  type Difference,
  differences,
} from "./comparison.ts";
import { RecordedInputs } from "./recorded_inputs.ts";
import { redactedPayload } from "./redaction.ts";
import { recordedState } from "./replay_state.ts";
import type { ReplayModule } from "./repeater.ts";

/** Most messages that are tried. */
const TRIES = 20_000;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Every sequence that lacks one stretch, long stretches first. */
function* shorter<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let size = items.length; size >= 1; size = Math.floor(size / 2)) {
    for (let start = 0; start < items.length; start += size) {
      yield [...items.slice(0, start), ...items.slice(start + size)];
    }
  }
}

/** Every JSON value that is one step simpler. */
function* simpler(value: unknown): Generator<unknown> {
  if (typeof value === "string") {
    for (const characters of shorter([...value])) yield characters.join("");
  } else if (typeof value === "number") {
    if (value !== 0) yield 0;
    if (!Number.isInteger(value)) yield Math.trunc(value);
  } else if (Array.isArray(value)) {
    yield* shorter(value);
    for (const [at, member] of value.entries()) {
      for (const next of simpler(member)) yield value.with(at, next);
    }
  } else if (typeof value === "object" && value !== null) {
    const members = Object.entries(value);
    for (const fewer of shorter(members)) yield Object.fromEntries(fewer);
    for (const [at, [name, member]] of members.entries()) {
      for (const next of simpler(member)) {
        yield Object.fromEntries(members.with(at, [name, next]));
      }
    }
  }
}

/** Takes the first simpler value that has the property, until none has or `tries` are used up. */
function reduce<T>(first: T, next: (value: T) => Iterable<T>, has: (value: T) => boolean): T {
  let value = first;
  let tries = 0;
  for (;;) {
    let found: { readonly value: T } | undefined;
    for (const one of next(value)) {
      if (++tries > TRIES) return value;
      if (!has(one)) continue;
      found = { value: one };
      break;
    }
    if (found === undefined) return value;
    value = found.value;
  }
}

/** A smaller payload for which `has` is true, as it must be for the given one. */
export function shrinkPayload(
  payload: Uint8Array,
  has: (payload: Uint8Array) => boolean,
): Uint8Array {
  let text: string;
  try {
    text = strict.decode(payload);
  } catch {
    const bytes = reduce<readonly number[]>(
      [...payload],
      shorter,
      (one) => has(Uint8Array.from(one)),
    );
    return Uint8Array.from(bytes);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    const characters = reduce<readonly string[]>(
      [...text],
      shorter,
      (one) => has(encoder.encode(one.join(""))),
    );
    return encoder.encode(characters.join(""));
  }
  const written = (value: unknown) => encoder.encode(JSON.stringify(value));
  // Without its blanks and escapes it may have lost the property.
  if (!has(written(json))) return payload;
  return written(reduce(json, simpler, (value) => has(written(value))));
}

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
