/**
 * The largest size operand with which a bulk instruction can succeed: a memory or table that may not grow by
 * so much returns −1, and an access outside of a memory, table or segment traps before a byte is touched. Such an
 * attempt costs only its base price, so that it ends as the specification says and not by exhausted fuel. Code only;
 * prices are in `prices.ts`.
 */
import { importCounts, type Instruction, instruction, itemCount, plain } from "../module/module.ts";
import type { Limits, WasmModule } from "../module/module.ts";
import { Op } from "../module/opcodes.ts";

/** Code that leaves the greatest size that can succeed, as an i64 to compare unsigned. */
export type SizeLimit = (bulk: Instruction) => readonly Instruction[];

const MOST_PAGES = 65_536;
const MOST_ENTRIES = 4_294_967_295;

function constant(value: number): Instruction {
  return instruction(Op.I64_CONST, 0, 0, BigInt(value));
}

const PAGES: readonly Instruction[] = [plain(Op.MEMORY_SIZE), plain(Op.I64_EXTEND_I32_U)];
const MEMORY_BYTES: readonly Instruction[] = [...PAGES, constant(16), plain(Op.I64_SHL)];

function entries(table: number): readonly Instruction[] {
  return [instruction(Op.TABLE_SIZE, table), plain(Op.I64_EXTEND_I32_U)];
}

/** The maximum of each table, imported ones first; `defined` are the limits of the others. */
function tableMaxima(module: WasmModule, defined: readonly Limits[]): readonly number[] {
  const imported = module.imports.flatMap(({ description }) =>
    description.kind === "table" ? [description.table.limits] : []
  );
  return [...imported, ...defined].map(({ maximum = MOST_ENTRIES }) => maximum);
}

/** The most pages that the memory may have; `defined` are the limits of a defined memory. */
export function memoryMaximum(module: WasmModule, defined: readonly Limits[]): number {
  const imported = module.imports.flatMap(({ description }) =>
    description.kind === "memory" ? [description.limits] : []
  );
  return [...imported, ...defined][0]?.maximum ?? MOST_PAGES;
}

/** For a module whose memories and tables have the limits `memories` and `tables`. */
export function sizeLimits(
  module: WasmModule,
  memories: readonly Limits[],
  tables: readonly Limits[],
): SizeLimit {
  const pages = memoryMaximum(module, memories);
  const maxima = tableMaxima(module, tables);
  const counts = importCounts(module);
  if (maxima.length !== counts.table + module.tables.length) throw new TypeError("table limits");
  return ({ op, a }) => {
    switch (op) {
      case Op.MEMORY_GROW:
        return [constant(pages), ...PAGES, plain(Op.I64_SUB)];
      case Op.TABLE_GROW:
        return [constant(maxima[a] ?? 0), ...entries(a), plain(Op.I64_SUB)];
      case Op.TABLE_FILL:
      case Op.TABLE_COPY:
        return entries(a);
      case Op.TABLE_INIT: {
        const segment = module.elements[a];
        if (segment?.mode !== "passive") return [constant(0)];
        return [constant(itemCount(segment.items))];
      }
      case Op.MEMORY_INIT: {
        const segment = module.data[a];
        return [constant(segment?.mode === "passive" ? segment.bytes.length : 0)];
      }
      default:
        return MEMORY_BYTES;
    }
  };
}
