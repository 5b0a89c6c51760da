/**
 * A reducer that is a WebAssembly module: makes its instances and runs them for a draft, with limited fuel. Every
 * command begins with the instance's state after initialisation, so that the room's state is in its values and nowhere
 * else. `room_functions.ts` has the functions a guest may call.
 */
import { type FirstState, keepFirstState } from "../../../wasm/instance/first_state.ts";
import { fuelMeter } from "../../../wasm/instance/fuel_meter.ts";
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import { ROOM_MODULE, UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { BoundsError, type Draft } from "../state/draft.ts";
import type { Verdict } from "../state/fold.ts";
import { APPLY_EXPORT, INIT_EXPORT, MIGRATE_EXPORT } from "../../../wasm/reducer/room_abi.ts";
import { HostPrice, INIT_FUEL, type MadeInstance } from "./host_price.ts";
import { EndCommand, roomFunctions, type RoomLog, type Running } from "./room_functions.ts";

/** Fuel of a migration, as a multiple of a command's: it may read and write all values of the room. */
const MIGRATION_TIMES = 20;
/** Units for unwinding a command that does not return, and for each slot of the module. */
const ENDING_UNITS = 20_000;
const ENDING_UNITS_PER_SLOT = 6;
const PAGE_BYTES = 65_536;

/** The verdict of a reducer on a command, and its cost. */
export interface Run {
  readonly verdict: Verdict;
  /** Instruction units; at most the command's fuel. */
  readonly units: number;
  /**
   * Units of the host's work around the command, which no limit of a command covers: making or restoring its instance,
   * or unwinding for which it has no units left.
   */
  readonly host_units: number;
  readonly logs: readonly RoomLog[];
}

/** The whole cost of a run. */
export const unitsOf = ({ units, host_units }: Pick<Run, "units" | "host_units">): number =>
  units + host_units;

/** A reducer, ready for one command after another. */
export interface ReducerGuest {
  /**
   * Runs it for a draft. Throws, as the engine does, only if this machine lacks memory or stack: another machine would
   * reach a verdict, so this is none.
   */
  run(draft: Draft): Run;
}

/** An instance that waits for its next command. */
interface Instance extends MadeInstance {
  readonly running: Running;
  readonly apply: () => number;
  /** Undefined: the module cannot take over a room of another module. */
  readonly migrate: (() => number) | undefined;
  /** Undefined: the instance serves one command. */
  readonly first: FirstState | undefined;
}

function isFunction(value: unknown): value is (...operands: number[]) => number {
  return typeof value === "function";
}

const pagesOf = ({ buffer }: WebAssembly.Memory) => buffer.byteLength / PAGE_BYTES;

function makeInstance(
  compiled: WebAssembly.Module,
  metered: Pick<MeteredModule, "renewal">,
): Instance {
  // The exports are not read before a command, and by then they are set.
  const running: Running = {
    exports: undefined!,
    draft: undefined,
    rejected: undefined,
    logs: [],
    in_alloc: false,
    memory: new Uint8Array(),
  };
  const imports = { [ROOM_MODULE]: roomFunctions(running) };
  const { exports } = new WebAssembly.Instance(compiled, imports);
  const { memory, arqon_alloc: alloc, [APPLY_EXPORT]: apply, [INIT_EXPORT]: init } = exports;
  const { [MIGRATE_EXPORT]: found } = exports;
  const migrate = isFunction(found) ? found : undefined;
  if (!(memory instanceof WebAssembly.Memory) || !isFunction(alloc) || !isFunction(apply)) {
    throw new TypeError("the module was not checked");
  }
  const meter = fuelMeter(exports);
  running.exports = { memory, alloc, meter };
  const init_budget = INIT_FUEL * UNITS_PER_FUEL;
  meter.begin(init_budget);
  if (isFunction(init)) init();
  const init_units = init_budget - meter.left();
  const is_restored = metered.renewal?.by === "restore";
  const first = is_restored ? keepFirstState(compiled, exports, memory) : undefined;
  return { running, apply, migrate, first, init_units, pages: pagesOf(memory) };
}

function faultOf(thrown: unknown, is_exhausted: boolean): Verdict {
  if (is_exhausted) return { kind: "fault", fault: "fuel", detail: "out of fuel" };
  if (thrown instanceof BoundsError) {
    return { kind: "fault", fault: "bounds", detail: thrown.message };
  }
  if (thrown instanceof EndCommand) {
    return { kind: "fault", fault: thrown.fault ?? "trap", detail: thrown.detail };
  }
  // Any other error comes from this machine or our code, and would be no outcome on another machine.
  if (!(thrown instanceof WebAssembly.RuntimeError)) throw thrown;
  return { kind: "fault", fault: "trap", detail: thrown.message };
}

function verdictOf(
  { rejected }: Running,
  returned: number | undefined,
  thrown: unknown,
  is_exhausted: boolean,
): Verdict {
  if (thrown === undefined) {
    return returned === 0 ? { kind: "applied" } : { kind: "rejected", code: 403, reason: "" };
  }
  const ended = thrown instanceof EndCommand && thrown.fault === undefined;
  if (ended && rejected !== undefined && !is_exhausted) return { kind: "rejected", ...rejected };
  return faultOf(thrown, is_exhausted);
}

function noMigration(): never {
  throw new EndCommand("abi", `the module has no ${MIGRATE_EXPORT}`);
}

/** Runs it; the units exclude making or restoring the instance. */
function runOn({ running, apply, migrate }: Instance, draft: Draft, fuel: number): Run {
  const is_migration = draft.kind === "migrate";
  const budget = Math.round(fuel * UNITS_PER_FUEL) * (is_migration ? MIGRATION_TIMES : 1);
  const { meter } = running.exports;
  meter.begin(budget);
  running.draft = draft;
  running.rejected = undefined;
  running.logs.length = 0;
  let returned: number | undefined;
  let thrown: unknown;
  try {
    returned = is_migration ? (migrate ?? noMigration)() : apply();
  } catch (error) {
    // A guest cannot throw undefined.
    thrown = error;
  } finally {
    running.draft = undefined;
  }
  if (thrown instanceof RangeError) throw thrown;
  const units_left = meter.left();
  const ending = thrown === undefined ? 0 : ENDING_UNITS + meter.slots() * ENDING_UNITS_PER_SLOT;
  const used = budget - Math.max(0, units_left) + ending;
  const units = Math.min(budget, used);
  const host_units = used - units;
  const verdict = verdictOf(running, returned, thrown, units_left < 0);
  return { verdict, units, host_units, logs: [...running.logs] };
}

/** The fault of a module whose initialisation fails; throws if this machine lacks memory or stack. */
function noInstance(error: unknown, { failed_units: host_units }: HostPrice): Run {
  if (!(error instanceof WebAssembly.RuntimeError) && !(error instanceof EndCommand)) throw error;
  const detail = error instanceof EndCommand ? error.detail : error.message;
  const verdict = { kind: "fault", fault: "abi", detail: `${INIT_EXPORT}: ${detail}` } as const;
  return { verdict, units: 0, host_units, logs: [] };
}

/** A reducer from a module of `meterReducer`, with so much fuel for each command. */
export function createReducer(
  compiled: WebAssembly.Module,
  metered: Pick<MeteredModule, "cost" | "renewal">,
  fuel: number,
): ReducerGuest {
  const price = new HostPrice(metered);
  let waiting: Instance | undefined;
  return {
    run(draft) {
      let instance = waiting;
      waiting = undefined;
      if (instance?.first?.restore() !== true) {
        try {
          instance = makeInstance(compiled, metered);
        } catch (error) {
          return noInstance(error, price);
        }
      }
      const run = runOn(instance!, draft, fuel);
      // A fault may leave any state behind, and a grown memory cannot be restored.
      const is_kept = run.verdict.kind !== "fault" && instance!.first?.canRestore() === true;
      if (is_kept) waiting = instance;
      return { ...run, host_units: run.host_units + price.units(instance!, is_kept) };
    },
  };
}
