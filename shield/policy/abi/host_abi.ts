/**
 * One instance of a metered module: its creation, its calls and their outcomes. `host_functions.ts` has the functions
 * of a guest; `worker_chain.ts` chooses the instance, and handles its verdict.
 */
import { FAULT_CODES } from "./policy.ts";
import type { Hook, PolicyFault } from "../../../shared/records/verdict.ts";
import { fuelMeter } from "../../../wasm/instance/fuel_meter.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { type Renewal, restoreUnits } from "../../../wasm/metering/renewal.ts";
import { type FirstState, keepFirstState } from "../../../wasm/instance/first_state.ts";
import { EndCall, HOST_MODULE, hostImports, newCall } from "./host_functions.ts";
import type { Call, Exports, GuestRequest, Running, StackPointer } from "./host_functions.ts";

/**
 * Units for a call that does not return, by `host_reject`, a trap or another fault: the engine has to unwind it. They
 * are taken from the rest of the call's fuel, so a lack of fuel never stops the ending.
 */
const ENDING_UNITS = 20_000;
const ENDING_UNITS_PER_SLOT = 6;
/** The most fuel of `arqon_init`: as much as an instance may cost otherwise. */
export const INIT_FUEL = 5_000;

/** The outcome of one call. */
export interface GuestOutcome {
  readonly allowed: boolean;
  /** 0 when the call allowed the operation, otherwise a code from 400 to 599. */
  readonly code: number;
  readonly reason: string;
  readonly fault: PolicyFault | undefined;
  /** The fault for people; "" without a fault. */
  readonly detail: string;
  /** Instruction units used. */
  readonly units: number;
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  readonly logs: readonly { readonly level: number; readonly message: string }[];
  /** The new payload; undefined: it is unchanged. */
  readonly payload: Uint8Array | undefined;
  /** True if the instance must not be used again. */
  readonly broken: boolean;
  /** The slots of state that the call wrote, if it reached a verdict; null: deleted. Absent: none. */
  readonly written?: ReadonlyMap<number, Uint8Array | null>;
  /** The slots that the call read before writing them, as bits; absent: none. */
  readonly read_slots?: number;
}

/** A guest that can be called, one call at a time. */
export interface Guest {
  /** Units of its initialisation, besides the price of an instance. */
  readonly init_units: number;
  /** Units that its next call pays for restoring its first state; 0 if it still has that. */
  readonly restore_units: number;
  /** Units that every call but the first one pays for the restoration, with the memory size after initialisation. */
  readonly renewal_units: number;
  /** Runs one hook with this much fuel. Never throws. */
  call(hook: Hook, request: GuestRequest, fuel: number): GuestOutcome;
}

/** A metered module from which instances are made. */
export interface GuestModule {
  readonly compiled: WebAssembly.Module;
  /** Restores the state after initialisation for each call; absent: state lives between calls. */
  readonly renewal?: Renewal | undefined;
}

/**
 * Makes an instance. Throws the engine's error if it cannot make one (RangeError: no memory), `EndCall` if its
 * initialisation fails within `init_fuel`, and TypeError if an export is missing, which the check of uploads has
 * already refused.
 */
export function instantiateGuest(
  { compiled, renewal }: GuestModule,
  init_fuel: number = INIT_FUEL,
): Guest {
  // The exports are not read before a call, and are set by then.
  const running: Running = { exports: undefined!, call: undefined, in_alloc: false };
  const host_module = HOST_MODULE[renewal === undefined ? 1 : 2];
  const instance = new WebAssembly.Instance(compiled, { [host_module]: hostImports(running) });
  const exports = exportsOf(instance);
  running.exports = exports;
  if (renewal === undefined) return new RunningGuest(running, true);
  const init_units = initialise(exports, init_fuel);
  if (renewal.by === "instance") return new RunningGuest(running, false, init_units);
  const first = keepFirstState(compiled, exports.all, exports.memory);
  const units = restoreUnits(renewal.units, first.pages);
  return new RunningGuest(running, false, init_units, first, units);
}

/** Runs `arqon_init`, if there is one. Returns its units. */
function initialise(exports: Exports, fuel: number): number {
  const { arqon_init: init } = exports.all;
  if (typeof init !== "function") return 0;
  const budget = Math.round(fuel * UNITS_PER_FUEL);
  exports.meter.begin(budget);
  try {
    init();
  } catch (error) {
    const { fault, detail } = faultOf(error, exports.meter.left() < 0);
    throw new EndCall(fault, `arqon_init: ${detail}`);
  }
  return budget - exports.meter.left();
}

/** The outcome of a call that did not run. */
export const NOT_RUN = {
  allowed: false,
  code: 503,
  reason: "",
  units: 0,
  added_headers: [],
  logs: [],
  payload: undefined,
};
const SERVED = "the instance has served its call";
const USED_UP: GuestOutcome = { ...NOT_RUN, fault: "abi", detail: SERVED, broken: true };

/**
 * An instance: its memory is the policy's state (`lasts`), or it is restored for each call. Without a first state it
 * serves only one call.
 */
class RunningGuest implements Guest {
  readonly init_units: number;
  readonly renewal_units: number;
  readonly #running: Running;
  readonly #hooks: Hooks = {};
  readonly #lasts: boolean;
  readonly #first: FirstState | undefined;
  #used = false;

