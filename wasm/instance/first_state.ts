/**
 * The state of an instance after its initialisation: saved, and restored before the next call. The memory is saved
 * here, once for all instances of a module, which begin alike; each instance saves its own globals
 * (`../metering/renewal.ts`). Knows no calls and no prices.
 */
import { RESTORE_EXPORT, SAVE_EXPORT } from "../metering/meter_costs.ts";

const PAGE_BYTES = 65_536;
/** So many bytes of zeros or more are written in place of copied, which takes a third of the time. */
const ZEROS_BYTES = 4_096;

/** A part of memory: its bytes after initialisation; absent: zeros. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly bytes?: Uint8Array;
}

/** Memory after initialisation. */
interface FirstMemory {
  readonly parts: readonly Part[];
  readonly size_bytes: number;
}

/** The memories by compiled module. */
const memories = new WeakMap<WebAssembly.Module, FirstMemory>();

/** The parts of a memory. Its size is a multiple of 64 KiB. */
function partsOf(buffer: WebAssembly.Memory["buffer"]): Part[] {
  const words = new Uint32Array(buffer);
  const parts: Part[] = [];
  let copied = 0;
  for (let start = 0; start < words.length; start++) {
    let end = start;
    while (end < words.length && words[end] === 0) end++;
    if (end - start >= ZEROS_BYTES / 4) {
      if (start > copied) parts.push(partOf(buffer, copied * 4, start * 4));
      parts.push({ start: start * 4, end: end * 4 });
      copied = end;
    }
    start = end;
  }
  if (copied < words.length) parts.push(partOf(buffer, copied * 4, words.length * 4));
  return parts;
}

function partOf(buffer: WebAssembly.Memory["buffer"], start: number, end: number): Part {
  return { start, end, bytes: new Uint8Array(buffer).slice(start, end) };
}

function firstMemory(compiled: WebAssembly.Module, { buffer }: WebAssembly.Memory): FirstMemory {
  const known = memories.get(compiled);
  if (known?.size_bytes === buffer.byteLength) return known;
  const made = { parts: partsOf(buffer), size_bytes: buffer.byteLength };
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
  const { parts, size_bytes } = firstMemory(compiled, memory);
  let view = new Uint8Array(memory.buffer);
  // Growing detaches the view, and getting the buffer each time costs as much as a small guest. Growing by 0 pages
  // makes a new buffer, too.
  const canRestore = () => {
    if (view.length === 0) view = new Uint8Array(memory.buffer);
    return view.length === size_bytes;
  };
  return {
    pages: size_bytes / PAGE_BYTES,
    canRestore,
    restore() {
      if (!canRestore()) return false;
      for (const { start, end, bytes } of parts) {
        if (bytes === undefined) view.fill(0, start, end);
        else view.set(bytes, start);
      }
      restoreGlobals();
      return true;
    },
  };
}
