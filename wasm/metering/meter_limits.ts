/**
 * The static limits (docs/policies.md#static-limits) that need the decoded module: the cost of compiling it, and the
 * sizes of its memory and tables. Compiling takes time and memory in proportion to locals and operands
 * at every place where control splits or meets: 49,000 locals and 2,000 loops in 35 KB took 9 s and
 * 3.8 GB. Nothing is rewritten here; limits that decoding can check are in `wasm/module/decode.ts`.
 */
import { type BlockCharge, declaredLocals } from "./meter_blocks.ts";
import { sizeRate } from "./prices.ts";
import { PolicyModuleError } from "../module/errors.ts";
import type { FunctionBody, Limits, WasmModule } from "../module/module.ts";
import { Op } from "../module/opcodes.ts";

/** Greatest compile cost of one function: (locals + operand height) × control constructs. */
export const FUNCTION_COMPILE_COST = 1_000_000;
/** Greatest sum of the compile costs of a module's functions. */
export const MODULE_COMPILE_COST = 10_000_000;

/** Places where control splits or meets: openers, `else`, branches with each label, charges. */
function controlConstructs(body: FunctionBody, charges: readonly BlockCharge[]): number {
  let count = charges.length;
  for (const { op, list } of body.code) {
    if (op === Op.BR_TABLE) count += 1 + list.length;
    else if ((op >= Op.BLOCK && op <= Op.ELSE) || op === Op.BR || op === Op.BR_IF) count += 1;
    else if (sizeRate(op) !== undefined) count += 1;
  }
  return count;
}

/** The cost of compiling one function, with its charges. */
export function compileCost(
  module: WasmModule,
  body: FunctionBody,
  charges: readonly BlockCharge[],
): number {
  const parameters = module.types[body.type]?.parameters.length ?? 0;
  const values = parameters + declaredLocals(body) + body.facts.max_height;
  return values * controlConstructs(body, charges);
}

/** Refuses a function that costs too much; `spent` is the sum over the functions before it. */
export function checkCompileCost(cost: number, spent: number, function_index: number): void {
  if (cost > FUNCTION_COMPILE_COST) {
    throw new PolicyModuleError(
      "compile-cost",
      `Function ${function_index} is too complex to compile: ${cost} for (locals + operand height) × ` +
        `control constructs; at most ${FUNCTION_COMPILE_COST}. Split it, or use fewer locals.`,
    );
  }
  if (spent + cost > MODULE_COMPILE_COST) {
    throw new PolicyModuleError(
      "compile-cost",
      `The module is too complex to compile: functions up to ${function_index} sum to ` +
        `${spent + cost} for (locals + operand height) × control constructs; ` +
        `at most ${MODULE_COMPILE_COST}.`,
    );
  }
}

/** A memory's limits under the policy's own; refuses a minimum above it. Sizes in pages of 64 KiB. */
export function limitMemory(limits: Limits, memory_limit_pages: number): Limits {
  if (limits.minimum > memory_limit_pages) {
    throw new PolicyModuleError(
      "memory-limit",
      `The memory starts with ${limits.minimum} pages of 64 KiB; ` +
        `at most ${memory_limit_pages} are allowed.`,
    );
  }
  const maximum = Math.min(limits.maximum ?? memory_limit_pages, memory_limit_pages);
  return { minimum: limits.minimum, maximum };
}

/**
 * The limits of every defined table, so that all of them together never have more than
 * `table_entries` entries: the tables share the remainder above their minimums equally.
 */
export function limitTables(module: WasmModule, table_entries: number): readonly Limits[] {
  const sum = module.tables.reduce((total, table) => total + table.limits.minimum, 0);
  if (sum > table_entries) {
    throw new PolicyModuleError(
      "table-limit",
      `The tables start with ${sum} entries together; at most ${table_entries} are allowed.`,
    );
  }
  const room = Math.floor((table_entries - sum) / Math.max(1, module.tables.length));
  return module.tables.map(({ limits }) => {
    const most = limits.minimum + room;
    return { minimum: limits.minimum, maximum: Math.min(limits.maximum ?? most, most) };
  });
}
