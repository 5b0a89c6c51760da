/**
 * The functions of `arqon_host_v1` and `arqon_host_v2` for guests. No value from a guest is trusted: every pointer and
 * length is checked against the current memory, and every length against a limit before it is used. The cost of a call
 * beyond its thunk's price (`meter_costs.ts`) is charged here, before the work.
 */
import { NOT_A_MESSAGE, SIGNED } from "./policy.ts";
import { passing_messages } from "../../../shared/containers/byte_arena.ts";
import type { FuelMeter } from "../../../wasm/instance/fuel_meter.ts";
import type { PolicyFault } from "../../../shared/records/verdict.ts";

/** The versions of the ABI, with the module from which guests of each import. */
export const HOST_MODULE = { 1: "arqon_host_v1", 2: "arqon_host_v2" } as const;
/** A version of the ABI. */
export type AbiVersion = keyof typeof HOST_MODULE;
/** The most bytes of one `host_log` line; the rest is cut off. */
const LOG_LINE_BYTES = 1_024;
/** The most `host_log` lines of one call; the rest is dropped. */
const LOG_LINES = 32;
/** The most bytes of a reason; the rest is cut off. */
const REASON_BYTES = 512;

/** Units for each byte of headers and claims. The first read of a call pays them, since all are parsed then. */
const ASKING_UNITS_PER_BYTE = 8;
/** Units for each byte of a header or claim that is passed to the guest: it becomes text and is copied. */
const TEXT_UNITS_PER_BYTE = 4;
/** Units for each byte of a header's value that a guest adds, besides the thunk's: it becomes text and is checked. */
const ADDED_UNITS_PER_BYTE = 2;
/** Units of a text that is not UTF-8: the decoder's error has to be made, and caught. */
const INVALID_TEXT_UNITS = 40_000;
/** The bytes of payload that are copied for one unit. */
const PAYLOAD_BYTES_PER_UNIT = 8;

/** Units for each byte of a value of state that is passed to the guest. */
const STATE_GET_UNITS_PER_BYTE = 1;
/** Units for each byte of a value of state that is kept, besides the thunk's one. */
const STATE_SET_UNITS_PER_BYTE = 3;
/** Units of the first write to a slot in a call: it becomes part of the reply, and is kept. */
const STATE_WRITE_UNITS = 2_500;
/** Units of the first new payload of a call: it becomes part of the reply. */
const SET_PAYLOAD_UNITS = 2_500;

/** The values that a policy keeps between calls, before the call. */
export interface GuestState {
  /** The most bytes of a value, by slot. */
  readonly value_bytes: readonly number[];
  /** The value of an existing slot; null: none. */
  value(slot: number): Uint8Array | null;
  /** A copy for as long as the outcome of the call is used; absent: in a new array. */
  readonly copy?: (bytes: Uint8Array) => Uint8Array;
}

/** The inputs of a guest in one call. */
export interface GuestRequest {
  /** The value of a header, by its name in ASCII lower case; undefined when there is none. */
  readonly header: (lower_name: string) => string | undefined;
  /** The value of a claim as text; undefined when there is none. */
  readonly claim: (name: string) => string | undefined;
  readonly payload: Uint8Array;
  /** The size of all received headers and claims, in bytes; absent: reading is free. */
  readonly asking_bytes?: number;
  /** The policy's keyed state; absent: it has none. */
  readonly state?: GuestState | undefined;
  /** The most bytes of a new payload, or the reason why there can be none; absent: no limit. */
  readonly payload_most?: number;
}

/** One call in progress. */
export interface Call {
  readonly request: GuestRequest;
  /** True once the call has paid for its headers and claims. */
  has_asked: boolean;
  /** Made with the first header, like the lines: most calls have none. */
  added_headers: (readonly [string, string])[] | undefined;
  added_bytes: number;
  logs: { level: number; message: string }[] | undefined;
  rejected: { code: number; reason: string } | undefined;
  /** The slots written by the call; null: deleted. Absent until the first write. */
  written: Map<number, Uint8Array | null> | undefined;
  /** The slots that the call read before writing them, as bits. */
  read_slots: number;
  /** The new payload of the call. */
  payload: Uint8Array | undefined;
}

/** An exported global with a number; TypeScript's types of WebAssembly know no value types. */
export interface StackPointer {
  value: number;
}

