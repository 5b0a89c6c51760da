/**
 * Checks that a module is a reducer by `arqon_room_v1` and meters it: it imports only that ABI's functions, and
 * exports `memory`, `arqon_alloc` and `arqon_apply`, all with the right signatures. Decides by names and types
 * only.
 */
import {
  FUEL_EXPORT,
  HEIGHT_EXPORT,
  RESTORE_EXPORT,
  ROOM_MODULE,
  SAVE_EXPORT,
} from "../metering/meter_costs.ts";
import { decodePolicy, type MeteredModule, meterModule } from "../metering/meter.ts";
import { PolicyModuleError } from "../module/errors.ts";
import { ValueType, type WasmModule } from "../module/module.ts";
import { firstSentences, quoted, signatureAt, signatureText } from "../module/signatures.ts";
import { schemaOf } from "./schema/room_schema.ts";
import { SchemaError } from "./schema/shape.ts";
import {
  APPLY_EXPORT,
  INIT_EXPORT,
  MIGRATE_EXPORT,
  ROOM_FUNCTIONS,
  type Signature,
} from "./room_abi.ts";

/** The functions that a reducer exports; those of the first list are required. */
const NEEDED: Readonly<Record<string, Signature>> = {
  arqon_alloc: ["i", "i"],
  [APPLY_EXPORT]: ["", "i"],
};
const OPTIONAL: Readonly<Record<string, Signature>> = {
  [INIT_EXPORT]: ["", ""],
  [MIGRATE_EXPORT]: ["", "i"],
};
const RESERVED = [FUEL_EXPORT, HEIGHT_EXPORT, SAVE_EXPORT, RESTORE_EXPORT];

const TYPES = { i: ValueType.I32, I: ValueType.I64 } as const;

function wantedText([parameters, results]: Signature): string {
  const types = (letters: string) => Array.from(letters, (one) => TYPES[one as keyof typeof TYPES]);
  return signatureText({ parameters: types(parameters), results: types(results) });
}

function importProblems(module: WasmModule): string[] {
  return module.imports.flatMap(({ module: from, name, description }) => {
    const label = `The import ${quoted(from)}.${quoted(name)}`;
    const known = from === ROOM_MODULE && Object.hasOwn(ROOM_FUNCTIONS, name);
    const wanted = known ? ROOM_FUNCTIONS[name] : undefined;
    if (wanted === undefined || description.kind !== "function") {
      const names = Object.keys(ROOM_FUNCTIONS).join(", ");
      return [
        `${label} is unknown; a reducer may import only these of "${ROOM_MODULE}": ${names}.`,
      ];
    }
    const type = module.types[description.type];
    const found = type === undefined ? "no type" : signatureText(type);
    if (found === wantedText(wanted)) return [];
    return [`${label} has the signature ${found} instead of ${wantedText(wanted)}.`];
  });
}

function exportProblems(module: WasmModule): string[] {
  const exports = new Map(module.exports.map((one) => [one.name, one]));
  const problems: string[] = [];
  if (exports.get("memory")?.kind !== "memory") {
    problems.push(`The export "memory" is missing, or is no memory.`);
  }
  for (const [name, wanted] of Object.entries({ ...NEEDED, ...OPTIONAL })) {
    const found = exports.get(name);
    if (found === undefined) {
      if (Object.hasOwn(NEEDED, name)) {
        problems.push(`The export "${name}" is missing: a function ${wantedText(wanted)}.`);
      }
      continue;
    }
    const signature = found.kind === "function" ? signatureAt(module, found.index) : undefined;
    const text = signature ?? `a ${found.kind}`;
    if (text === wantedText(wanted)) continue;
    problems.push(`The export "${name}" is ${text} instead of a function ${wantedText(wanted)}.`);
  }
  for (const name of RESERVED.filter((name) => exports.has(name))) {
    problems.push(`The export name "${name}" is reserved.`);
  }
  return problems;
}

/** All reasons why a module is not a reducer, as sentences. */
function reducerProblems(module: WasmModule): string[] {
  const start = module.start === undefined
    ? []
    : [`The module has a start section: let its export "${INIT_EXPORT}" do that work.`];
  return [...importProblems(module), ...exportProblems(module), ...start];
}

function requireSchema(bytes: Uint8Array): void {
  try {
    schemaOf(bytes);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new PolicyModuleError("bad-schema", `The schema in it is none: ${error.message}.`);
  }
}

/**
 * Makes a module that may run from a file's bytes. Without a version it has the current prices.
 * @throws {PolicyModuleError} what `meter` throws, `not-a-reducer` with a sentence for each problem, or `bad-schema`.
 */
export function meterReducer(
  bytes: Uint8Array,
  memory_limit_pages: number,
  price_version?: number,
): MeteredModule {
  const module = decodePolicy(bytes);
  const problems = reducerProblems(module);
  if (problems.length > 0) {
    throw new PolicyModuleError("not-a-reducer", firstSentences(problems));
  }
  requireSchema(bytes);
  return meterModule(module, { memory_limit_pages, renewed: true, price_version });
}
