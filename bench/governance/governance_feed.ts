/**
 * The schema that the governance benchmark checks: positions of vehicles as a transit feed has them, in three
 * editions that differ only in their rules. Makes messages of an exact length for it.
 */
import {
  create,
  type DescMessage,
  type FileRegistry,
  type JsonValue,
  toBinary,
} from "@bufbuild/protobuf";
import { descriptorSet, field, gzipped, linked, list, type More } from "./governance_descriptor.ts";

/** Full name of the message. */
export const FEED = "bench.Feed";

/**
 * The editions of the schema. `cel` has the rules of `standard`, a pattern, and a CEL expression of its own.
 */
export const EDITIONS = ["none", "standard", "cel"] as const;
/** An edition of the schema. */
export type Edition = typeof EDITIONS[number];

/** Lengths of the messages, in bytes. */
export const SIZES: readonly number[] = [200, 4_096, 65_536];

/** A size as a text: `200 B`, `4 KiB`. */
export function sizeName(size_bytes: number): string {
  return size_bytes < 1_024 ? `${size_bytes} B` : `${size_bytes / 1_024} KiB`;
}

/** The rules of a field; none for an edition without rules. */
function ruled(edition: Edition, rules: JsonValue): More {
  return edition === "none" ? {} : { options: { "[buf.validate.field]": rules } };
}

const MOVING = {
  id: "moving",
  message: "a vehicle that stands has no bearing",
  expression: "this.speed > 0.0 || this.bearing == 0.0",
};

function positionOf(edition: Edition): JsonValue {
  const range = (most: number) => ruled(edition, { double: { gte: -most, lte: most } });
  return {
    name: "Position",
    ...(edition === "cel" ? { options: { "[buf.validate.message]": { cel: [MOVING] } } } : {}),
    field: [
      field("latitude", 1, "double", range(90)),
      field("longitude", 2, "double", range(180)),
      field("bearing", 3, "float", ruled(edition, { float: { gte: 0, lt: 360 } })),
      field("speed", 4, "float", ruled(edition, { float: { gte: 0 } })),
    ],
  };
}

function messagesOf(edition: Edition): JsonValue[] {
  const pattern = edition === "cel" ? { pattern: "^[a-z]{3}-[0-9]+$" } : {};
  const id = { string: { minLen: "1", maxLen: "64", ...pattern } };
  return [{
    name: "Feed",
    field: [
      field("version", 1, "string", ruled(edition, { string: { minLen: "1" } })),
      field("timestamp_ms", 2, "uint64", ruled(edition, { uint64: { gt: "0" } })),
      list("vehicles", 3, ".bench.Vehicle", ruled(edition, { repeated: { maxItems: "10000" } })),
      field("note", 4, "string"),
    ],
  }, {
    name: "Vehicle",
    field: [
      field("id", 1, "string", ruled(edition, id)),
      field("position", 2, ".bench.Position", ruled(edition, { required: true })),
      field("label", 3, "string"),
      list("stops", 4, "uint32"),
    ],
  }, positionOf(edition)];
}

/** An edition of the schema as a client registers it. */
export function feedUpload(edition: Edition): Uint8Array<ArrayBuffer> {
  return gzipped(descriptorSet(messagesOf(edition)));
}

/** The registry of an edition's linked descriptors. */
export function feedRegistry(edition: Edition): FileRegistry {
  return linked(descriptorSet(messagesOf(edition)));
}

const PLAIN = feedRegistry("none");

function vehicle(index: number): Record<string, unknown> {
  const turn = index * 37 % 360;
  return {
    id: `bus-${1_000 + index}`,
    position: {
      latitude: 40 + turn / 1_000,
      longitude: -74 + turn / 700,
      bearing: turn,
      speed: 1 + turn / 20,
    },
    label: index % 3 === 0 ? `Línea ${index % 40} – Plaza Mayor` : `Line ${index % 40}`,
    stops: [index, index * 7 % 5_000, index * 13 % 5_000],
  };
}

function encode(desc: DescMessage, vehicles: number, first: number, note: string): Uint8Array {
  return toBinary(
    desc,
    create(desc, {
      version: "2.0",
      timestampMs: 1_767_323_045_000n + BigInt(first),
      vehicles: Array.from({ length: vehicles }, (_, index) => vehicle(first + index)),
      note,
    }),
  );
}

/**
 * A message of exactly this length that keeps every rule: as many vehicles as fit, and a note that fills the
 * rest. Another `first` gives another message. Throws when no message has this length.
 */
export function feedMessage(size_bytes: number, first = 0): Uint8Array {
  const desc = PLAIN.getMessage(FEED)!;
  let vehicles = 0;
  // After the vehicles there must be room for a note of any length: tag, length of the length, text.
  while (encode(desc, vehicles + 1, first, "").length + 4 <= size_bytes) vehicles++;
  for (let note = 0; note < 256; note++) {
    const bytes = encode(desc, vehicles, first, "x".repeat(note));
    if (bytes.length === size_bytes) return bytes;
  }
  throw new Error(`no feed of ${size_bytes} bytes`);
}