/** The exports of an instance that the host uses. */
export interface Exports extends GuestMemory {
  readonly alloc: (size_bytes: number) => number;
  readonly meter: FuelMeter;
  readonly stack_pointer: StackPointer | undefined;
  readonly all: WebAssembly.Exports;
}

/** An instance and the call that it is running. */
export interface Running {
  exports: Exports;
  call: Call | undefined;
  in_alloc: boolean;
}

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A call before its hook runs. */
export function newCall(request: GuestRequest): Call {
  const has_asked = (request.asking_bytes ?? 0) === 0;
  return {
    request,
    has_asked,
    added_headers: undefined,
    added_bytes: 0,
    logs: undefined,
    rejected: undefined,
    written: undefined,
    read_slots: 0,
    payload: undefined,
  };
}

/** The call in progress. Imports may only be used in a call, and not by `arqon_alloc`. */
function current({ call, in_alloc }: Running): Call {
  if (in_alloc) throw new EndCall("abi", "arqon_alloc called the host");
  // A start section could call imports while there is no call yet.
  if (call === undefined) throw new EndCall("abi", "the host was called outside of a hook");
  return call;
}

/** Reads text of at most `max_bytes`, for so many units a byte; a longer one is a fault before it is read. */
function readText(
  running: Running,
  what: string,
  [pointer, size]: readonly [pointer: number, size: number],
  max_bytes: number,
  units_per_byte = 0,
): string {
  const bytes = bytesAt(running.exports, what, pointer, size);
  if (bytes.length > max_bytes) {
    throw new EndCall("abi", `${what}: ${bytes.length} bytes; at most ${max_bytes} are allowed`);
  }
  if (units_per_byte > 0) charge(running, bytes.length * units_per_byte);
  try {
    return strict.decode(bytes);
  } catch {
    running.exports.meter.charge(INVALID_TEXT_UNITS);
    throw new EndCall("abi", `${what}: not UTF-8`);
  }
}

/** Charges the guest's fuel for work of the host. */
function charge({ exports: { meter } }: Running, units: number): void {
  if (meter.charge(units) < 0) throw new EndCall("fuel", "out of fuel");
}

/** The request of the call in progress, after the call has paid for its headers and claims. */
function asking(running: Running): GuestRequest {
  const call = current(running);
  if (!call.has_asked) {
    call.has_asked = true;
    charge(running, (call.request.asking_bytes ?? 0) * ASKING_UNITS_PER_BYTE);
  }
  return call.request;
}

/** Copies bytes into memory that the guest allocates: the length in 4 bytes, then the bytes. */
function give(running: Running, bytes: Uint8Array, units: number): number {
  charge(running, units);
  running.in_alloc = true;
  let pointer: number;
  try {
    pointer = running.exports.alloc(4 + bytes.length) >>> 0;
  } finally {
    running.in_alloc = false;
  }
  if (pointer === 0) throw new EndCall("memory", "arqon_alloc has no room");
  const { length } = bytes;
  requireInside(running.exports, "arqon_alloc", pointer, 4 + length);
  const memory = memoryOf(running.exports);
  memory[pointer] = length;
  memory[pointer + 1] = length >>> 8;
  memory[pointer + 2] = length >>> 16;
  memory[pointer + 3] = length >>> 24;
  memory.set(bytes, pointer + 4);
  return pointer | 0;
}

function giveText(running: Running, text: string | undefined): number {
  if (text === undefined) return 0;
  const bytes = encoder.encode(text);
  return give(running, bytes, bytes.length * TEXT_UNITS_PER_BYTE);
}

function addHeader(call: Call, name: string, value: string, size_bytes: number): void {
  const problem = headerProblem(name, value);
  if (problem !== undefined) throw new EndCall("abi", `host_add_header: ${problem}`);
  call.added_bytes += size_bytes;
  const added = call.added_headers ??= [];
  if (added.length >= ADDED_HEADERS || call.added_bytes > ADDED_HEADER_BYTES) {
    throw new EndCall(
      "abi",
      `host_add_header: more than ${ADDED_HEADERS} headers or ${ADDED_HEADER_BYTES} bytes`,
    );
  }
  added.push([name, value]);
}

/** The state of the calling policy; a fault if it has no such slot. */
function stateOf({ request: { state } }: Call, slot: number): GuestState {
  const slots = state?.value_bytes.length ?? 0;
  if (state !== undefined && slot >>> 0 < slots) return state;
  throw new EndCall("abi", `slot ${slot >>> 0} of the state; the policy declares ${slots}`);
}

