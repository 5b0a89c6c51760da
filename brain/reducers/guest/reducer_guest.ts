/**
 * A reducer that is a WebAssembly module: makes its instances and runs them for a draft, with limited fuel. Every
 * command begins with the instance's state after initialisation, so that the room's state is in its values and nowhere
 * else. And the functions that a guest may call.
 */
import { type FirstState, keepFirstState } from "../../../wasm/instance/first_state.ts";
import { type FuelMeter, fuelMeter } from "../../../wasm/instance/fuel_meter.ts";
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import { ROOM_MODULE, UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { BoundsError, type Draft, type Verdict } from "../state/fold.ts";
import { APPLY_EXPORT, INIT_EXPORT, MIGRATE_EXPORT } from "../../../wasm/reducer/room_abi.ts";
import { restoreUnits } from "../../../wasm/metering/renewal.ts";
import type { ReducerFault } from "../state/room_state.ts";
import { CanonicalWriter, copyOf, plainText } from "../state/canonical.ts";

/** The most bytes of one `room_log` line, and of a reason; the rest is dropped. */
const LOG_LINE_BYTES = 1_024;
const REASON_BYTES = 512;
/** No claim that a class names has a longer name: reading a text of MBs costs more than its price. */
const CLAIM_NAME_BYTES = 1_024;
/** The most `room_log` lines of one command; the rest is dropped. */
const LOG_LINES = 32;
/** The most bytes of one `room_scan`, unless its first entry alone is larger. */
const SCAN_BYTES = 65_536;

/** Units of a change of the room, of an entry that is scanned, and of a random number. */
const CHANGE_UNITS = 2_500;
const SCAN_ENTRY_UNITS = 500;
const RANDOM_UNITS = 4_000;
/** Units for each byte written, beside the thunk's one: it is copied and digested. */
const WRITE_UNITS_PER_BYTE = 8;
const GIVE_UNITS_PER_BYTE = 1;

/** Thrown by a function to end the command: the engine unwinds the guest, which cannot catch. */
class EndCommand {
  /** Undefined: the reducer has rejected the command. */
  readonly fault: ReducerFault | undefined;
  readonly detail: string;
  constructor(fault: ReducerFault | undefined, detail: string) {
    this.fault = fault;
    this.detail = detail;
  }

  /** The text of an error that does not end a command. */
  toString(): string {
    return this.detail;
  }
}

/** The exports of an instance that its functions use. */
interface RoomExports {
  readonly memory: WebAssembly.Memory;
  readonly alloc: (size_bytes: number) => number;
  readonly meter: FuelMeter;
}

/** One line of `room_log`. */
export interface RoomLog {
  /** 0 debug, 1 info, 2 warn, 3 error. */
  readonly level: number;
  readonly message: string;
}

/** An instance and its current command. */
interface Running {
  exports: RoomExports;
  draft: Draft | undefined;
  rejected: { readonly code: number; readonly reason: string } | undefined;
  readonly logs: RoomLog[];
  in_alloc: boolean;
  /** The guest's memory; empty after it has grown, and then read again from the instance. */
  memory: Uint8Array;
}

const encoder = new TextEncoder();
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function current({ draft, in_alloc }: Running): Draft {
  if (in_alloc) throw new EndCommand("abi", "arqon_alloc called the host");
  if (draft === undefined) throw new EndCommand("abi", "the host was called outside of a command");
  return draft;
}

function charge({ exports: { meter } }: Running, units: number): void {
  if (meter.charge(units) < 0) throw new EndCommand("fuel", "out of fuel");
}

/** All of the guest's memory, valid until the guest runs again. */
function memoryOf(running: Running): Uint8Array {
  if (running.memory.length > 0) return running.memory;
  return running.memory = new Uint8Array(running.exports.memory.buffer);
}

/** The start of the bytes at a guest's pointer; throws unless they lie within its memory. */
function startOf(running: Running, what: string, pointer: number, size: number): number {
  const start = pointer >>> 0;
  const size_bytes = size >>> 0;
  const memory_bytes = memoryOf(running).length;
  if (start + size_bytes <= memory_bytes) return start;
  const sentence = `${size_bytes} bytes at ${start} are outside of the memory of ${memory_bytes}`;
  throw new EndCommand("abi", `${what}: ${sentence}`);
}

/** The bytes at a guest's pointer, as a view that is valid until the guest runs again. */
function view(running: Running, what: string, pointer: number, size: number): Uint8Array {
  const start = startOf(running, what, pointer, size);
  return running.memory.subarray(start, start + (size >>> 0));
}

/** A copy of the bytes at a guest's pointer. */
function copied(running: Running, what: string, pointer: number, size: number): Uint8Array {
  const start = startOf(running, what, pointer, size);
  return copyOf(running.memory, start, size >>> 0);
}

/** Those bytes as a text; invalid UTF-8 is a fault. */
function text(running: Running, what: string, pointer: number, size: number): string {
  const start = startOf(running, what, pointer, size);
  const size_bytes = size >>> 0;
  const plain = plainText(running.memory, start, size_bytes);
  if (plain !== undefined) return plain;
  try {
    return strict.decode(running.memory.subarray(start, start + size_bytes));
  } catch (error) {
    // If this machine lacks stack or memory, that says nothing about the text.
    if (!(error instanceof TypeError)) throw error;
    throw new EndCommand("abi", `${what}: not UTF-8`);
  }
}

/** The beginning of a text, cut at a character boundary. */
function cut(bytes: Uint8Array, most_bytes: number): string {
  let end = Math.min(bytes.length, most_bytes);
  while (end > 0 && end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--;
  return lenient.decode(bytes.subarray(0, end));
}

/** Has the guest allocate this many bytes after a length of 4 bytes; returns the address. */
function allocate(running: Running, size_bytes: number): number {
  charge(running, size_bytes * GIVE_UNITS_PER_BYTE);
  running.in_alloc = true;
  let pointer: number;
  try {
    pointer = running.exports.alloc(4 + size_bytes) >>> 0;
  } finally {
    running.in_alloc = false;
  }
  if (pointer === 0) throw new EndCommand("memory", "arqon_alloc has no room");
  const at = startOf(running, "arqon_alloc", pointer, 4 + size_bytes);
  const { memory } = running;
  for (let byte = 0; byte < 4; byte++) memory[at + byte] = size_bytes >>> byte * 8;
  return at;
}

/** Copies bytes into memory that the guest allocates: a length of 4 bytes, then the bytes. */
function give(running: Running, bytes: Uint8Array | undefined): number {
  if (bytes === undefined) return 0;
  const at = allocate(running, bytes.length);
  running.memory.set(bytes, at + 4);
  return at | 0;
}

function chargeChange(running: Running, ...sizes: readonly number[]): void {
  const size_bytes = sizes.reduce((sum, size) => sum + (size >>> 0), 0);
  charge(running, CHANGE_UNITS + size_bytes * WRITE_UNITS_PER_BYTE);
}

/** A text as bytes; most are ASCII, for which calling the encoder costs more. */
function giveText(running: Running, text: string): number {
  const size = text.length;
  for (let at = 0; at < size; at++) {
    if (text.charCodeAt(at) > 0x7f) return give(running, encoder.encode(text));
  }
  const start = allocate(running, size);
  const { memory } = running;
  for (let at = 0; at < size; at++) memory[start + 4 + at] = text.charCodeAt(at);
  return start | 0;
}

/** The result of `room_field`, by its argument. */
function field(running: Running, { asked, room }: Draft, which: number): number {
  switch (which) {
    case 0:
      return giveText(running, asked.command);
    case 1:
      return give(running, asked.data);
    case 2:
      return giveText(running, asked.user_id);
    case 3:
      return giveText(running, asked.role);
    case 4:
      return giveText(running, room.room_id);
    case 5:
      return giveText(running, asked.id);
    default:
      throw new EndCommand("abi", `room_field: ${which} is not within 0 to 5`);
  }
}

function askingFunctions(running: Running) {
  return {
    room_field: (which: number): number => field(running, current(running), which),
    room_claim(at: number, size: number): number {
      const { asked: { claims } } = current(running);
      if (view(running, "name of a claim", at, size).length > CLAIM_NAME_BYTES) return 0;
      const name = text(running, "name of a claim", at, size);
      const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
      return value === undefined ? 0 : giveText(running, value);
    },
    room_now: (): bigint => BigInt(current(running).time_ms),
    room_offset: (): bigint => BigInt(current(running).offset),
    room_random(): bigint {
      const draft = current(running);
      charge(running, RANDOM_UNITS);
      return draft.random();
    },
  };
}

/** Of one scan after the other: making one costs more than a scan that finds nothing pays. */
const scanned_bytes = new CanonicalWriter();

/** Entries of `draft` for `room_scan`: length and bytes of the key, then of the value. Valid until the next scan. */
function scanned(
  running: Running,
  draft: Draft,
  [prefix, after]: readonly [Uint8Array, Uint8Array],
  most: number,
): Uint8Array {
  const writer = scanned_bytes.clear();
  let left = most;
  for (const [key, value] of draft.scan(prefix, after)) {
    charge(running, SCAN_ENTRY_UNITS);
    const size_bytes = writer.done().length;
    if (size_bytes > 0 && size_bytes + key.length + value.length + 8 > SCAN_BYTES) break;
    writer.latin(key).bytes(value);
    if (--left === 0) break;
  }
  return writer.done();
}

function valueFunctions(running: Running) {
  return {
    room_read(at: number, size: number): number {
      const draft = current(running);
      return give(running, draft.read(keyOf(running, draft, at, size)));
    },
    room_write(key: number, key_size: number, value: number, value_size: number): void {
      const draft = current(running);
      chargeChange(running, key_size, value_size);
      const bytes = copied(running, "value", value, value_size);
      draft.write(keyOf(running, draft, key, key_size), bytes);
    },
    room_delete(at: number, size: number): void {
      const draft = current(running);
      chargeChange(running, size);
      draft.write(keyOf(running, draft, at, size), undefined);
    },
    room_scan(at: number, size: number, after: number, after_size: number, most: number): number {
      const draft = current(running);
      if (most < 1) throw new EndCommand("abi", `room_scan: ${most} entries; at least 1`);
      const prefix = keyOf(running, draft, at, size);
      const above = keyOf(running, draft, after, after_size);
      return give(running, scanned(running, draft, [prefix, above], most));
    },
  };
}

/** A key at a guest's pointer; one that is too long for any room is never copied. */
function keyOf(running: Running, draft: Draft, at: number, size: number): Uint8Array {
  const { key_bytes } = draft.room.bounds;
  const bytes = view(running, "key", at, size);
  if (bytes.length <= key_bytes) return bytes;
  throw new EndCommand("bounds", `bytes of a key: ${bytes.length}; at most ${key_bytes}`);
}

/** The functions that publish events, answer, and schedule commands. */
function effectFunctions(running: Running) {
  return {
    room_emit(
      ...[type, type_size, data, data_size, to, to_size]: [
        ...[type: number, type_size: number, data: number, data_size: number],
        ...[to: number, to_size: number],
      ]
    ): void {
      const draft = current(running);
      chargeChange(running, type_size, data_size, to_size);
      draft.emit({
        type: text(running, "type of an event", type, type_size),
        data: copied(running, "data of an event", data, data_size),
        to: text(running, "recipient of an event", to, to_size),
      });
    },
    room_answer(at: number, size: number): void {
      const draft = current(running);
      chargeChange(running, size);
      draft.answer(copied(running, "answer", at, size));
    },
    room_schedule(
      ...[key, key_size, at_ms, command, command_size, data, data_size]: [
        ...[key: number, key_size: number, at_ms: bigint, command: number, command_size: number],
        ...[data: number, data_size: number],
      ]
    ): void {
      const draft = current(running);
      chargeChange(running, key_size, command_size, data_size);
      draft.schedule(text(running, "key of a timer", key, key_size), {
        at_ms: Number(at_ms),
        command: text(running, "name of a scheduled command", command, command_size),
        data: copied(running, "data of a scheduled command", data, data_size),
      });
    },
    room_unschedule(at: number, size: number): void {
      const draft = current(running);
      chargeChange(running, size);
      draft.unschedule(text(running, "key of a timer", at, size));
    },
  };
}

/** All functions, for one instance. */
function roomFunctions(running: Running) {
  return {
    ...askingFunctions(running),
    ...valueFunctions(running),
    ...effectFunctions(running),
    room_log(level: number, at: number, size: number): void {
      current(running);
      const bytes = view(running, "log line", at, size);
      if (running.logs.length >= LOG_LINES) return;
      const known = level >= 0 && level <= 3 ? level : 1;
      running.logs.push({ level: known, message: cut(bytes, LOG_LINE_BYTES) });
    },
    room_reject(code: number, at: number, size: number): never {
      current(running);
      const bytes = view(running, "reason", at, size);
      if (code < 400 || code > 599) {
        throw new EndCommand("abi", `room_reject: code ${code} is not within 400 to 599`);
      }
      running.rejected = { code, reason: cut(bytes, REASON_BYTES) };
      throw new EndCommand(undefined, "");
    },
  };
}

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
  /** Units of an instance that no command has paid: the first one, and one in place of a released one. */
  readonly made_units?: number;
  readonly logs: readonly RoomLog[];
}

/** The whole cost of a run, the same whatever ran before it. */
export const unitsOf = ({ units, host_units }: Pick<Run, "units" | "host_units">): number =>
  units + host_units;

/** A reducer, ready for one command after another. */
export interface ReducerGuest {
  /**
   * Runs it for a draft. Throws, as the engine does, only if this machine lacks memory or stack: another machine would
   * reach a verdict, so this is none.
   */
  run(draft: Draft): Run;
  /** Bytes of memory of the instance that waits for the next command; 0: none does. */
  readonly waiting_bytes: number;
  /** Lets that instance go: the next command makes another. */
  release(): void;
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
  let is_paid = false;
  return {
    get waiting_bytes() {
      return waiting === undefined ? 0 : waiting.pages * PAGE_BYTES;
    },
    release() {
      waiting = undefined;
      is_paid = false;
    },
    run(draft) {
      let instance = waiting;
      waiting = undefined;
      let made_units = 0;
      if (instance?.first?.restore() !== true) {
        try {
          instance = makeInstance(compiled, metered);
        } catch (error) {
          return noInstance(error, price);
        }
        if (!is_paid) made_units = price.instance(instance);
        is_paid = true;
      }
      const run = runOn(instance!, draft, fuel);
      // A fault may leave any state behind, and a grown memory cannot be restored.
      const is_kept = run.verdict.kind !== "fault" && instance!.first?.canRestore() === true;
      if (is_kept) waiting = instance;
      return { ...run, host_units: run.host_units + price.units(instance!, is_kept), made_units };
    },
  };
}

// The price of the host's work around a command is the same whatever ran before it: one after which nothing can be
// restored pays for the next instance.

/** The most fuel that `arqon_init` may use. */
const INIT_FUEL = 5_000;
const INIT_UNITS = INIT_FUEL * UNITS_PER_FUEL;

/** What the price of an instance depends on. */
interface MadeInstance {
  /** Units that `arqon_init` used, growth of the memory included, and pages of the memory after it. */
  readonly init_units: number;
  readonly pages: number;
}

/** The price of the instances of one module. */
class HostPrice {
  readonly failed_units: number;
  readonly #instance_units: number;
  readonly #renewal: MeteredModule["renewal"];

  constructor({ cost, renewal }: Pick<MeteredModule, "cost" | "renewal">) {
    this.#instance_units = cost.instance_fuel * UNITS_PER_FUEL;
    this.#renewal = renewal;
    // The units used are unknown if the engine ended it.
    this.failed_units = this.#instance_units + INIT_UNITS;
  }

  /** A command on an instance; `is_kept`: whether it is restored afterwards. */
  units(made: MadeInstance, is_kept: boolean): number {
    const { pages } = made;
    const restored = this.#renewal?.by === "restore" ? restoreUnits(this.#renewal.units, pages) : 0;
    return restored + (is_kept ? 0 : this.instance(made));
  }

  instance({ init_units }: MadeInstance): number {
    return this.#instance_units + init_units;
  }
}
