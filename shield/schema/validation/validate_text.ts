/** Sentences about what is wrong on the wire, without full stops. */
import type { FieldEntry, MessageTable } from "./validate_table.ts";

const WIRES = ["a varint", "8 bytes", "length-delimited", "a group", "an end of group", "4 bytes"];

function wireName(wire: number): string {
  return WIRES[wire] ?? `wire type ${wire}`;
}

/** The sentence for a field with another wire type than its own. */
export function wrongWire(table: MessageTable, field: FieldEntry, wire: number): string {
  const expected = `${wireName(field.wire)}${field.packable ? " or packed" : ""}`;
  const what = `field ${field.name} of ${table.type_name} (${field.type})`;
  return `${what} is ${expected} on the wire, not ${wireName(wire)}`;
}

/** The sentence for a field that the schema does not have. */
export function unknownField(table: MessageTable, number: number, wire: number): string {
  return `field ${number} (${wireName(wire)}) is not in ${table.type_name}`;
}

/**
 * The sentence for something that reaches beyond byte `end`, where the data or the message around it
 * ends.
 */
export function endsEarly(end: number, lacking: number, whole: boolean): string {
  const what = whole ? "the data ends" : "the message around it ends";
  const size = lacking > Number.MAX_SAFE_INTEGER ? "2^53 or more" : lacking;
  return `${what} at byte ${end}, at least ${size} bytes too early`;
}