/** The value of a slot as the call sees it. */
function slotValue(call: Call, slot: number): Uint8Array | null {
  const state = stateOf(call, slot);
  const own = call.written?.get(slot);
  if (own !== undefined) return own;
  call.read_slots |= 1 << slot;
  return state.value(slot);
}

/** Records a write to a slot; null deletes the value. */
function write(running: Running, call: Call, slot: number, value: Uint8Array | null): void {
  if (!call.written?.has(slot)) charge(running, STATE_WRITE_UNITS);
  (call.written ??= new Map()).set(slot, value);
}

/** The imports of one instance for its slots of state. */
function stateImports(running: Running) {
  return {
    host_state_get(slot: number): number {
      const value = slotValue(current(running), slot);
      return value === null ? 0 : give(running, value, value.length * STATE_GET_UNITS_PER_BYTE);
    },
    host_state_set(slot: number, pointer: number, size: number): void {
      const call = current(running);
      const state = stateOf(call, slot);
      const most = state.value_bytes[slot]!;
      const bytes = bytesAt(running.exports, "state", pointer, size);
      if (bytes.length > most) {
        throw new EndCall("abi", `state: ${bytes.length} bytes; slot ${slot} has at most ${most}`);
      }
      charge(running, bytes.length * STATE_SET_UNITS_PER_BYTE);
      write(running, call, slot, state.copy?.(bytes) ?? bytes.slice());
    },
    host_state_delete(slot: number): void {
      const call = current(running);
      stateOf(call, slot);
      write(running, call, slot, null);
    },
  };
}

/** The imports with which an instance of version 2 changes the message. */
function changingImports(running: Running) {
  return {
    host_set_payload(pointer: number, size: number): void {
      const call = current(running);
      const { payload_most: most = Infinity } = call.request;
      if (most === NOT_A_MESSAGE) {
        throw new EndCall("abi", "host_set_payload: only a message has a payload");
      }
      if (most === SIGNED) {
        throw new EndCall(
          "signed-payload",
          "host_set_payload: the message is signed by its sender",
        );
      }
      const bytes = bytesAt(running.exports, "payload", pointer, size);
      if (bytes.length > most) {
        const sentence = `host_set_payload: ${bytes.length} bytes; at most ${most} here`;
        throw new EndCall("payload-too-large", sentence);
      }
      if (call.payload === undefined) charge(running, SET_PAYLOAD_UNITS);
      call.payload = passing_messages.copy(bytes);
    },
  };
}

/** The imports of one instance. */
export function hostImports(running: Running) {
  return {
    ...stateImports(running),
    ...changingImports(running),
    host_get_header(pointer: number, size: number): number {
      const request = asking(running);
      const name = readText(running, "header name", [pointer, size], NAME_BYTES);
      return giveText(running, request.header(asciiLower(name)));
    },
    host_get_claim(pointer: number, size: number): number {
      const request = asking(running);
      const name = readText(running, "claim name", [pointer, size], NAME_BYTES);
      return giveText(running, request.claim(name));
    },
    host_get_payload(): number {
      const { payload } = current(running).request;
      return give(running, payload, Math.ceil(payload.length / PAYLOAD_BYTES_PER_UNIT));
    },
    host_add_header(name_at: number, name_size: number, value_at: number, value_size: number) {
      addHeader(
        current(running),
        readText(running, "header name", [name_at, name_size], NAME_BYTES),
        readText(
          running,
          "header value",
          [value_at, value_size],
          ADDED_HEADER_BYTES,
          ADDED_UNITS_PER_BYTE,
        ),
        (name_size >>> 0) + (value_size >>> 0),
      );
    },
    host_log(level: number, pointer: number, size: number): void {
      const call = current(running);
      const bytes = bytesAt(running.exports, "log line", pointer, size);
      const logs = call.logs ??= [];
      if (logs.length >= LOG_LINES) return;
      const known = level >= 0 && level <= 3 ? level : 1;
      logs.push({ level: known, message: cutUtf8(bytes, LOG_LINE_BYTES) });
    },
    host_reject(code: number, pointer: number, size: number): never {
      const call = current(running);
      const bytes = bytesAt(running.exports, "reason", pointer, size);
      if (code < 400 || code > 599) {
        throw new EndCall("abi", `host_reject: code ${code} is not within 400 to 599`);
      }
      call.rejected = { code, reason: cutUtf8(bytes, REASON_BYTES) };
      throw new EndCall(undefined, "");
    },
  };
}