  constructor(running: Running, lasts: boolean, init_units = 0, first?: FirstState, units = 0) {
    this.#running = running;
    this.#lasts = lasts;
    this.init_units = init_units;
    this.#first = first;
    this.renewal_units = units;
  }

  get restore_units(): number {
    return this.#used ? this.renewal_units : 0;
  }

  call(hook: Hook, request: GuestRequest, fuel: number): GuestOutcome {
    if (this.#lasts) return runCall(this.#running, this.#hooks, hook, request, fuel);
    const first = this.#first;
    if (this.#used && first?.restore() !== true) return USED_UP;
    this.#used = true;
    const outcome = runCall(this.#running, this.#hooks, hook, request, fuel);
    if (outcome.broken || first?.canRestore() === true) return outcome;
    return { ...outcome, broken: true };
  }
}

type Hooks = Partial<Record<Hook, () => number>>;

/** Runs one hook with this much fuel. Never throws. `hooks` caches the functions. */
function runCall(
  running: Running,
  hooks: Hooks,
  hook: Hook,
  request: GuestRequest,
  fuel: number,
): GuestOutcome {
  const { exports } = running;
  const { meter } = exports;
  const call = newCall(request);
  running.call = call;
  // Units that were divided into fuel are whole numbers again.
  const budget = Math.round(fuel * UNITS_PER_FUEL);
  const stack_pointer = exports.stack_pointer?.value;
  meter.begin(budget);
  let verdict: number | undefined;
  let thrown: unknown;
  try {
    verdict = (hooks[hook] ??= hookOf(exports, hook))();
  } catch (error) {
    thrown = error;
  } finally {
    running.call = undefined;
  }
  // `host_reject` leaves the guest without its epilogues, so its stack pointer is restored here.
  if (stack_pointer !== undefined) exports.stack_pointer!.value = stack_pointer;
  const left = meter.left();
  const used = left < 0 ? budget : budget - left;
  const ending = thrown === undefined ? 0 : endingUnits(meter.slots());
  const units = Math.min(used + ending, budget);
  const outcome = outcomeOf(call, verdict, thrown, units, left < 0);
  const { written, read_slots } = call;
  if (written === undefined && read_slots === 0) return outcome;
  const is_kept = outcome.fault === undefined && written !== undefined;
  return is_kept ? { ...outcome, read_slots, written } : { ...outcome, read_slots };
}

const NONE: readonly never[] = [];

/** The units that unwinding costs for frames of that many slots. */
function endingUnits(height_slots: number): number {
  return ENDING_UNITS + height_slots * ENDING_UNITS_PER_SLOT;
}

function exportsOf(instance: WebAssembly.Instance): Exports {
  const all = instance.exports;
  const { memory, arqon_alloc, __stack_pointer } = all;
  if (!(memory instanceof WebAssembly.Memory)) throw new TypeError("no exported memory");
  if (typeof arqon_alloc !== "function") throw new TypeError("no exported arqon_alloc");
  return {
    memory,
    bytes: new Uint8Array(memory.buffer),
    alloc: arqon_alloc as (size_bytes: number) => number,
    meter: fuelMeter(all),
    stack_pointer: isMutableNumber(__stack_pointer) ? __stack_pointer : undefined,
    all,
  };
}

function isMutableNumber(value: unknown): value is StackPointer {
  if (!(value instanceof WebAssembly.Global) || typeof value.value !== "number") return false;
  const before = value.value;
  try {
    value.value = before;
    return true;
  } catch {
    return false;
  }
}

function hookOf(exports: Exports, hook: Hook): () => number {
  const found = exports.all[`arqon_${hook}`];
  if (typeof found === "function") return found as () => number;
  throw new EndCall("abi", `the module does not export arqon_${hook}`);
}

/**
 * The outcome of a call. After a refusal the instance is kept, since its memory may be the policy's state; after a
 * fault it is not.
 */
function outcomeOf(
  call: Call,
  verdict: number | undefined,
  thrown: unknown,
  units: number,
  exhausted: boolean,
): GuestOutcome {
  const { added_headers = NONE, logs = NONE, payload } = call;
  const fault = undefined;
  // The most frequent outcome is made in one piece.
  if (thrown === undefined && verdict === 0) {
    return {
      allowed: true,
      code: 0,
      reason: "",
      fault,
      detail: "",
      units,
      added_headers,
      logs,
      payload,
      broken: false,
    };
  }
  const refused = { allowed: false, units, added_headers: NONE, logs, payload: undefined };
  if (thrown !== undefined) {
    if (call.rejected !== undefined && thrown instanceof EndCall && !exhausted) {
      return { ...refused, ...call.rejected, fault: undefined, detail: "", broken: false };
    }
    const { fault, detail } = faultOf(thrown, exhausted);
    const code = FAULT_CODES[fault] ?? 503;
    return { ...refused, code, reason: "", fault, detail, broken: true };
  }
  return { ...refused, code: 403, reason: "", fault, detail: "", broken: false };
}

function faultOf(thrown: unknown, exhausted: boolean): { fault: PolicyFault; detail: string } {
  if (exhausted) return { fault: "fuel", detail: "out of fuel" };
  if (thrown instanceof EndCall) return { fault: thrown.fault ?? "trap", detail: thrown.detail };
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return { fault: "trap", detail };
}
