/**
 * Asks a metered module for the declaration of its state, `arqon_state_keys`, in a separate instance with fuel and
 * without host functions. Policies interpret the text. Runs in the child process of a trial compilation, which has no
 * packages.
 */
import { FUEL_EXPORT, HOST_MODULES, UNITS_PER_FUEL } from "../metering/meter_costs.ts";

/** The export of a policy that declares its state. */
export const STATE_KEYS_EXPORT = "arqon_state_keys";
/** The most bytes of a declaration. */
export const STATE_KEYS_BYTES = 4_096;
/** The fuel for initialising and declaring together. */
const DECLARING_FUEL = 10_000;

/** The module has no valid declaration of its state. */
class StateKeysError extends Error {}

function noHost(): never {
  throw new StateKeysError("it called the host, which has nothing to say before a hook runs");
}

function valueAt({ buffer }: WebAssembly.Memory, pointer: number): Uint8Array {
  const start = pointer >>> 0;
  if (start === 0 || start + 4 > buffer.byteLength) {
    throw new StateKeysError(`${STATE_KEYS_EXPORT} returns ${start}, which is no value`);
  }
  const size_bytes = new DataView(buffer).getUint32(start, true);
  if (size_bytes > STATE_KEYS_BYTES || start + 4 + size_bytes > buffer.byteLength) {
    const limit = `at most ${STATE_KEYS_BYTES}, all of them in its memory`;
    throw new StateKeysError(`${STATE_KEYS_EXPORT} gives ${size_bytes} bytes; ${limit}`);
  }
  return new Uint8Array(buffer, start + 4, size_bytes);
}

/** The module's imports; calling one of them now is an error. */
function importsOf(module: WebAssembly.Module): WebAssembly.Imports {
  const imports: Record<string, Record<string, () => never>> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = noHost;
  }
  return imports;
}

/**
 * The text of a module's declaration; "" if it has none. Throws `StateKeysError` with a sentence if it
 * fails, needs too much fuel, or returns no text.
 */
export function stateKeysText(module: WebAssembly.Module): string {
  // For modules of other kinds, an export of this name has no meaning.
  if (!WebAssembly.Module.imports(module).some((one) => one.module === HOST_MODULES[1])) return "";
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  if (!names.includes(STATE_KEYS_EXPORT)) return "";
  try {
    const { exports } = new WebAssembly.Instance(module, importsOf(module));
    const fuel = exports[FUEL_EXPORT] as { value: bigint };
    fuel.value = BigInt(DECLARING_FUEL * UNITS_PER_FUEL);
    if (names.includes("arqon_init")) (exports["arqon_init"] as () => void)();
    const pointer = (exports[STATE_KEYS_EXPORT] as () => number)();
    const bytes = valueAt(exports["memory"] as WebAssembly.Memory, pointer);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof StateKeysError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new StateKeysError(`${STATE_KEYS_EXPORT} fails: ${why}`);
  }
}