// The memory of a guest: if it names bytes outside of it, its call ends.

/** Thrown by an import to end the call: the JavaScript engine unwinds the guest, which cannot catch it. */
export class EndCall {
  readonly fault: PolicyFault | undefined;
  readonly detail: string;
  constructor(fault: PolicyFault | undefined, detail: string) {
    this.fault = fault;
    this.detail = detail;
  }

  /** The text of the error outside of a call, when a start function calls the host. */
  toString(): string {
    return this.detail;
  }
}

/** The memory of one instance. */
interface GuestMemory {
  readonly memory: WebAssembly.Memory;
  /** The whole memory at the last access. Empty if the memory has grown since. See `memoryOf`. */
  bytes: Uint8Array;
}

/**
 * All of the memory as it is now. Growing detaches every view, and getting the buffer each time costs as much as a
 * small guest.
 */
function memoryOf(guest: GuestMemory): Uint8Array {
  if (guest.bytes.length === 0) guest.bytes = new Uint8Array(guest.memory.buffer);
  return guest.bytes;
}

/** The bytes that the guest names, as a view that is valid until the guest runs again. */
function bytesAt(
  guest: GuestMemory,
  what: string,
  pointer: number,
  size: number,
): Uint8Array {
  requireInside(guest, what, pointer, size);
  return memoryOf(guest).subarray(pointer >>> 0, (pointer >>> 0) + (size >>> 0));
}

/** Throws the fault of a guest that names bytes outside of its memory. */
function requireInside(
  guest: GuestMemory,
  what: string,
  pointer: number,
  size: number,
): void {
  const start = pointer >>> 0;
  const size_bytes = size >>> 0;
  const memory_bytes = memoryOf(guest).length;
  if (start + size_bytes <= memory_bytes) return;
  const sentence = `${size_bytes} bytes at ${start} are outside of the memory of ${memory_bytes}`;
  throw new EndCall("abi", `${what}: ${sentence}`);
}

// The headers that a policy may add, and the conversion of text between guest and host.

/** The most headers that one call may add. */
export const ADDED_HEADERS = 64;
/** The most bytes of names and values that one call may add. */
export const ADDED_HEADER_BYTES = 16_384;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Text without control characters but tabs; to look for one takes twice as long. */
const PLAIN = /^[\t\u0020-\u007e\u0080-\uffff]*$/;
// deno-lint-ignore no-control-regex -- all of ASCII
const ASCII = /^[\u0000-\u007f]*$/;
/** The most bytes in the name of a header or claim, whether it is asked for or added. */
export const NAME_BYTES = 256;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Lower case in ASCII only, so that no other letter becomes one of a header's name. Linear time, without a call for
 * each letter.
 */
export function asciiLower(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase();
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte >= 0x41 && byte <= 0x5a) bytes[at] = byte + 0x20;
  }
  return decoder.decode(bytes);
}

/** Whether a name is one of the Shield's own, which `stamp.ts` writes. */
function isReserved(lower_name: string): boolean {
  return lower_name.startsWith("x-arqon-") || lower_name === "x-twist-id" ||
    lower_name === "x-timestamp";
}

/**
 * The problem with a header that a policy adds, as a sentence; undefined when it may be added. Names
 * are tokens of RFC 9110, and values have no control character but a tab.
 */
function headerProblem(name: string, value: string): string | undefined {
  if (!TOKEN.test(name) || name.length > NAME_BYTES) {
    return `a header name is 1 to ${NAME_BYTES} characters of an HTTP token`;
  }
  if (isReserved(asciiLower(name))) return `header "${name}" is the gateway's own`;
  if (!PLAIN.test(value)) return `the value of header "${name}" has a control character`;
  return undefined;
}

/** The first `max_bytes` of `bytes` as text, cut between characters; invalid UTF-8 becomes U+FFFD. */
function cutUtf8(bytes: Uint8Array, max_bytes: number): string {
  if (bytes.length <= max_bytes) return decoder.decode(bytes);
  let end = max_bytes;
  // A continuation byte at the cut belongs to a character that begins before it.
  for (let step = 0; step < 3 && (bytes[end]! & 0xc0) === 0x80; step++) end--;
  return decoder.decode(bytes.subarray(0, end));
}
