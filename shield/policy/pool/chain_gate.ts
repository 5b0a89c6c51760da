/**
 * Decides whether a chain may run now (fuel of the tenant, breakers, loaded modules), records its outcomes, and makes
 * its verdict of them. Fuel, breakers and modules have their own files; nothing here waits.
 */
import type { Env } from "../../../shared/env.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { createBreakers } from "../../../shared/rates/breaker.ts";
import type { Asking, BreakerLimits, Breakers, Hold } from "../../../shared/rates/breaker.ts";
import { createFuelBuckets, type FuelBuckets } from "../../../shared/rates/fuel_bucket.ts";
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
import type { Quarantine } from "../modules/quarantine.ts";
import type { ChainState } from "../state/declaration.ts";
import type { LoadedModule, Modules } from "./pool_modules.ts";
import type { ChainEntry } from "../ring/ring_message.ts";
import type { ChainOutcome, WorkerLog, WorkerReply } from "../ring/ring_words.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import type { SlotValue } from "../state/held_values.ts";
import type { WorkerEntry } from "../ring/ring_last.ts";

interface ChainGateOptions extends Pick<Env, "log" | "now"> {
  readonly policy: Config["policy"];
  readonly modules: Pick<Modules, "find" | "sha256" | "isLoaded">;
  readonly quarantine: Pick<Quarantine, "has">;
}

/** A chain that may run, or the verdict instead. */
export type Admission =
  | { readonly chain: readonly ChainEntry[]; readonly skipped: readonly PolicyOutcome[] }
  | { readonly verdict: Verdict };

/** A chain that was completely admitted and has no policy with state. */
interface KnownChain {
  readonly admission: Admission;
  readonly loaded: readonly LoadedModule[];
}

const FAILURES: ReadonlySet<PolicyFault> = new Set(["fuel", "trap", "memory", "abi"]);
/** Faults that show neither that the module fails nor that it works. */
const SAYS_NOTHING: ReadonlySet<PolicyFault | undefined> = new Set(
  ["missing-module", "chain-fuel"] as const,
);
const NOTHING = { added_headers: [], logs: [] };
/** The most log lines about faults per second. */
const FAULT_LINES = 10;

/** The policy's entry for its worker. */
export function entryOf(
  binding: PolicyBinding,
  { number, asks, abi }: LoadedModule,
  state: ChainState | undefined,
): ChainEntry {
  const { name, mode } = binding;
  const slots = state?.slots.get(binding);
  const entry = { module: number, name, mode, asks, abi };
  return slots === undefined ? entry : { ...entry, slots };
}

/** The limits of breakers in the current configuration. */
function breakerLimits(policy: ChainGateOptions["policy"]): BreakerLimits {
  return {
    get failures() {
      return policy.breaker_failures;
    },
    get cool_down_ms() {
      return policy.breaker_seconds * 1_000;
    },
  };
}

/** Admits chains, or gives a verdict instead. */
export class ChainGate {
  readonly #options: ChainGateOptions;
  readonly #buckets: FuelBuckets;
  /** The completely admitted chains, with their modules. A chain is the same list while it is in force. */
  readonly #known = new WeakMap<readonly PolicyBinding[], KnownChain>();
  /** The breakers, and the senders remembered for faults. */
  readonly breakers: Breakers;
  /** The log lines about faults in the current second. */
  #lines = 0;
  #lines_from_ms = -Infinity;

  /** Starts with closed breakers and full buckets. */
  constructor(options: ChainGateOptions) {
    const { policy } = options;
    this.#options = options;
    this.breakers = createBreakers(breakerLimits(policy));
    this.#buckets = createFuelBuckets(() => policy.fuel_per_second);
  }

