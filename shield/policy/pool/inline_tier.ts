/**
 * The inline tier: chains that the operator has marked run on the Shield's own thread, within a small budget, so that
 * no thread has to be woken for them. A chain without a clean verdict there leaves nothing behind, and a worker judges
 * it from the start. For policies, this thread is one more worker: its instances are its own. The tier is off unless
 * `[policy] inline_modules` says otherwise.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import type { ChainEntry } from "../ring/ring_message.ts";
import { addDuration, type ChainOutcome, type WorkerReply } from "../ring/ring_words.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";
import { createInPlace } from "../worker/chain_in_place.ts";
import { keepWritten } from "../state/key_holds.ts";
import { createInstances, type Instances } from "../worker/worker_instances.ts";
import { entryOf } from "./chain_gate.ts";
import type { Modules } from "./pool_modules.ts";
import type { PoolState } from "./pool_state.ts";

/** The dependencies and settings of the tier. */
interface InlineOptions {
  /** The fuel of the policies of one chain together; observing policies have the same amount again. */
  readonly fuel: number;
  /** sha256 of the modules that may run here. */
  readonly marked: ReadonlySet<string>;
  readonly modules: Pick<Modules, "find">;
  readonly keyed: Pick<PoolState, "of" | "holds" | "store">;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Charges the tenant for fuel of chains without a verdict. */
  readonly charge: (tenant_id: string, fuel: number) => void;
  /** Called when a chain that began here is passed to a worker. */
  readonly onAgain: () => void;
}

/** A chain that ran here, with its reply, like one of a worker. */
interface InlineRun {
  readonly chain: readonly ChainEntry[];
  readonly reply: WorkerReply;
  /** The end of its last policy. Reading the clock again would cost as much as a small policy. */
  readonly ended_ms: number;
}

/** The chains that run on this thread. */
export interface InlineTier {
  /** Runs the request's chain, which begins now; undefined: a worker has to run it. Never throws. */
  run(request: EvaluateRequest, now_ms: number): InlineRun | undefined;
  /** Records that a request went to a worker: the tenant's next ones follow it, in order. */
  sent(tenant_id: string): void;
  settled(tenant_id: string): void;
  /** Records what a worker has run: a module that has not run there without a fault does not run here. */
  proved(chain: readonly ChainEntry[], outcomes: readonly ChainOutcome[]): void;
  load(module: number, runnable: RunnableModule): void;
  unload(module: number): void;
}

const INSTANCES = 256;
/** The most fuel for making an instance here, and for its initialisation: half a millisecond each. */
const INSTANCE_FUEL = 1_000;
/**
 * The chains of a tenant that go to a worker after one without a verdict here. So the wasted fuel is a small part of
 * the tenant's fuel.
 */
const REST = 64;
/** The most remembered tenants without running requests, and the most that rest. */
const IDLE_TENANTS = 1_024;
const RESTING_TENANTS = 16_384;

/** The units for instances if all existed. */
const NONE_MADE: number[] = [];
const hasNoFault = ({ fault }: ChainOutcome): boolean => fault === undefined;

/** The known state of a tenant. */
interface Account {
  /** The number of its requests at workers. */
  away: number;
  /** The number of its next chains that go to a worker. */
  rest: number;
}

/** The accounts of tenants. Only idle accounts are dropped, and start again. */
function createAccounts() {
  const accounts = new Map<string, Account>();
  const of = (tenant_id: string): Account => {
    let account = accounts.get(tenant_id);
    if (account === undefined) accounts.set(tenant_id, account = { away: 0, rest: 0 });
    return account;
  };
  return {
    of,
    /** Whether the tenant's next chain may run here. */
    mayRun(tenant_id: string): boolean {
      const account = accounts.get(tenant_id);
      if (account === undefined) return true;
      if (account.rest > 0) account.rest--;
      else if (account.away === 0) return true;
      return false;
    },
    settled(tenant_id: string): void {
      const account = accounts.get(tenant_id);
      if (account === undefined) return;
      account.away--;
      if (account.away > 0) return;
      const most = account.rest > 0 ? RESTING_TENANTS : IDLE_TENANTS;
      if (accounts.size > most) accounts.delete(tenant_id);
    },
  };
}

/** The configured tier; undefined if all chains run in workers. */
export function inlineTier(
  { inline_fuel: fuel, inline_modules }: Config["policy"],
  options: Omit<InlineOptions, "fuel" | "marked">,
): InlineTier | undefined {
  if (inline_modules.length === 0) return undefined;
  return createInlineTier({ ...options, fuel, marked: new Set(inline_modules) });
}

/**
 * Makes the missing instances of a tenant's chain, outside its budget. Returns the units for each of its policies;
 * undefined if that is too expensive, or fails.
 */
