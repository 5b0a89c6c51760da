/**
 * Makes a chain's verdict from the outcomes of its policies. Pure. Every fault refuses: a message never passes if a
 * policy could not decide.
 */
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { type EvaluateRequest, FAULT_CODES } from "../abi/policy.ts";
import type {
  PolicyBinding,
  PolicyFault,
  PolicyLog,
  PolicyOutcome,
  PolicySeen,
  PolicyValue,
  Verdict,
} from "../../../shared/records/verdict.ts";
import type { Hold } from "../../../shared/rates/breaker.ts";
import type { SlotValue } from "../state/held_values.ts";
import type { ChainEntry } from "../ring/ring_message.ts";
import type { WorkerEntry } from "../ring/ring_last.ts";
import type { ChainOutcome, WorkerLog, WorkerReply } from "../ring/ring_words.ts";

const NOTHING_SEEN = { reads: [], added_headers: [], asking_bytes: 0 };
const NO_LOGS: readonly PolicyLog[] = [];
const NO_VALUES: readonly never[] = [];

/** The code of a refusal because of a fault. */
export function faultCode(fault: PolicyFault): number {
  return FAULT_CODES[fault] ?? 503;
}

/** The outcome of a policy that did not run. */
export function faultOutcome(binding: PolicyBinding, fault: PolicyFault): PolicyOutcome {
  const { name, mode } = binding;
  const code = faultCode(fault);
  return {
    name,
    mode,
    allowed: false,
    code,
    reason: "",
    fault,
    fuel: 0,
    instance_fuel: 0,
    duration_ms: 0,
  };
}

/** The outcome of a policy that its breaker blocks. */
export function heldOutcome(binding: PolicyBinding, { fault, ...hold }: Hold): PolicyOutcome {
  return { ...faultOutcome(binding, fault), ...hold };
}

/**
 * The verdict if no policy ran. The first enforcing policy counts as the one that could not decide; a chain that only
 * observes allows the message.
 */
export function faultVerdict(request: EvaluateRequest, fault: PolicyFault): Verdict {
  const outcomes = request.chain.map((binding) => faultOutcome(binding, fault));
  return verdictOf(outcomes, { added_headers: [], logs: [] });
}

type NamedEntry = Pick<WorkerEntry, "mode"> & Pick<PolicyBinding, "name">;

/** A worker's log lines, with the names of the chain's policies. */
export function namedLogs(
  chain: readonly NamedEntry[],
  logs: readonly WorkerLog[],
): readonly PolicyLog[] {
  if (logs.length === 0) return NO_LOGS;
  return logs.map(({ place, level, message }) => ({ name: chain[place]!.name, level, message }));
}

/** The outcome of one policy, from a worker's reply. */
export function outcomeOf(entry: NamedEntry, ran: ChainOutcome): PolicyOutcome {
  const { name, mode } = entry;
  const { allowed, code, reason, fault, duration_ms } = ran;
  const fuel = ran.units / UNITS_PER_FUEL;
  const instance_fuel = ran.instance_units / UNITS_PER_FUEL;
  const outcome = { name, mode, allowed, code, reason, fault, fuel, instance_fuel, duration_ms };
  return ran.replaced === true ? { ...outcome, replaced: true } : outcome;
}

const refuses = ({ mode, allowed }: PolicyOutcome) => mode === "enforce" && !allowed;

function valuesOf(
  chain: readonly ChainEntry[],
  place: number,
  values: readonly SlotValue[] = NO_VALUES,
): readonly PolicyValue[] {
  const slots = chain[place]?.slots;
  if (slots === undefined || values.length === 0) return NO_VALUES;
  return values.flatMap(({ place: other, slot, value }) => {
    const ref = other === place ? slots[slot] : undefined;
    if (ref === undefined) return [];
    const { template, filled } = ref;
    return { template, filled, value: value === null ? null : value.toBase64() };
  });
}

/**
 * The verdict with the reads and writes of its policies, if the request asks for them. A call without a reported budget
 * had `fuel_limit`.
 */
export function withSeen(
  verdict: Verdict,
  { request, chain }: {
    readonly request: Pick<EvaluateRequest, "record_reads">;
    readonly chain: readonly ChainEntry[];
  },
  reply: WorkerReply,
  fuel_limit: number,
): Verdict {
  if (request.record_reads !== true) return verdict;
  return { ...verdict, seen: seenOf(chain, reply, fuel_limit) };
}

/** A separate function because of its closure, for which every verdict would pay. */
function seenOf(
  chain: readonly ChainEntry[],
  { outcomes, read, written }: WorkerReply,
  fuel_limit: number,
): PolicySeen[] {
  const budget_units = Math.round(fuel_limit * UNITS_PER_FUEL);
  return outcomes.map(({ has_read_payload = false, detail = "", seen }, place): PolicySeen => ({
    ...NOTHING_SEEN,
    ...seen,
    abi: chain[place]?.abi ?? 1,
    state_reads: valuesOf(chain, place, read),
    state_writes: valuesOf(chain, place, written),
    budget_units: seen?.budget_units ?? budget_units,
    has_read_payload,
    detail,
  }));
}

/** The verdict of the first enforcing policy that refuses; allowed if none does. */
export function verdictOf(
  outcomes: readonly PolicyOutcome[],
  { added_headers, payload, logs }:
    & Pick<WorkerReply, "added_headers">
    & Pick<Verdict, "logs">
    & { readonly payload?: Uint8Array | undefined },
): Verdict {
  const refused = outcomes.find(refuses);
  if (refused === undefined) {
    const allowed = { allowed: true, code: 0, reason: "", name: "", added_headers, outcomes, logs };
    return payload === undefined ? allowed : { ...allowed, payload };
  }
  const { code, reason, name } = refused;
  return { allowed: false, code, reason, name, added_headers: [], outcomes, logs };
}
