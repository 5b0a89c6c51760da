/**
 * One instance of a metered module: how it is made and called, and the outcome of a call. What a guest
 * may ask of the host is `host_functions.ts`; which instance runs, and what follows from its verdict,
 * is `worker_chain.ts`.
 */
import type { Hook, PolicyFault } from "./policy.ts";
import { FUEL_EXPORT, HEIGHT_EXPORT, UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { EndCall, HOST_MODULE, hostImports, newCall } from "./host_functions.ts";
import type { Call, Exports, GuestRequest, Running, Variable } from "./host_functions.ts";

/**
 * Units for a call that does not return, by `host_reject`, a trap or another fault: the engine has to
 * unwind it. They are taken from what is left of the call's fuel, so it never ends for want of them.
 */
const ENDING_UNITS = 20_000;
const ENDING_UNITS_PER_SLOT = 6;

/** The outcome of one call. */
export interface GuestOutcome {
  readonly allowed: boolean;
  /** 0 when the call allowed the operation, otherwise a code from 400 to 599. */
  readonly code: number;
  readonly reason: string;
  readonly fault: PolicyFault | undefined;
  /** What was wrong, in words for people; "" without a fault. */
  readonly detail: string;
  /** Instruction units used. */
  readonly units: number;
  readonly added_headers: readonly (readonly [name: string, value: string])[];
  readonly logs: readonly { readonly level: number; readonly message: string }[];
  /** True when the instance must not be used again. */
  readonly broken: boolean;
}

/** A guest that can be called, one call at a time. */
export interface Guest {
  /** Runs one hook with this much fuel. Never throws. */
  call(hook: Hook, request: GuestRequest, fuel: number): GuestOutcome;
}

/**
 * Makes an instance. Throws as the engine throws when it cannot make one (RangeError: no memory), and
 * TypeError when an export is missing, which the check of uploads has already refused.
 */
export function instantiateGuest(module: WebAssembly.Module): Guest {
  // The exports are not read before a call, and by then they are set.
  const running: Running = { exports: undefined!, call: undefined, in_alloc: false };
  const exports = exportsOf(
    new WebAssembly.Instance(module, { [HOST_MODULE]: hostImports(running) }),
  );
  running.exports = exports;
  const hooks: Partial<Record<Hook, () => number>> = {};
  return {
    call(hook, request, fuel) {
      const call = newCall(request);
      running.call = call;
      // Units that were divided into fuel are whole numbers again.
      const budget = BigInt(Math.round(fuel * UNITS_PER_FUEL));
      const stack_pointer = exports.stack_pointer?.value;
      exports.fuel.value = budget;
      if (exports.height !== undefined) exports.height.value = 0;
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
      const left = exports.fuel.value;
      const used = left < 0n ? budget : budget - left;
      const ending = thrown === undefined ? 0n : endingUnits(exports.height?.value ?? 0);
      const units = Number(used + ending < budget ? used + ending : budget);
      return outcomeOf(call, verdict, thrown, units, left < 0n);
    },
  };
}

/** The units that unwinding costs for frames of so many slots. */
function endingUnits(height_slots: number): bigint {
  return BigInt(ENDING_UNITS + height_slots * ENDING_UNITS_PER_SLOT);
}

function exportsOf(instance: WebAssembly.Instance): Exports {
  const all = instance.exports;
  const { memory, arqon_alloc, __stack_pointer } = all;
  const fuel = all[FUEL_EXPORT];
  const height = all[HEIGHT_EXPORT];
  if (!(memory instanceof WebAssembly.Memory)) throw new TypeError("no exported memory");
  if (typeof arqon_alloc !== "function") throw new TypeError("no exported arqon_alloc");
  if (!(fuel instanceof WebAssembly.Global)) throw new TypeError("the module is not metered");
  return {
    memory,
    alloc: arqon_alloc as (size_bytes: number) => number,
    fuel: fuel as Variable<bigint>,
    height: isMutableNumber(height) ? height : undefined,
    stack_pointer: isMutableNumber(__stack_pointer) ? __stack_pointer : undefined,
    all,
  };
}

function isMutableNumber(value: unknown): value is Variable<number> {
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
 * The outcome of a call. A refusal keeps the instance, whose memory is the policy's state; a fault does
 * not.
 */
function outcomeOf(
  call: Call,
  verdict: number | undefined,
  thrown: unknown,
  units: number,
  exhausted: boolean,
): GuestOutcome {
  const { added_headers, logs } = call;
  const refused = { allowed: false, units, added_headers: [], logs };
  if (thrown !== undefined) {
    if (call.rejected !== undefined && thrown instanceof EndCall && !exhausted) {
      return { ...refused, ...call.rejected, fault: undefined, detail: "", broken: false };
    }
    return { ...refused, code: 503, reason: "", ...faultOf(thrown, exhausted), broken: true };
  }
  if (verdict !== 0) {
    return { ...refused, code: 403, reason: "", fault: undefined, detail: "", broken: false };
  }
  const fault = undefined;
  return {
    allowed: true,
    code: 0,
    reason: "",
    fault,
    detail: "",
    units,
    added_headers,
    logs,
    broken: false,
  };
}

function faultOf(
  thrown: unknown,
  exhausted: boolean,
): { fault: PolicyFault; detail: string } {
  if (exhausted) return { fault: "fuel", detail: "out of fuel" };
  if (thrown instanceof EndCall) return { fault: thrown.fault ?? "trap", detail: thrown.detail };
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return { fault: "trap", detail };
}
