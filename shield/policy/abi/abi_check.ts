/**
 * Whether a decoded module is a policy, and of which ABI version: it imports only the functions of `arqon_host_v1` or
 * those of `arqon_host_v2`, and exports `memory`, `arqon_alloc` and at least one hook, all with the right signatures.
 * Decides by names and types only; `meter.ts` makes the code safe to run.
 */
import { type AbiVersion, HOST_MODULE } from "./host_functions.ts";
import {
  FUEL_EXPORT,
  HEIGHT_EXPORT,
  RESTORE_EXPORT,
  SAVE_EXPORT,
} from "../../../wasm/metering/meter_costs.ts";
import {
  decodePolicy,
  type MeteredModule,
  meterModule,
  type MeterOptions,
} from "../../../wasm/metering/meter.ts";
import { type Hook, HOOKS } from "../../../shared/records/verdict.ts";
import { STATE_KEYS_EXPORT } from "../../../wasm/instance/state_keys.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import {
  type ExternalKind,
  type FunctionType,
  type Import,
  ValueType,
  type WasmModule,
} from "../../../wasm/module/module.ts";
import {
  firstSentences,
  quoted,
  signatureAt,
  signatureText,
} from "../../../wasm/module/signatures.ts";

/** One problem of a module: a stable reason in kebab-case and a sentence for people. */
interface AbiProblem {
  readonly reason:
    | "wasi-import"
    | "memory-import"
    | "unknown-import"
    | "two-abis"
    | "import-signature"
    | "memory-missing"
    | "alloc-missing"
    | "hook-missing"
    | "export-kind"
    | "export-signature"
    | "start-section"
    | "reserved-export";
  readonly sentence: string;
}

type Shapes = Readonly<Record<string, readonly [parameters: number, results: number]>>;

/** The functions of `arqon_host_v1`, as [parameters, results]; all are i32. */
const FUNCTIONS_V1: Shapes = {
  host_get_header: [2, 1],
  host_get_claim: [2, 1],
  host_get_payload: [0, 1],
  host_add_header: [4, 0],
  host_log: [3, 0],
  host_reject: [3, 0],
};
/** The functions of each version of the ABI. */
export const HOST_FUNCTIONS: Readonly<Record<AbiVersion, Shapes>> = {
  1: FUNCTIONS_V1,
  2: {
    ...FUNCTIONS_V1,
    host_set_payload: [2, 0],
    host_state_get: [1, 1],
    host_state_set: [3, 0],
    host_state_delete: [1, 0],
  },
};
/** The exported names that the host adds to a module, by version. */
const RESERVED: Readonly<Record<AbiVersion, readonly string[]>> = {
  1: [FUEL_EXPORT, HEIGHT_EXPORT],
  2: [FUEL_EXPORT, HEIGHT_EXPORT, SAVE_EXPORT, RESTORE_EXPORT],
};
const INIT_EXPORT = "arqon_init";
/** The exports that a policy of version 2 may have, as [parameters, results]. */
const OPTIONAL_V2: readonly (readonly [string, readonly [number, number]])[] = [
  [INIT_EXPORT, [0, 0]],
  [STATE_KEYS_EXPORT, [0, 1]],
];

function i32Type([parameters, results]: readonly [number, number]): FunctionType {
  return {
    parameters: Array<ValueType>(parameters).fill(ValueType.I32),
    results: Array<ValueType>(results).fill(ValueType.I32),
  };
}

/** The ABI version of a module: that of its imports; without imports, 2 if it has an initialisation. */
function abiOf({ imports, exports }: WasmModule): AbiVersion {
  if (imports.length === 0) return exports.some(({ name }) => name === INIT_EXPORT) ? 2 : 1;
  return imports.some((entry) => entry.module === HOST_MODULE[2]) ? 2 : 1;
}

function importProblem(module: WasmModule, entry: Import, abi: AbiVersion): AbiProblem | undefined {
  const label = `${quoted(entry.module)}.${quoted(entry.name)}`;
  if (entry.module.startsWith("wasi_") || entry.module.startsWith("wasi:")) {
    const sentence = `The import ${label} is WASI, which policies cannot use: ` +
      `build without it, for a bare wasm32 target.`;
    return { reason: "wasi-import", sentence };
  }
  const { description } = entry;
  if (description.kind === "memory") {
    const sentence = `The memory is imported (${label}); a policy must define and export its own.`;
    return { reason: "memory-import", sentence };
  }
  if (abi === 2 && entry.module === HOST_MODULE[1]) {
    const sentence = `The import ${label} is of another ABI version than those of ` +
      `"${HOST_MODULE[2]}": a policy can use only one of them.`;
    return { reason: "two-abis", sentence };
  }
  const functions = HOST_FUNCTIONS[abi];
  const known = entry.module === HOST_MODULE[abi] && Object.hasOwn(functions, entry.name)
    ? functions[entry.name]
    : undefined;
  if (known === undefined || description.kind !== "function") {
    const only = ([1, 2] as const)
      .map((one) => `"${HOST_MODULE[one]}": ${Object.keys(HOST_FUNCTIONS[one]).join(", ")}`);
    const sentence = `The import ${label} (${description.kind}) is unknown; policies may import ` +
      `only these functions of ${only.join("; or of ")}.`;
    return { reason: "unknown-import", sentence };
  }
  const type = module.types[description.type];
  const wanted = signatureText(i32Type(known));
  const found = type === undefined ? "no type" : signatureText(type);
  if (found === wanted) return undefined;
  const sentence = `The import ${label} has the signature ${found} instead of ${wanted}.`;
  return { reason: "import-signature", sentence };
}

