/**
 * The state of an instance after its initialisation: saved, and restored before the next call. The memory is saved
 * here, once for all instances of a module, which begin alike; each instance saves its own globals
 * (`../metering/renewal.ts`). Knows no calls and no prices.
 */
import { RESTORE_EXPORT, SAVE_EXPORT } from "../metering/meter_costs.ts";

const PAGE_BYTES = 65_536;

/** Memory after initialisation: its bytes up to the last one that is not 0, and its whole size. */
interface FirstMemory {
  readonly bytes: Uint8Array;
  readonly size_bytes: number;
}

/** The memories by compiled module. */
const memories = new WeakMap<WebAssembly.Module, FirstMemory>();

/** The bytes of a memory without the zeros at its end. Its size is a multiple of 64 KiB. */
function beginningOf(buffer: WebAssembly.Memory["buffer"]): Uint8Array {
  const words = new Uint32Array(buffer);
  let end = words.length;
  while (end > 0 && words[end - 1] === 0) end--;
  return new Uint8Array(buffer, 0, end * Uint32Array.BYTES_PER_ELEMENT).slice();
}

function firstMemory(compiled: WebAssembly.Module, { buffer }: WebAssembly.Memory): FirstMemory {
  const known = memories.get(compiled);
  if (known?.size_bytes === buffer.byteLength) return known;
  const made = { bytes: beginningOf(buffer), size_bytes: buffer.byteLength };
  memories.set(compiled, made);
  return made;
}

/** The first state of one instance. */
export interface FirstState {
  /** Its memory in pages of 64 KiB, including those that its initialisation added. */
  readonly pages: number;
  /** Whether the state can be restored: not after the memory has grown. */
  canRestore(): boolean;
  /** Restores the state; false if that is impossible. */
  restore(): boolean;
}

function functionOf(exports: WebAssembly.Exports, name: string): () => void {
  const found = exports[name];
  if (typeof found === "function") return found as () => void;
  throw new TypeError(`the module was metered without ${name}`);
}

/** Saves the state of an instance that has just been initialised. */
export function keepFirstState(
  compiled: WebAssembly.Module,
  exports: WebAssembly.Exports,
  memory: WebAssembly.Memory,
): FirstState {
  functionOf(exports, SAVE_EXPORT)();
  const restoreGlobals = functionOf(exports, RESTORE_EXPORT);
  const { bytes, size_bytes } = firstMemory(compiled, memory);
  let view = new Uint8Array(memory.buffer);
  const canRestore = () => memory.buffer.byteLength === size_bytes;
  return {
    pages: size_bytes / PAGE_BYTES,
    canRestore,
    restore() {
      if (!canRestore()) return false;
      // Growing by 0 pages makes a new buffer, too.
      if (view.length === 0) view = new Uint8Array(memory.buffer);
      view.set(bytes);
      view.fill(0, bytes.length);
      restoreGlobals();
      return true;
    },
  };
}
