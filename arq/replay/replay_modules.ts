/**
 * Makes modules ready to be run again: metered as on a Shield and compiled, without the trial compilation.
 * Their bytes come from files and from a source that is asked once for each.
 */
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";
import type { ReplayModule } from "./repeater.ts";

/** The bytes of a module by its SHA-256; undefined when nobody has them. */
export type ModuleSource = (sha256: string) => Promise<Uint8Array | undefined>;

/** Meters and compiles a module. Throws `PolicyModuleError` when no Shield would take it. */
export async function readyModule(
  bytes: Uint8Array,
  memory_limit_pages: number,
): Promise<ReplayModule> {
  const metered = meterPolicy(bytes, { memory_limit_pages });
  return {
    sha256: await sha256Hex(bytes),
    compiled: await WebAssembly.compile(metered.bytes),
    renewal: metered.renewal,
    hooks: metered.hooks,
    is_stateful: metered.renewal === undefined,
  };
}

/** The modules that records name, each made ready once. */
export function createModuleBook(
  source: ModuleSource,
  memory_limit_pages: number,
): (sha256: string) => Promise<ReplayModule | undefined> {
  const book = new Map<string, Promise<ReplayModule | undefined>>();
  const make = async (sha256: string): Promise<ReplayModule | undefined> => {
    const bytes = await source(sha256);
    if (bytes === undefined) return undefined;
    try {
      const module = await readyModule(bytes, memory_limit_pages);
      // Bytes that are not what the record names would be another policy.
      return module.sha256 === sha256 ? module : undefined;
    } catch (error) {
      if (error instanceof PolicyModuleError) return undefined;
      throw error;
    }
  };
  return (sha256) => {
    const found = book.get(sha256) ?? make(sha256);
    book.set(sha256, found);
    return found;
  };
}
