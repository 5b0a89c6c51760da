/**
 * The parts of a request that mostly equal those of the previous one: its tenant and its chain. Each thread caches the
 * last of both, so that the next request only makes them again if they differ. The cache never changes an answer.
 */
import type { PolicyMode } from "../../../shared/records/verdict.ts";

/** One policy to run, in the worker's form. */
export interface WorkerEntry {
  /** The module's number in this process, from the pool. */
  readonly module: number;
  readonly mode: PolicyMode;
  /** The holds of its slots of state, in order; absent without slots. */
  readonly holds?: readonly number[];
}

/** The size of a policy of a chain: its module, its mode and the number of its slots. */
export const ENTRY_BYTES = 6;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The tenant of the last request and its UTF-8: mostly it is also the tenant of the next one. */
const written = { tenant_id: "", bytes: new Uint8Array(0) };
const read = { tenant_id: "", bytes: new Uint8Array(0) };

/** The UTF-8 of a tenant. */
export function tenantBytes(tenant_id: string): Uint8Array {
  if (written.tenant_id !== tenant_id) {
    written.bytes = encoder.encode(tenant_id);
    written.tenant_id = tenant_id;
  }
  return written.bytes;
}

/** The tenant whose UTF-8 is in these bytes. */
export function tenantOf(bytes: Uint8Array, start: number, end: number): string {
  const known = read.bytes;
  let same = 0;
  while (same < known.length && bytes[start + same] === known[same]) same++;
  if (same !== end - start || same !== known.length) {
    read.bytes = bytes.slice(start, end);
    read.tenant_id = decoder.decode(read.bytes);
  }
  return read.tenant_id;
}

const modeAt = (view: DataView, at: number): PolicyMode =>
  view.getUint8(at + 4) === 1 ? "enforce" : "observe";

/** The chain of the last request: mostly it is also the chain of the next one. */
let last_chain: readonly WorkerEntry[] = [];

/** The chain of `count` policies at `start`. */
export function chainAt(view: DataView, start: number, count: number): readonly WorkerEntry[] {
  let same = count === last_chain.length;
  for (let place = 0; same && place < count; place++) {
    const at = start + place * ENTRY_BYTES;
    const { module, mode } = last_chain[place]!;
    same = module === view.getUint32(at, true) && mode === modeAt(view, at);
  }
  if (same) return last_chain;
  return last_chain = Array.from({ length: count }, (_, place) => {
    const at = start + place * ENTRY_BYTES;
    return { module: view.getUint32(at, true), mode: modeAt(view, at) };
  });
}