/** The problem with the export `name`; undefined when there is none, or no such export. */
function exportProblem(
  module: WasmModule,
  name: string,
  wanted: FunctionType,
): AbiProblem | undefined {
  const found = module.exports.find((one) => one.name === name);
  if (found === undefined) return undefined;
  if (found.kind !== "function") {
    return kindProblem(name, found.kind, "function");
  }
  const text = signatureAt(module, found.index) ?? "no type";
  if (text === signatureText(wanted)) return undefined;
  const sentence = `The export "${name}" has the signature ${text} instead of ` +
    `${signatureText(wanted)}.`;
  return { reason: "export-signature", sentence };
}

function kindProblem(name: string, found: ExternalKind, wanted: ExternalKind): AbiProblem {
  const sentence = `The export "${name}" is a ${found} and must be a ${wanted}.`;
  return { reason: "export-kind", sentence };
}

function exportProblems(module: WasmModule, abi: AbiVersion): readonly AbiProblem[] {
  const kinds = new Map(module.exports.map(({ name, kind }) => [name, kind]));
  const problems: AbiProblem[] = [];
  const memory = kinds.get("memory");
  if (memory === undefined) {
    const sentence = `The export "memory" is missing: the host reads and writes through it.`;
    problems.push({ reason: "memory-missing", sentence });
  } else if (memory !== "memory") {
    problems.push(kindProblem("memory", memory, "memory"));
  }
  if (!kinds.has("arqon_alloc")) {
    const sentence = `The export "arqon_alloc" is missing: the host asks it for memory, ` +
      `(i32) -> (i32).`;
    problems.push({ reason: "alloc-missing", sentence });
  }
  const hooks = HOOKS.map((hook) => `arqon_${hook}`);
  if (!hooks.some((hook) => kinds.has(hook))) {
    const sentence = `No hook is exported: at least one of ${hooks.join(", ")} is needed, ` +
      `() -> (i32).`;
    problems.push({ reason: "hook-missing", sentence });
  }
  const signatures: readonly (readonly [string, readonly [number, number]])[] = [
    ["arqon_alloc", [1, 1]],
    ...(abi === 2 ? OPTIONAL_V2 : []),
    ...hooks.map((hook): readonly [string, readonly [number, number]] => [hook, [0, 1]]),
  ];
  for (const [name, shape] of signatures) {
    const problem = exportProblem(module, name, i32Type(shape));
    if (problem !== undefined) problems.push(problem);
  }
  for (const name of RESERVED[abi]) {
    if (!kinds.has(name)) continue;
    problems.push({
      reason: "reserved-export",
      sentence: `The export name "${name}" is reserved.`,
    });
  }
  return problems;
}

/**
 * The problem with a start function. It would run with every new instance, which a trapping module needs for every
 * message, and its fuel could not be charged.
 */
function startProblems({ start }: WasmModule, abi: AbiVersion): readonly AbiProblem[] {
  if (start === undefined) return [];
  const instead = { 1: "its first call", 2: `its export "${INIT_EXPORT}"` }[abi];
  const sentence = `The module has a start section: do that work in ${instead}, ` +
    "so that its fuel is charged.";
  return [{ reason: "start-section", sentence }];
}

/** All reasons why a module is not a policy, imports first; empty if it is one. */
export function abiProblems(module: WasmModule): readonly AbiProblem[] {
  const abi = abiOf(module);
  const imports = module.imports.flatMap((entry) => importProblem(module, entry, abi) ?? []);
  return [...imports, ...exportProblems(module, abi), ...startProblems(module, abi)];
}

/** A metered module that is a policy. */
export interface MeteredPolicy extends MeteredModule {
  readonly abi: AbiVersion;
  /** The hooks that the module exports, in the order of a connection's life; at least one. */
  readonly hooks: readonly Hook[];
}

/**
 * From uploaded bytes to a module that may run: decode, check the ABI, meter.
 * @throws {PolicyModuleError} what `meter` throws, or the first ABI problem's reason with the
 * sentences of all of them.
 */
export function meterPolicy(bytes: Uint8Array, options: MeterOptions): MeteredPolicy {
  const module = decodePolicy(bytes, options.limits);
  const problems = abiProblems(module);
  const [first] = problems;
  if (first !== undefined) {
    const sentences = problems.map(({ sentence }) => sentence);
    throw new PolicyModuleError(first.reason, firstSentences(sentences));
  }
  const exported = new Set(module.exports.map(({ name }) => name));
  const hooks = HOOKS.filter((hook) => exported.has(`arqon_${hook}`));
  const abi = abiOf(module);
  return { ...meterModule(module, { ...options, renewed: abi === 2 }), abi, hooks };
}
