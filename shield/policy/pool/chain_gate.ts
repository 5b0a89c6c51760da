/**
 * Decides whether a chain may run now (fuel of the tenant, breakers, loaded modules), and records its outcomes. Fuel,
 * breakers and modules have their own files; nothing here waits.
 */
import type { Env } from "../../../shared/env.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import {
  type Asking,
  type BreakerLimits,
  type Breakers,
  createBreakers,
} from "../../../shared/rates/breaker.ts";
import { createFuelBuckets } from "../../../shared/rates/fuel_bucket.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import type {
  PolicyBinding,
  PolicyFault,
  PolicyOutcome,
  Verdict,
} from "../../../shared/records/verdict.ts";
import type { Quarantine } from "../modules/quarantine.ts";
import type { ChainState } from "../state/chain_state.ts";
import type { LoadedModule, Modules } from "./pool_modules.ts";
import { faultOutcome, faultVerdict, heldOutcome, outcomeOf, verdictOf } from "./pool_verdict.ts";
import type { ChainEntry } from "../ring/ring_message.ts";
import type { ChainOutcome, WorkerReply } from "../ring/ring_words.ts";

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

/** Admits chains, or gives a verdict instead; has the breakers and fuel buckets. */
export interface ChainGate {
  /** `state` has the places of the values that its policies use. */
  admit(request: EvaluateRequest, state: ChainState | undefined, now_ms: number): Admission;
  /** The outcomes of a reply; it counts them for breakers and fuel. */
  learn(
    asking: Asking,
    chain: readonly ChainEntry[],
    reply: WorkerReply,
    now_ms: number,
  ): PolicyOutcome[];
  /** Whether the chain of a request can be admitted now without a change of a breaker. */
  isClear(request: EvaluateRequest, now_ms: number): boolean;
  /** Charges a tenant for fuel that no reply reports. */
  charge(tenant_id: string, fuel: number): void;
  forget(sha256: string): void;
  /** The open breakers, and the number of senders remembered for faults. */
  readonly breakers: Pick<Breakers, "open" | "senders" | "senders_dropped">;
}

const FAILURES: ReadonlySet<PolicyFault> = new Set(["fuel", "trap", "memory", "abi"]);
/** Faults that show neither that the module fails nor that it works. */
const SAYS_NOTHING: ReadonlySet<PolicyFault | undefined> = new Set(
  ["missing-module", "chain-fuel"] as const,
);
const NOTHING = { added_headers: [], logs: [] };
/** The most log lines about faults per second. */
const FAULT_LINES = 10;

/** Logs faults, with a limit per second: a policy that fails often must not fill the disk. */
function createFaultLog(log: Logger) {
  let lines = 0;
  let lines_from_ms = -Infinity;
  return (tenant_id: string, name: string, { fault, detail }: ChainOutcome, now_ms: number) => {
    if (now_ms - lines_from_ms >= 1_000) {
      lines_from_ms = now_ms;
      lines = 0;
    }
    if (++lines > FAULT_LINES) return;
    log.warn("policy failed", { module: name, tenant_id, fault, detail });
  };
}

/** Creates the handler of a module's faults: it logs them, and counts them in the module's breaker. */
function createFailures(
  breakers: Breakers,
  policy: { readonly breaker_seconds: number },
  log: Logger,
) {
  const logFault = createFaultLog(log);
  return (
    asking: Asking,
    { sha256, name }: Readonly<Record<"sha256" | "name", string>>,
    ran: ChainOutcome,
    now_ms: number,
  ): void => {
    const { tenant_id } = asking;
    logFault(tenant_id, name, ran, now_ms);
    const after = breakers.failure(asking, sha256, now_ms, ran.unmade === true);
    if (after === undefined) return;
    const about = { module: name, tenant_id, sha256 };
    if (after === "slowed") {
      const { sender } = asking;
      log.warn("policy sender slowed: its messages make the policy fail", { ...about, sender });
      return;
    }
    log.error("policy cut off: it keeps failing, and its messages are refused", {
      ...about,
      seconds: policy.breaker_seconds,
    });
  };
}

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

