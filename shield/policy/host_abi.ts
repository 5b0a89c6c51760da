/**
 * One instance of a metered module and the six functions of `arqon_host_v1` that it may call. Nothing
 * a guest says is believed: every pointer and length is checked against the memory as it is then.
 * Which instance runs, and what follows from its verdict, is `worker_chain.ts`.
 */
import type { Hook, PolicyFault } from "./policy.ts";
import { FUEL_EXPORT, HEIGHT_EXPORT, UNITS_PER_FUEL } from "./meter_costs.ts";
import {
  ADDED_HEADER_BYTES,
  ADDED_HEADERS,
  asciiLower,
  cutUtf8,
  headerProblem,
} from "./host_headers.ts";

/** Name of the module that guests import from. */
export const HOST_MODULE = "arqon_host_v1";
/** Most bytes of one `host_log` line; the rest is cut off. */
export const LOG_LINE_BYTES = 1_024;
/** Most lines of one call; the rest is dropped. */
export const LOG_LINES = 32;
/** Most bytes of a reason; the rest is cut off. */
export const REASON_BYTES = 512;

/** What a call may ask for. */
export interface GuestRequest {
  /** By name in ASCII lower case; undefined when there is none. */
  readonly header: (lower_name: string) => string | undefined;
  /** A claim as text. */
  readonly claim: (name: string) => string | undefined;
  readonly payload: Uint8Array;
}

/** What a call came to. */
export interface GuestOutcome {
  readonly allowed: boolean;
  /** 0 when allowed, else 400 to 599. */
  readonly code: number;
  readonly reason: string;
  readonly fault: PolicyFault | undefined;
  /** What was wrong, for people; "" without a fault. */
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

/** Thrown by an import to end the call: the JavaScript engine unwinds the guest, which cannot catch. */
class EndCall {
  readonly fault: PolicyFault | undefined;
  readonly detail: string;
  constructor(fault: PolicyFault | undefined, detail: string) {
    this.fault = fault;
    this.detail = detail;
  }

