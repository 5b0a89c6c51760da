/**
 * A reducer that is a WebAssembly module: makes instances of it and runs it for a draft, with so much fuel.
 * Every command begins with the state that the instance had after its initialisation, so that what a room is
 * is in its values and nowhere else. What a guest may ask is `room_functions.ts`.
 */
import { type FirstState, keepFirstState } from "../../../wasm/instance/first_state.ts";
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import {
  FUEL_EXPORT,
  HEIGHT_EXPORT,
  ROOM_MODULE,
  UNITS_PER_FUEL,
} from "../../../wasm/metering/meter_costs.ts";
import { BoundsError, type Draft } from "../state/draft.ts";
import type { Verdict } from "../state/fold.ts";
import { APPLY_EXPORT, INIT_EXPORT, MIGRATE_EXPORT } from "../../../wasm/reducer/room_abi.ts";
import { HostPrice, INIT_FUEL, type MadeInstance } from "./host_price.ts";
import { EndCommand, roomFunctions, type RoomLog, type Running } from "./room_functions.ts";
import type { Variable } from "./room_functions.ts";

/** A migration may go over all that the room has: how many times the fuel of a command it may use. */
const MIGRATION_TIMES = 20;
/** Units for a command that does not return, which the engine has to unwind, and for each slot of it. */
const ENDING_UNITS = 20_000;
const ENDING_UNITS_PER_SLOT = 6;
const PAGE_BYTES = 65_536;

/** What a reducer said of a command, and what that cost. */
export interface Run {
  readonly verdict: Verdict;
  /** Instruction units; at most what the command had. */
  readonly units: number;
  /**
   * Units of what the host does around it, which no limit of a command is about: its instance, or putting that back;
   * unwinding that it has no units left for.
   */
  readonly host_units: number;
  readonly logs: readonly RoomLog[];
}

/** All that a run has cost. */
export const unitsOf = ({ units, host_units }: Pick<Run, "units" | "host_units">): number =>
  units + host_units;

/** A reducer, ready for one command after another. */
export interface ReducerGuest {
  /**
   * Runs it for a draft. Throws, as the engine does, only where this machine has no memory or stack for it:
   * another one would come to a verdict, so this is none.
   */
  run(draft: Draft): Run;
}

/** An instance that waits for its next command. */
interface Instance extends MadeInstance {
  readonly running: Running;
  readonly apply: () => number;
  /** Undefined: a room of another module stays as it is. */
  readonly migrate: (() => number) | undefined;
  readonly height: Variable<number>;
  /** Undefined: it serves one command. */
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
    ...{ exports: undefined!, draft: undefined, rejected: undefined, logs: [], in_alloc: false },
    memory: new Uint8Array(),
  };
  const imports = { [ROOM_MODULE]: roomFunctions(running) };
  const { exports } = new WebAssembly.Instance(compiled, imports);
  const { memory, arqon_alloc: alloc, [APPLY_EXPORT]: apply, [INIT_EXPORT]: init } = exports;
  const { [MIGRATE_EXPORT]: found } = exports;
  const migrate = isFunction(found) ? found : undefined;
  const fuel = exports[FUEL_EXPORT] as Variable<bigint>;
  const height = exports[HEIGHT_EXPORT] as Variable<number>;
  if (!(memory instanceof WebAssembly.Memory) || !isFunction(alloc) || !isFunction(apply)) {
    throw new TypeError("the module was not checked");
  }
  running.exports = { memory, alloc, fuel };
  const init_budget = BigInt(INIT_FUEL * UNITS_PER_FUEL);
  fuel.value = init_budget;
  if (isFunction(init)) init();
  const init_units = Number(init_budget - fuel.value);
  const is_restored = metered.renewal?.by === "restore";
  const first = is_restored ? keepFirstState(compiled, exports, memory) : undefined;
  return {
    running,
    apply,
    migrate,
    height,
    first,
    init_units,
    pages: pagesOf(memory),
  };
}

function faultOf(thrown: unknown, is_exhausted: boolean): Verdict {
  if (is_exhausted) return { kind: "fault", fault: "fuel", detail: "out of fuel" };
  if (thrown instanceof BoundsError) {
    return { kind: "fault", fault: "bounds", detail: thrown.message };
  }
  if (thrown instanceof EndCommand) {
    return { kind: "fault", fault: thrown.fault ?? "trap", detail: thrown.detail };
  }
  // Anything else is this machine's or ours, and would be no outcome on another one.
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

/** Runs it; what making the instance or putting it back costs is not in it. */
function runOn({ running, apply, migrate, height }: Instance, draft: Draft, fuel: number): Run {
  const is_migration = draft.kind === "migrate";
  const budget = Math.round(fuel * UNITS_PER_FUEL) * (is_migration ? MIGRATION_TIMES : 1);
  const { fuel: left } = running.exports;
  left.value = BigInt(budget);
  height.value = 0;
  running.draft = draft;
  running.rejected = undefined;
  running.logs.length = 0;
  let returned: number | undefined;
  let thrown: unknown;
  try {
    returned = is_migration ? (migrate ?? noMigration)() : apply();
  } catch (error) {
    // A guest has no way to throw undefined.
    thrown = error;
  } finally {
    running.draft = undefined;
  }
  if (thrown instanceof RangeError) throw thrown;
  const units_left = Number(left.value);
  const ending = thrown === undefined ? 0 : ENDING_UNITS + height.value * ENDING_UNITS_PER_SLOT;
  const used = budget - Math.max(0, units_left) + ending;
  const units = Math.min(budget, used);
  const host_units = used - units;
  const verdict = verdictOf(running, returned, thrown, units_left < 0);
  return { verdict, units, host_units, logs: [...running.logs] };
}

/** The fault of a module whose initialisation does not end well; what this machine lacks is thrown. */
function noInstance(error: unknown, { failed_units: host_units }: HostPrice): Run {
  if (!(error instanceof WebAssembly.RuntimeError) && !(error instanceof EndCommand)) throw error;
  const detail = error instanceof EndCommand ? error.detail : error.message;
  const verdict = { kind: "fault", fault: "abi", detail: `${INIT_EXPORT}: ${detail}` } as const;
  return { verdict, units: 0, host_units, logs: [] };
}

/** A reducer of a module that `meterReducer` has made, with so much fuel for each command. */
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
      // A fault may leave anything behind; what has grown its memory is not put back.
      const is_kept = run.verdict.kind !== "fault" && instance!.first?.canRestore() === true;
      if (is_kept) waiting = instance;
      return { ...run, host_units: run.host_units + price.units(instance!, is_kept) };
    },
  };
}
