/**
 * Decodes OTLP requests (opentelemetry-proto 1.x, Protobuf) for tests: tables of field numbers and one decoder for them
 * all. Knows the fields that tests check; others are skipped. Independent of the exporter's code, so that its output is
 * checked against the format.
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";

type Scalar =
  | "string"
  | "bytes"
  | "bool"
  | "enum"
  | "int64"
  | "double"
  | "fixed32"
  | "fixed64"
  | "sfixed64";

/** By field number; `[]` after a type means repeated (numbers packed). */
interface Table {
  readonly [field: number]: readonly [name: string, type: Scalar | (() => Table), "[]"?];
}

const VALUE: Table = {
  1: ["string", "string"],
  2: ["bool", "bool"],
  3: ["int", "int64"],
  4: ["double", "double"],
};
const ATTRIBUTE: Table = { 1: ["key", "string"], 2: ["value", () => VALUE] };
const RESOURCE: Table = { 1: ["attributes", () => ATTRIBUTE, "[]"] };
const NUMBER_POINT: Table = {
  2: ["start_ns", "fixed64"],
  3: ["time_ns", "fixed64"],
  4: ["double", "double"],
  6: ["int", "sfixed64"],
  7: ["attributes", () => ATTRIBUTE, "[]"],
};
const HISTOGRAM_POINT: Table = {
  2: ["start_ns", "fixed64"],
  3: ["time_ns", "fixed64"],
  4: ["count", "fixed64"],
  5: ["sum", "double"],
  6: ["bucket_counts", "fixed64", "[]"],
  7: ["explicit_bounds", "double", "[]"],
  9: ["attributes", () => ATTRIBUTE, "[]"],
};
const GAUGE: Table = { 1: ["points", () => NUMBER_POINT, "[]"] };
const SUM: Table = { ...GAUGE, 2: ["temporality", "enum"], 3: ["is_monotonic", "bool"] };
const HISTOGRAM: Table = {
  1: ["points", () => HISTOGRAM_POINT, "[]"],
  2: ["temporality", "enum"],
};
const METRIC: Table = {
  1: ["name", "string"],
  2: ["description", "string"],
  3: ["unit", "string"],
  5: ["gauge", () => GAUGE],
  7: ["sum", () => SUM],
  9: ["histogram", () => HISTOGRAM],
};
const EVENT: Table = {
  1: ["time_ns", "fixed64"],
  2: ["name", "string"],
  3: ["attributes", () => ATTRIBUTE, "[]"],
};
const LINK: Table = {
  1: ["trace_id", "bytes"],
  2: ["span_id", "bytes"],
  4: ["attributes", () => ATTRIBUTE, "[]"],
};
const STATUS: Table = { 2: ["message", "string"], 3: ["code", "enum"] };
const SPAN: Table = {
  1: ["trace_id", "bytes"],
  2: ["span_id", "bytes"],
  3: ["trace_state", "string"],
  4: ["parent_span_id", "bytes"],
  5: ["name", "string"],
  6: ["kind", "enum"],
  7: ["start_ns", "fixed64"],
  8: ["end_ns", "fixed64"],
  9: ["attributes", () => ATTRIBUTE, "[]"],
  11: ["events", () => EVENT, "[]"],
  13: ["links", () => LINK, "[]"],
  15: ["status", () => STATUS],
  16: ["flags", "fixed32"],
};
const SCOPE_METRICS: Table = { 2: ["metrics", () => METRIC, "[]"] };
const SCOPE_SPANS: Table = { 2: ["spans", () => SPAN, "[]"] };
const RESOURCE_METRICS: Table = {
  1: ["resource", () => RESOURCE],
  2: ["scopes", () => SCOPE_METRICS, "[]"],
};
const RESOURCE_SPANS: Table = {
  1: ["resource", () => RESOURCE],
  2: ["scopes", () => SCOPE_SPANS, "[]"],
};

/** `ExportMetricsServiceRequest`. */
export const METRICS_REQUEST: Table = { 1: ["resources", () => RESOURCE_METRICS, "[]"] };
/** `ExportTraceServiceRequest`. */
export const TRACE_REQUEST: Table = { 1: ["resources", () => RESOURCE_SPANS, "[]"] };

/** A message by its fields' names; an absent field is absent here, too, an absent list is empty. */
// deno-lint-ignore no-explicit-any
export type Decoded = any;

function scalar(reader: BinaryReader, type: Scalar): unknown {
  if (type === "enum") return reader.int32();
  const value = reader[type]();
  if (type === "bytes") return (value as Uint8Array).toHex();
  return typeof value === "string" && type !== "string" ? BigInt(value) : value;
}

const LENGTH_DELIMITED = 2;
const isText = (type: Scalar) => type === "string" || type === "bytes";

/** Decodes one message. Throws on invalid bytes. Bytes are returned as hex, 64-bit integers as bigint. */
export function decodeOtlp(table: Table, bytes: Uint8Array): Decoded {
  const message: Decoded = {};
  for (const [name, , repeats] of Object.values(table)) if (repeats) message[name] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    const known = table[field];
    if (known === undefined) {
      reader.skip(wire, field);
      continue;
    }
    const [name, type, repeats] = known;
    const values: unknown[] = [];
    if (typeof type === "function") values.push(decodeOtlp(type(), reader.bytes()));
    else if (repeats && wire === LENGTH_DELIMITED && !isText(type)) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) values.push(scalar(reader, type));
    } else values.push(scalar(reader, type));
    if (repeats) message[name].push(...values);
    else message[name] = values[0];
  }
  return message;
}

/** Attributes by key. */
export function attributesOf(list: Decoded[]): Record<string, string | number | boolean> {
  return Object.fromEntries(list.map(({ key, value = {} }) => {
    const { string, bool, int, double } = value;
    return [key, string ?? bool ?? (int === undefined ? double : Number(int)) ?? ""];
  }));
}