  /** What is said where it ends no call: a start function that asks the host. */
  toString(): string {
    return this.detail;
  }
}

/** One call in progress. */
interface Call {
  readonly request: GuestRequest;
  readonly added_headers: (readonly [string, string])[];
  added_bytes: number;
  readonly logs: { level: number; message: string }[];
  rejected: { code: number; reason: string } | undefined;
}

/** An exported global; the types of WebAssembly that come with TypeScript know no value types. */
interface Variable<T extends number | bigint> {
  value: T;
}

/** The exports that the host uses. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly alloc: (size_bytes: number) => number;
  readonly fuel: Variable<bigint>;
  readonly height: Variable<number> | undefined;
  readonly stack_pointer: Variable<number> | undefined;
  readonly all: WebAssembly.Exports;
}

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });
/** Copying text out costs a unit a byte, copying the payload a unit for eight bytes. */
const TEXT_BYTES_PER_UNIT = 1;
const PAYLOAD_BYTES_PER_UNIT = 8;

/** An instance and what it is doing. */
interface Running {
  exports: Exports;
  call: Call | undefined;
  in_alloc: boolean;
}

/** The call in progress; imports may be used only in one, and not by `arqon_alloc`. */
function current({ call, in_alloc }: Running): Call {
  if (in_alloc) throw new EndCall("abi", "arqon_alloc called the host");
  // A start section may call imports while there is no call yet.
  if (call === undefined) throw new EndCall("abi", "the host was called outside of a hook");
  return call;
}

/** The bytes that the guest names, as a view that is good until the guest runs again. */
function read({ exports }: Running, what: string, pointer: number, size: number): Uint8Array {
  const start = pointer >>> 0;
  const size_bytes = size >>> 0;
  const memory_bytes = exports.memory.buffer.byteLength;
  if (start + size_bytes <= memory_bytes) {
    return new Uint8Array(exports.memory.buffer, start, size_bytes);
  }
  const sentence = `${size_bytes} bytes at ${start} are outside of the memory of ${memory_bytes}`;
  throw new EndCall("abi", `${what}: ${sentence}`);
}

function readText(running: Running, what: string, pointer: number, size: number): string {
  const bytes = read(running, what, pointer, size);
  try {
    return strict.decode(bytes);
  } catch {
    throw new EndCall("abi", `${what}: not UTF-8`);
  }
}

/** Takes fuel for what the host does for the guest. */
function charge({ exports: { fuel } }: Running, units: number): void {
  const left = fuel.value - BigInt(units);
  fuel.value = left;
  if (left < 0n) throw new EndCall("fuel", "out of fuel");
}

/** Copies into memory that the guest allocates: the length in 4 bytes, then the bytes. */
function give(running: Running, bytes: Uint8Array, bytes_per_unit: number): number {
  charge(running, Math.ceil(bytes.length / bytes_per_unit));
  running.in_alloc = true;
  let pointer: number;
  try {
    pointer = running.exports.alloc(4 + bytes.length) >>> 0;
  } finally {
    running.in_alloc = false;
  }
  if (pointer === 0) throw new EndCall("memory", "arqon_alloc has no room");
  const target = read(running, "arqon_alloc", pointer, 4 + bytes.length);
  new DataView(target.buffer, target.byteOffset).setUint32(0, bytes.length, true);
  target.set(bytes, 4);
  return pointer | 0;
}

function giveText(running: Running, text: string | undefined): number {
  return text === undefined ? 0 : give(running, encoder.encode(text), TEXT_BYTES_PER_UNIT);
}

function hostImports(running: Running) {
  return {
    host_get_header(pointer: number, size: number): number {
      const { request } = current(running);
      const name = readText(running, "header name", pointer, size);
      return giveText(running, request.header(asciiLower(name)));
    },
    host_get_claim(pointer: number, size: number): number {
      const { request } = current(running);
      return giveText(running, request.claim(readText(running, "claim name", pointer, size)));
    },
    host_get_payload: () => give(running, current(running).request.payload, PAYLOAD_BYTES_PER_UNIT),
    host_add_header(name_at: number, name_size: number, value_at: number, value_size: number) {
      addHeader(
        current(running),
        readText(running, "header name", name_at, name_size),
        readText(running, "header value", value_at, value_size),
        (name_size >>> 0) + (value_size >>> 0),
      );
    },
    host_log(level: number, pointer: number, size: number): void {
      const { logs } = current(running);
      const bytes = read(running, "log line", pointer, size);
      if (logs.length >= LOG_LINES) return;
      const known = level >= 0 && level <= 3 ? level : 1;
      logs.push({ level: known, message: cutUtf8(bytes, LOG_LINE_BYTES) });
    },
    host_reject(code: number, pointer: number, size: number): never {
      const call = current(running);
      const bytes = read(running, "reason", pointer, size);
      if (code < 400 || code > 599) {
        throw new EndCall("abi", `host_reject: code ${code} is not within 400 to 599`);
      }
      call.rejected = { code, reason: cutUtf8(bytes, REASON_BYTES) };
      throw new EndCall(undefined, "");
    },
  };
}

/**
 * Makes an instance. Throws what the engine throws when it cannot (RangeError: no memory), and
 * TypeError when an export is missing, which the upload check has refused already.
 */
export function instantiateGuest(module: WebAssembly.Module): Guest {
  // Nothing looks at the exports before there is a call.
  const running: Running = { exports: undefined!, call: undefined, in_alloc: false };
  const exports = exportsOf(
    new WebAssembly.Instance(module, { [HOST_MODULE]: hostImports(running) }),
  );
  running.exports = exports;
  return {
    call(hook, request, fuel) {
      const call: Call = {
        request,
        added_headers: [],
        added_bytes: 0,
        logs: [],
        rejected: undefined,
      };
      running.call = call;
      const budget = BigInt(Math.floor(fuel * UNITS_PER_FUEL));
      const stack_pointer = exports.stack_pointer?.value;
      exports.fuel.value = budget;
      if (exports.height !== undefined) exports.height.value = 0;
      let verdict: number | undefined;
      let thrown: unknown;
      try {
        verdict = hookOf(exports, hook)();
      } catch (error) {
        thrown = error;
      } finally {
        running.call = undefined;
      }
      // `host_reject` leaves the guest without its epilogues: its stack pointer is put back for it.
      if (stack_pointer !== undefined) exports.stack_pointer!.value = stack_pointer;
      const left = exports.fuel.value;
      const units = Number(left < 0n ? budget : budget - left);
      return outcomeOf(call, verdict, thrown, units, left < 0n);
    },
  };
}

function addHeader(call: Call, name: string, value: string, size_bytes: number): void {
  const problem = headerProblem(name, value);
  if (problem !== undefined) throw new EndCall("abi", `host_add_header: ${problem}`);
  call.added_bytes += size_bytes;
  if (call.added_headers.length >= ADDED_HEADERS || call.added_bytes > ADDED_HEADER_BYTES) {
    throw new EndCall(
      "abi",
      `host_add_header: more than ${ADDED_HEADERS} headers or ${ADDED_HEADER_BYTES} bytes`,
    );
  }
  call.added_headers.push([name, value]);
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

/** A refusal keeps the instance: its memory is the policy's state. A fault does not. */
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
