/**
 * The memory of a guest for its host. No value from a guest is trusted: if it names bytes outside its memory, its call
 * ends.
 */
import type { PolicyFault } from "../../../shared/records/verdict.ts";

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
export interface GuestMemory {
  readonly memory: WebAssembly.Memory;
  /** The whole memory at the last access. Empty if the memory has grown since. See `memoryOf`. */
  bytes: Uint8Array;
}

/**
 * All of the memory as it is now. Growing detaches every view, and getting the buffer each time costs as much as a
 * small guest.
 */
export function memoryOf(guest: GuestMemory): Uint8Array {
  if (guest.bytes.length === 0) guest.bytes = new Uint8Array(guest.memory.buffer);
  return guest.bytes;
}

/** The bytes that the guest names, as a view that is valid until the guest runs again. */
export function bytesAt(
  guest: GuestMemory,
  what: string,
  pointer: number,
  size: number,
): Uint8Array {
  requireInside(guest, what, pointer, size);
  return memoryOf(guest).subarray(pointer >>> 0, (pointer >>> 0) + (size >>> 0));
}

/** Throws the fault of a guest that names bytes outside of its memory. */
export function requireInside(
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
