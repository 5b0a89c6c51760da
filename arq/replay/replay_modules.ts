/**
 * Prepares modules for another run: metered as on a Shield and compiled, without the trial compilation. Their bytes
 * come from files and from a source that is queried once for each.
 */
import { stateKeysText } from "../../wasm/instance/state_keys.ts";
import { parseStateKeys, type StateSlot } from "../../shield/policy/state/declaration.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";
import type { ReplayModule } from "./repeater.ts";

/** The bytes of a module by its SHA-256; undefined when nobody has them. */
export type ModuleSource = (sha256: string) => Promise<Uint8Array | undefined>;

/** The state slots that a module declares. Throws `PolicyModuleError`. */
function slotsOf(compiled: WebAssembly.Module): readonly StateSlot[] {
  let text: string;
  try {
    text = stateKeysText(compiled);
  } catch (error) {
    throw new PolicyModuleError("state-keys", error instanceof Error ? error.message : "");
  }
  return parseStateKeys(text);
}

/** Meters and compiles a module. Throws `PolicyModuleError` when no Shield would accept it. */
export async function readyModule(
  bytes: Uint8Array,
  memory_limit_pages: number,
): Promise<ReplayModule> {
  const metered = meterPolicy(bytes, { memory_limit_pages });
  const { hooks, abi, renewal } = metered;
  const compiled = await WebAssembly.compile(metered.bytes);
  const slots = slotsOf(compiled);
  return {
    sha256: await sha256Hex(bytes),
    compiled,
    hooks,
    renewal,
    is_stateful: abi === 1,
    slots,
    value_bytes: slots.map(({ value_bytes }) => value_bytes),
  };
}

/** The modules that records name, each prepared once. */
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
      // Bytes with another hash would be another policy.
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