function prepare(
  instances: Instances,
  tenant_id: string,
  chain: readonly ChainEntry[],
  onFailed: (tenant_id: string, fuel: number) => void,
): number[] | undefined {
  if (hasAll(instances, tenant_id, chain)) return NONE_MADE;
  const units = chain.map(({ module }) =>
    instances.find(tenant_id, module) === undefined ? instances.price(module) ?? Infinity : 0
  );
  if (units.some((price) => price > INSTANCE_FUEL * UNITS_PER_FUEL)) return undefined;
  try {
    return chain.map(({ module }, place) => {
      if (instances.find(tenant_id, module) !== undefined) return 0;
      return units[place]! + instances.make(tenant_id, module).init_units;
    });
  } catch {
    // A worker finds out why. The cost of the attempt is unknown, so the most that it may cost is charged.
    onFailed(tenant_id, sumOf(units) / UNITS_PER_FUEL + INSTANCE_FUEL);
    return undefined;
  }
}

/** A loop without closures, since it runs for every message. */
function hasAll(instances: Instances, tenant_id: string, chain: readonly ChainEntry[]): boolean {
  for (const { module } of chain) {
    if (instances.find(tenant_id, module) === undefined) return false;
  }
  return true;
}

/** The chain of a request, with the places of its values; undefined if a part of it must not run here now. */
function chainOf(
  { marked, modules, keyed }: InlineOptions,
  proven: ReadonlySet<number>,
  request: EvaluateRequest,
): ChainEntry[] | undefined {
  const chain: ChainEntry[] = new Array(request.chain.length);
  let place = 0;
  const state = keyed.of(request);
  if (state !== undefined && !keyed.holds.isFree(state.keys)) return undefined;
  for (const binding of request.chain) {
    const module = marked.has(binding.sha256) ? modules.find(binding.sha256) : undefined;
    if (module === undefined || !proven.has(module.number)) return undefined;
    chain[place++] = entryOf(binding, module, state);
  }
  return chain;
}

/** Makes a tier in which nothing is loaded. */
function createInlineTier(options: InlineOptions): InlineTier {
  const { fuel, keyed, now, charge } = options;
  const instances = createInstances(INSTANCES, INSTANCE_FUEL);
  const accounts = createAccounts();
  const proven = new Set<number>();
  const limits = { fuel_limit: fuel, chain_fuel_limit: fuel, now, onProgress: () => {} };
  const runInPlace = createInPlace({ instances, ...limits }, keyed.store);

  function onFailed(tenant_id: string, fuel: number): void {
    charge(tenant_id, fuel);
    accounts.of(tenant_id).rest = REST;
  }

  /** Removes all effects of the chain's run here, except its price. */
  function undo(tenant_id: string, chain: readonly ChainEntry[], units: number): void {
    charge(tenant_id, units / UNITS_PER_FUEL);
    for (const { module } of chain) instances.drop(tenant_id, module);
    accounts.of(tenant_id).rest = REST;
    options.onAgain();
  }

  return {
    run(request, now_ms) {
      const { tenant_id } = request;
      if (!accounts.mayRun(tenant_id)) return undefined;
      const chain = chainOf(options, proven, request);
      if (chain === undefined) return undefined;
      const made = prepare(instances, tenant_id, chain, onFailed);
      if (made === undefined) return undefined;
      const reply = runInPlace(request, chain, now_ms);
      if (reply.outcomes.every(hasNoFault)) {
        const ended_ms = reply.outcomes.reduce(addDuration, now_ms);
        if (reply.written !== undefined) keepWritten(keyed.store, chain, reply.written, ended_ms);
        return { chain, reply: withInstances(reply, made), ended_ms };
      }
      const ran = reply.outcomes.map(({ units, instance_units }) => units + instance_units);
      undo(tenant_id, chain, sumOf(ran) + sumOf(made));
      return undefined;
    },
    sent: (tenant_id) => void accounts.of(tenant_id).away++,
    settled: (tenant_id) => accounts.settled(tenant_id),
    proved(chain, outcomes) {
      for (const [place, { fault }] of outcomes.entries()) {
        if (fault === undefined) proven.add(chain[place]!.module);
      }
    },
    load: (module, runnable) => instances.load(module, runnable),
    unload(module) {
      proven.delete(module);
      instances.unload(module);
    },
  };
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0);

/** The reply with the units of the instances that were made for it. */
function withInstances(reply: WorkerReply, made: readonly number[]): WorkerReply {
  if (made === NONE_MADE) return reply;
  const outcomes = reply.outcomes.map((ran, place) => ({
    ...ran,
    instance_units: ran.instance_units + made[place]!,
  }));
  return { ...reply, outcomes };
}