/**
 * The module of a policy; undefined while it is not loaded, and for a request that arrived before it was loaded, whose
 * keys of state are unknown.
 */
function readyFor(
  modules: ChainGateOptions["modules"],
  binding: PolicyBinding,
  state: ChainState | undefined,
): LoadedModule | undefined {
  const module = modules.find(binding.sha256);
  const has_keys = module?.slots.length === 0 || state?.slots.has(binding) === true;
  return has_keys ? module : undefined;
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

/** Whether no breaker of the request's policies has faults of its sender, or consecutive failures. */
function hasClearWay(breakers: Breakers, request: EvaluateRequest, now_ms: number): boolean {
  if (breakers.isQuiet(request.tenant_id)) return true;
  for (const { sha256 } of request.chain) {
    if (!breakers.isClear(request, sha256, now_ms)) return false;
  }
  return true;
}

/** Makes a gate with closed breakers and full buckets. */
export function createChainGate(
  { policy, modules, quarantine, log, now }: ChainGateOptions,
): ChainGate {
  const breakers = createBreakers(breakerLimits(policy));
  const buckets = createFuelBuckets(() => policy.fuel_per_second);
  const failure = createFailures(breakers, policy, log);
  /** The completely admitted chains, with their modules. A chain is the same list while it is in force. */
  const known = new WeakMap<readonly PolicyBinding[], KnownChain>();

  function missing(binding: PolicyBinding): PolicyOutcome {
    const is_held = quarantine.has(binding.sha256);
    return faultOutcome(binding, is_held ? "wedge" : "missing-module");
  }

  return {
    admit(request, state, now_ms) {
      const { tenant_id } = request;
      if (!buckets.has(tenant_id, now_ms)) return { verdict: faultVerdict(request, "rate") };
      const before = state === undefined && hasClearWay(breakers, request, now_ms)
        ? known.get(request.chain)
        : undefined;
      if (before?.loaded.every(modules.isLoaded, modules) === true) return before.admission;
      const chain: ChainEntry[] = [];
      const skipped: PolicyOutcome[] = [];
      const loaded: LoadedModule[] = [];
      for (const binding of request.chain) {
        const { sha256, mode } = binding;
        const module = readyFor(modules, binding, state);
        const hold = module === undefined ? undefined : breakers.hold(request, sha256, now_ms);
        if (module !== undefined && hold === undefined) {
          chain.push(entryOf(binding, module, state));
          loaded.push(module);
          continue;
        }
        skipped.push(hold === undefined ? missing(binding) : heldOutcome(binding, hold));
        if (mode === "enforce") return { verdict: verdictOf(skipped, NOTHING) };
      }
      if (chain.length === 0) return { verdict: verdictOf(skipped, NOTHING) };
      const admission = { chain, skipped };
      if (skipped.length === 0 && state === undefined) {
        known.set(request.chain, { admission, loaded });
      }
      return admission;
    },
    learn(asking, chain, reply, now_ms) {
      const { length } = reply.outcomes;
      const outcomes: PolicyOutcome[] = new Array(length);
      let fuel = 0;
      for (let place = 0; place < length; place++) {
        const entry = chain[place]!;
        const ran = reply.outcomes[place]!;
        const outcome = outcomes[place] = outcomeOf(entry, ran);
        fuel += outcome.fuel + outcome.instance_fuel;
        const sha256 = modules.sha256(entry.module);
        if (sha256 === undefined || SAYS_NOTHING.has(ran.fault)) continue;
        if (ran.fault !== undefined && FAILURES.has(ran.fault)) {
          failure(asking, { sha256, name: entry.name }, ran, now_ms);
        } else breakers.success(asking, sha256);
      }
      if (fuel > 0) buckets.spend(asking.tenant_id, fuel, now_ms);
      return outcomes;
    },
    isClear(request, now_ms) {
      return buckets.has(request.tenant_id, now_ms) && hasClearWay(breakers, request, now_ms);
    },
    charge: (tenant_id, fuel) => buckets.spend(tenant_id, fuel, now()),
    forget: (sha256) => breakers.forget(sha256),
    breakers,
  };
}
