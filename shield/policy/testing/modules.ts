/**
 * For the tests of chains, registry and admin API: tiny real modules, and a loader that compiles them but runs nothing.
 * The pool's own tests run modules. Tests only.
 */
import type { CheckedModule } from "../admin_api.ts";
import type { ModuleLoader } from "../modules/module_set.ts";
import {
  type Hook,
  HOOKS,
  type PolicyBinding,
  type PolicyOutcome,
} from "../../../shared/records/verdict.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

function section(id: number, content: readonly number[]): number[] {
  return [id, content.length, ...content];
}

/** A module whose hooks return `number` (0 to 63): valid, and with different bytes for each number. */
export function tinyModule(number: number, hooks: readonly Hook[] = ["on_message"]): Uint8Array {
  const names = hooks.map((hook) => [...new TextEncoder().encode(`arqon_${hook}`)]);
  const body = [0x04, 0x00, 0x41, number, 0x0b];
  return new Uint8Array([
    ...MAGIC,
    ...section(1, [1, 0x60, 0, 1, 0x7f]),
    ...section(3, [hooks.length, ...hooks.map(() => 0)]),
    ...section(7, [hooks.length, ...names.flatMap((name, at) => [name.length, ...name, 0, at])]),
    ...section(10, [hooks.length, ...hooks.flatMap(() => body)]),
  ]);
}

/** Bytes that no engine compiles. */
export const BAD_MODULE = new TextEncoder().encode("this is no module");

/** Hooks and size of a module; rejects with `PolicyModuleError` if it does not compile. */
// deno-lint-ignore require-await -- answers with a promise, also when it throws
export async function checkModule(bytes: Uint8Array): Promise<CheckedModule> {
  try {
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
    const names = WebAssembly.Module.exports(module).map(({ name }) => name);
    const hooks = HOOKS.filter((hook) => names.includes(`arqon_${hook}`));
    if (hooks.length === 0) throw new PolicyModuleError("no-hook", "the module exports no hook");
    return { hooks, size_bytes: bytes.length };
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new PolicyModuleError("malformed", "the bytes are not a WebAssembly module");
  }
}

/** A loader that compiles, and the modules that it has loaded. */
export interface CompilingLoader extends ModuleLoader {
  readonly loaded: ReadonlySet<string>;
  /** Every load, including failed ones. */
  readonly loads: readonly string[];
}

/** A new loader, with nothing loaded. */
export function compilingLoader(): CompilingLoader {
  const loaded = new Set<string>();
  const loads: string[] = [];
  return {
    loaded,
    loads,
    async load(sha256, bytes) {
      loads.push(sha256);
      if (await sha256Hex(bytes) !== sha256) throw new Error("other bytes than the name says");
      await checkModule(bytes);
      loaded.add(sha256);
    },
    unload: (sha256) => void loaded.delete(sha256),
  };
}

/** What came of a policy, which allows unless `more` says otherwise. */
export function outcomeOf(name: string, more: Partial<PolicyOutcome> = {}): PolicyOutcome {
  return {
    name,
    mode: "enforce",
    allowed: true,
    code: more.allowed === false ? 403 : 0,
    reason: "",
    fault: undefined,
    fuel: 10,
    instance_fuel: 0,
    duration_ms: 0.05,
    ...more,
  };
}

/** A binding with every field; `more` has the special ones. */
export function binding(more: Partial<PolicyBinding> = {}): PolicyBinding {
  return {
    name: "p",
    sha256: "0".repeat(64),
    room: "*",
    hooks: ["on_message"],
    order: 0,
    mode: "enforce",
    percent: 1,
    ...more,
  };
}
