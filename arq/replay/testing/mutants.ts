/**
 * Mutants of a module for tests: one instruction is replaced, as if by mistake. Constants are off by one, comparisons
 * have another bound or direction, branches are inverted.
 */
import { decodeModule } from "../../../wasm/module/decode.ts";
import { encodeModule } from "../../../wasm/module/encode.ts";
import { instruction, plain } from "../../../wasm/module/module.ts";
import type { Instruction, WasmModule } from "../../../wasm/module/module.ts";
import { Op } from "../../../wasm/module/opcodes.ts";

/** One mutant. */
export interface Mutant {
  readonly what: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const OTHER: ReadonlyMap<number, number> = new Map([
  [Op.I32_EQ, Op.I32_NE],
  [Op.I32_NE, Op.I32_EQ],
  [Op.I32_LT_S, Op.I32_LE_S],
  [Op.I32_LT_U, Op.I32_LE_U],
  [Op.I32_GT_S, Op.I32_GE_S],
  [Op.I32_GT_U, Op.I32_GE_U],
  [Op.I32_LE_S, Op.I32_LT_S],
  [Op.I32_LE_U, Op.I32_LT_U],
  [Op.I32_GE_S, Op.I32_GT_S],
  [Op.I32_GE_U, Op.I32_GT_U],
  [Op.I32_ADD, Op.I32_SUB],
  [Op.I32_SUB, Op.I32_ADD],
]);

/** The replacing instructions; undefined when no mutation fits. */
function mutated(one: Instruction): readonly Instruction[] | undefined {
  if (one.op === Op.I32_CONST) return [instruction(one.op, one.a + 1)];
  if (one.op === Op.BR_IF || one.op === Op.IF) return [plain(Op.I32_EQZ), one];
  const other = OTHER.get(one.op);
  return other === undefined ? undefined : [plain(other)];
}

function withBody(module: WasmModule, at: number, place: number): Uint8Array<ArrayBuffer> {
  const functions = module.functions.map((body, index) =>
    index === at
      ? { ...body, code: body.code.flatMap((one, here) => here === place ? mutated(one)! : [one]) }
      : body
  );
  return Uint8Array.from(encodeModule({ ...module, functions }));
}

/** Every mutant of a module, in the order of its code. */
export function mutantsOf(bytes: Uint8Array): readonly (() => Mutant)[] {
  const module = decodeModule(bytes);
  return module.functions.flatMap((body, at) =>
    body.code.flatMap((one, place) =>
      mutated(one) === undefined ? [] : [() => ({
        what: `function ${at}, instruction ${place}, opcode 0x${one.op.toString(16)}`,
        bytes: withBody(module, at, place),
      })]
    )
  );
}
