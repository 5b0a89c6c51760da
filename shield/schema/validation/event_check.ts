/**
 * Checks one event against one mapping: in the binary or JSON form that its content type selects. It reports faults;
 * `gate.ts` decides. Pure.
 */
import type { ScannedEnvelope, ScannedEvent } from "@arqon/proto";
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import {
  essenceOf,
  formOf,
  type MessageSchema,
  type Validation,
  type Violation,
} from "./message_schema.ts";

/** The longest path and the longest message in a refusal, in UTF-16 units. */
const PATH_UNITS = 256;
const MESSAGE_UNITS = 256;

function only(rule: string, message: string): Validation {
  return { violations: [{ path: "", rule, message }], total: 1, unknown: 0, unknown_paths: [] };
}

const BLANK: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** Whether bytes begin and end as a JSON object or array does. */
function looksLikeJson(data: Uint8Array): boolean {
  const isText = (byte: number) => !BLANK.has(byte);
  const first = data.find(isText);
  const last = data.findLast(isText);
  return (first === 0x7b && last === 0x7d) || (first === 0x5b && last === 0x5d);
}

/** Checks an event; the result has no violations if the event is valid. */
export function checkEvent(
  mapping: SchemaMapping,
  schema: MessageSchema,
  event: Readonly<ScannedEvent>,
  bytes: ScannedEnvelope["bytes"],
): Validation {
  if (event.schema_id !== "" && event.schema_id !== mapping.schema_id) {
    const named = JSON.stringify(event.schema_id);
    return only(
      "schema-id",
      `the event names ${named}, but its subject is mapped to ${mapping.schema_id}`,
    );
  }
  const data = bytes.subarray(event.data_start, event.data_end);
  const type = essenceOf(event.content_type);
  const form = formOf(event.content_type);
  if (form === "binary") {
    const found = schema.validate(data, mapping);
    if (found.total === 0 || !looksLikeJson(data)) return found;
    const named = type === "" ? "none" : type;
    return only("content-type", `the data is JSON, but its content type ${named} is binary`);
  }
  if (form === undefined) {
    const named = JSON.stringify(event.content_type.slice(0, 100));
    return only(
      "content-type",
      `${named} cannot be checked; expected application/json or application/protobuf`,
    );
  }
  return schema.validateJson(data, mapping);
}

const clip = (text: string, units: number) =>
  text.length <= units ? text : `${text.slice(0, units - 1)}…`;

/** The sentence for violations, bounded: `entity[2].vehicle.position.latitude: required (1 of 3)`. */
export function violationText({ violations, total }: Validation): string {
  const [first] = violations;
  if (first === undefined) return "";
  const { path, rule, message } = first;
  const where = path === "" ? "" : `${clip(path, PATH_UNITS)}: `;
  // The path alone explains the violation.
  const is_plain = message === "" || rule === "required";
  const why = is_plain ? "" : `: ${clip(message, MESSAGE_UNITS)}`;
  return `${where}${rule}${why}${total > 1 ? ` (1 of ${total})` : ""}`;
}

/** The first violation. */
export function firstOf({ violations }: Validation): Violation {
  return violations[0] ?? { path: "", rule: "other", message: "" };
}
