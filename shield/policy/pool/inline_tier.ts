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
import { Instances } from "../worker/worker_chain.ts";
import { entryOf } from "./chain_gate.ts";
import type { Modules } from "./pool_modules.ts";
import type { PoolState } from "./pool_state.ts";

/** The dependencies and settings of the tier. */
interface InlineOptions {
  readonly policy: Pick<Config["policy"], "inline_fuel" | "inline_modules">;
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

/** The chains that run on this thread. */
export class InlineTier {
  readonly #options: InlineOptions;
  /** sha256 of the modules that may run here. */
  readonly #marked: ReadonlySet<string>;
  readonly #instances = new Instances(INSTANCES, INSTANCE_FUEL);
  /** The accounts of tenants. Only idle accounts are dropped, and start again. */
  readonly #accounts = new Map<string, Account>();
  /** The modules that have run at a worker without a fault. */
  readonly #proven = new Set<number>();
  readonly #runInPlace: ReturnType<typeof createInPlace>;

  /** Nothing is loaded yet. Observing policies of a chain have `inline_fuel` again. */
  constructor(options: InlineOptions) {
    const { policy: { inline_fuel, inline_modules }, keyed, now } = options;
    this.#options = options;
    this.#marked = new Set(inline_modules);
    const limits = { fuel_limit: inline_fuel, chain_fuel_limit: inline_fuel };
    const runner = { instances: this.#instances, ...limits, now, onProgress: () => {} };
    this.#runInPlace = createInPlace(runner, keyed.store);
  }

  /** Runs the request's chain, which begins now; undefined: a worker has to run it. Never throws. */
  run(request: EvaluateRequest, now_ms: number): InlineRun | undefined {
    const { tenant_id } = request;
    if (!this.#mayRun(tenant_id)) return undefined;
    const chain = this.#chainOf(request);
    const made = chain && this.#prepare(tenant_id, chain);
    if (chain === undefined || made === undefined) return undefined;
    const reply = this.#runInPlace(request, chain, now_ms);
    if (reply.outcomes.every(hasNoFault)) {
      const ended_ms = reply.outcomes.reduce(addDuration, now_ms);
      const { written } = reply;
      if (written !== undefined) keepWritten(this.#options.keyed.store, chain, written, ended_ms);
      return { chain, reply: withInstances(reply, made), ended_ms };
    }
    // Nothing of the chain's run here stays, except its price.
    const ran = reply.outcomes.map(({ units, instance_units }) => units + instance_units);
    this.#failed(tenant_id, (sumOf(ran) + sumOf(made)) / UNITS_PER_FUEL);
    for (const { module } of chain) this.#instances.drop(tenant_id, module);
    this.#options.onAgain();
    return undefined;
  }

  /** Records that a request went to a worker: the tenant's next ones follow it, in order. */
  sent(tenant_id: string): void {
    this.#accountOf(tenant_id).away++;
  }

  settled(tenant_id: string): void {
    const account = this.#accounts.get(tenant_id);
    if (account === undefined) return;
    account.away--;
    if (account.away > 0) return;
    const most = account.rest > 0 ? RESTING_TENANTS : IDLE_TENANTS;
    if (this.#accounts.size > most) this.#accounts.delete(tenant_id);
  }

  /** Records what a worker has run: a module that has not run there without a fault does not run here. */
  proved(chain: readonly ChainEntry[], outcomes: readonly ChainOutcome[]): void {
    for (const [place, { fault }] of outcomes.entries()) {
      if (fault === undefined) this.#proven.add(chain[place]!.module);
    }
  }

  load(module: number, runnable: RunnableModule): void {
    this.#instances.load(module, runnable);
  }

  unload(module: number): void {
    this.#proven.delete(module);
    this.#instances.unload(module);
  }

  #accountOf(tenant_id: string): Account {
    let account = this.#accounts.get(tenant_id);
    if (account === undefined) this.#accounts.set(tenant_id, account = { away: 0, rest: 0 });
    return account;
  }

  /** Whether the tenant's next chain may run here. */
  #mayRun(tenant_id: string): boolean {
    const account = this.#accounts.get(tenant_id);
    if (account === undefined) return true;
    if (account.rest > 0) account.rest--;
    else if (account.away === 0) return true;
    return false;
  }

  /** The chain of a request, with the places of its values; undefined if a part of it must not run here now. */
  #chainOf(request: EvaluateRequest): ChainEntry[] | undefined {
    const { modules, keyed } = this.#options;
    const chain: ChainEntry[] = new Array(request.chain.length);
    let place = 0;
    const state = keyed.of(request);
    if (state !== undefined && !keyed.holds.isFree(state.keys)) return undefined;
    for (const binding of request.chain) {
      const module = this.#marked.has(binding.sha256) ? modules.find(binding.sha256) : undefined;
      if (module === undefined || !this.#proven.has(module.number)) return undefined;
      chain[place++] = entryOf(binding, module, state);
    }
    return chain;
  }

  /**
   * Makes the missing instances of a tenant's chain, outside its budget. Returns the units for each of its policies;
   * undefined if that is too expensive, or fails.
   */
  #prepare(tenant_id: string, chain: readonly ChainEntry[]): number[] | undefined {
    if (this.#hasAll(tenant_id, chain)) return NONE_MADE;
    const instances = this.#instances;
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
      this.#failed(tenant_id, sumOf(units) / UNITS_PER_FUEL + INSTANCE_FUEL);
      return undefined;
    }
  }

  /** A loop without closures, since it runs for every message. */
  #hasAll(tenant_id: string, chain: readonly ChainEntry[]): boolean {
    for (const { module } of chain) {
      if (this.#instances.find(tenant_id, module) === undefined) return false;
    }
    return true;
  }

  #failed(tenant_id: string, fuel: number): void {
    this.#options.charge(tenant_id, fuel);
    this.#accountOf(tenant_id).rest = REST;
  }
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