  /** `state` has the places of the values that the chain's policies use. */
  admit(request: EvaluateRequest, state: ChainState | undefined, now_ms: number): Admission {
    const { modules } = this.#options;
    if (!this.#buckets.has(request.tenant_id, now_ms)) {
      return { verdict: faultVerdict(request, "rate") };
    }
    const before = state === undefined && this.#hasClearWay(request, now_ms)
      ? this.#known.get(request.chain)
      : undefined;
    if (before?.loaded.every(modules.isLoaded, modules) === true) return before.admission;
    const chain: ChainEntry[] = [];
    const skipped: PolicyOutcome[] = [];
    const loaded: LoadedModule[] = [];
    for (const binding of request.chain) {
      const { sha256, mode } = binding;
      const module = this.#readyFor(binding, state);
      const hold = module && this.breakers.hold(request, sha256, now_ms);
      if (module !== undefined && hold === undefined) {
        chain.push(entryOf(binding, module, state));
        loaded.push(module);
        continue;
      }
      skipped.push(hold === undefined ? this.#missing(binding) : heldOutcome(binding, hold));
      if (mode === "enforce") return { verdict: verdictOf(skipped, NOTHING) };
    }
    if (chain.length === 0) return { verdict: verdictOf(skipped, NOTHING) };
    const admission = { chain, skipped };
    if (skipped.length === 0 && state === undefined) {
      this.#known.set(request.chain, { admission, loaded });
    }
    return admission;
  }

  /** The outcomes of a reply; it counts them for breakers and fuel. */
  learn(
    asking: Asking,
    chain: readonly ChainEntry[],
    reply: WorkerReply,
    now_ms: number,
  ): PolicyOutcome[] {
    const { length } = reply.outcomes;
    const outcomes: PolicyOutcome[] = new Array(length);
    let fuel = 0;
    for (let place = 0; place < length; place++) {
      const entry = chain[place]!;
      const ran = reply.outcomes[place]!;
      const outcome = outcomes[place] = outcomeOf(entry, ran);
      fuel += outcome.fuel + outcome.instance_fuel;
      const sha256 = this.#options.modules.sha256(entry.module);
      if (sha256 === undefined || SAYS_NOTHING.has(ran.fault)) continue;
      if (ran.fault !== undefined && FAILURES.has(ran.fault)) {
        this.#failed(asking, { sha256, name: entry.name }, ran, now_ms);
      } else this.breakers.success(asking, sha256);
    }
    if (fuel > 0) this.#buckets.spend(asking.tenant_id, fuel, now_ms);
    return outcomes;
  }

  /** Whether the chain of a request can be admitted now without a change of a breaker. */
  isClear(request: EvaluateRequest, now_ms: number): boolean {
    return this.#buckets.has(request.tenant_id, now_ms) && this.#hasClearWay(request, now_ms);
  }

  /** Charges a tenant for fuel that no reply reports. */
  charge(tenant_id: string, fuel: number): void {
    this.#buckets.spend(tenant_id, fuel, this.#options.now());
  }

  /** Whether no breaker of the request's policies has faults of its sender, or consecutive failures. */
  #hasClearWay(request: EvaluateRequest, now_ms: number): boolean {
    if (this.breakers.isQuiet(request.tenant_id)) return true;
    for (const { sha256 } of request.chain) {
      if (!this.breakers.isClear(request, sha256, now_ms)) return false;
    }
    return true;
  }

  /**
   * The module of a policy; undefined while it is not loaded, and for a request that arrived before it was loaded,
   * whose keys of state are unknown.
   */
  #readyFor(binding: PolicyBinding, state: ChainState | undefined): LoadedModule | undefined {
    const module = this.#options.modules.find(binding.sha256);
    const has_keys = module?.slots.length === 0 || state?.slots.has(binding) === true;
    return has_keys ? module : undefined;
  }

  #missing(binding: PolicyBinding): PolicyOutcome {
    const is_held = this.#options.quarantine.has(binding.sha256);
    return faultOutcome(binding, is_held ? "wedge" : "missing-module");
  }

  /** Logs a fault, and counts it in the module's breaker. */
  #failed(
    asking: Asking,
    { sha256, name }: Readonly<Record<"sha256" | "name", string>>,
    ran: ChainOutcome,
    now_ms: number,
  ): void {
    const { log, policy } = this.#options;
    const about = { module: name, tenant_id: asking.tenant_id };
    const { fault, detail } = ran;
    if (this.#mayLog(now_ms)) log.warn("policy failed", { ...about, fault, detail });
    const after = this.breakers.failure(asking, sha256, now_ms, ran.unmade === true);
    if (after === "slowed") {
      const { sender } = asking;
      const fields = { ...about, sha256, sender };
      log.warn("policy sender slowed: its messages make the policy fail", fields);
    } else if (after !== undefined) {
      const fields = { ...about, sha256, seconds: policy.breaker_seconds };
      log.error("policy cut off: it keeps failing, and its messages are refused", fields);
    }
  }

  /** Limits the lines about faults: a policy that fails often must not fill the disk. */
  #mayLog(now_ms: number): boolean {
    if (now_ms - this.#lines_from_ms >= 1_000) {
      this.#lines_from_ms = now_ms;
      this.#lines = 0;
    }
    return ++this.#lines <= FAULT_LINES;
  }
}

// A chain's verdict from the outcomes of its policies. Every fault refuses: a message never passes if a policy could
// not decide.

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
function heldOutcome(binding: PolicyBinding, { fault, ...hold }: Hold): PolicyOutcome {
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
