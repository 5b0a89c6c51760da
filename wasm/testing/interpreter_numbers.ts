/**
 * The interpreter's arithmetic: the result of every instruction that only computes from its operands,
 * and loads and stores. Each numeric instruction is a separate WebAssembly function, run by the engine,
 * so that its arithmetic is right by construction. For tests only.
 */
import { Op, OPCODES } from "../module/opcodes.ts";

/** i32 and floats are numbers, i64 is a signed bigint, references are functions' indices, null or any. */
export type Value = number | bigint | null | object;

/** A trap, by the engine's rules or the meter's. */
export class Trap extends Error {
  override readonly name = "Trap";
}

type NumericFunction = (...operands: Value[]) => Value;
const FUNCTIONS = new Map<number, { readonly run: NumericFunction; readonly count: number }>();

function opcodeBytes(op: number): number[] {
  return op < 0x100 ? [op] : [0xfc, op & 0xff];
}

/** A module with one exported function: the instruction on its parameters. */
function moduleOf(
  op: number,
  parameters: readonly number[],
  results: readonly number[],
): Uint8Array<ArrayBuffer> {
  const section = (id: number, content: readonly number[]) => [id, content.length, ...content];
  const operands = parameters.flatMap((_type, index) => [Op.LOCAL_GET, index]);
  const body = [0, ...operands, ...opcodeBytes(op), Op.END];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, parameters.length, ...parameters, results.length, ...results]),
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]),
    ...section(10, [1, body.length, ...body]),
  ]);
}

/** Applies a numeric instruction to the operands on top of `stack`; false if it is not one. */
export function applyNumeric(op: number, stack: Value[]): boolean {
  let found = FUNCTIONS.get(op);
  if (found === undefined) {
    const entry = OPCODES.get(op);
    if (entry?.signature === undefined || entry.immediate !== "none" || op === Op.NOP) return false;
    const { parameters, results } = entry.signature;
    const module = new WebAssembly.Module(moduleOf(op, parameters, results));
    const run = new WebAssembly.Instance(module).exports["f"] as unknown as NumericFunction;
    found = { run, count: parameters.length };
    FUNCTIONS.set(op, found);
  }
  const operands = stack.splice(stack.length - found.count);
  try {
    stack.push(found.run(...operands));
  } catch (error) {
    throw new Trap(error instanceof Error ? error.message : "numeric");
  }
  return true;
}

function viewOf(memory: Uint8Array, address: number, size: number): DataView {
  if (address + size > memory.length) throw new Trap("memory access out of bounds");
  return new DataView(memory.buffer, memory.byteOffset + address, size);
}

function loadInteger(view: DataView, bits: number, signed: boolean): number | bigint {
  if (bits === 8) return signed ? view.getInt8(0) : view.getUint8(0);
  if (bits === 16) return signed ? view.getInt16(0, true) : view.getUint16(0, true);
  if (bits === 32) return signed ? view.getInt32(0, true) : view.getUint32(0, true);
  return view.getBigInt64(0, true);
}

/** Runs a load or store; `offset` is its immediate. */
export function applyMemory(
  op: number,
  offset: number,
  stack: Value[],
  memory: Uint8Array,
): boolean {
  const entry = OPCODES.get(op);
  if (entry?.immediate !== "memory-access") return false;
  const [type = "", action = ""] = entry.name.split(".");
  const size = 2 ** entry.access;
  const stored = action.startsWith("store") ? stack.pop() : undefined;
  const address = (Number(stack.pop()) >>> 0) + offset;
  const view = viewOf(memory, address, size);
  if (stored !== undefined) {
    if (type === "f32") view.setFloat32(0, Number(stored), true);
    else if (type === "f64") view.setFloat64(0, Number(stored), true);
    else storeInteger(view, size, BigInt(stored as number | bigint));
    return true;
  }
  if (type === "f32") stack.push(view.getFloat32(0, true));
  else if (type === "f64") stack.push(view.getFloat64(0, true));
  else {
    const value = loadInteger(view, 8 * size, !action.endsWith("_u"));
    stack.push(type === "i64" ? BigInt.asIntN(64, BigInt(value)) : Number(value) | 0);
  }
  return true;
}

function storeInteger(view: DataView, size: number, value: bigint): void {
  for (let at = 0; at < size; at += 1) {
    view.setUint8(at, Number((value >> BigInt(8 * at)) & 0xffn));
  }
}
