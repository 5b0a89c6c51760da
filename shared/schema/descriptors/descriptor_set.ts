/**
 * Reads a gzipped FileDescriptorSet: limited in every dimension, and refused with a sentence if a Protobuf compiler
 * would not have produced it. Keeps nothing, fetches no imports and compares no versions.
 */
import { gunzipSync } from "node:zlib";
import { create, type FileRegistry, fromBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { checkDefaults, checkFiles, fillJsonNames, orderFiles } from "./descriptor_check.ts";
import { findShared, isShared, keepShared, linkFiles } from "./shared_files.ts";
import { type DescriptorLimits, scanDescriptorSet, type ScannedFile } from "./descriptor_scan.ts";
import { SchemaError } from "../schema_error.ts";

export { SchemaError } from "../schema_error.ts";
export type { DescriptorLimits } from "./descriptor_scan.ts";

/** The limits in force; a real set of 100 files and 1,000 messages needs a tenth of them. */
export const DESCRIPTOR_LIMITS: DescriptorLimits = {
  gzipped_bytes: 1_048_576,
  unpacked_bytes: 16 * 1_048_576,
  files: 1_000,
  messages: 10_000,
  elements: 200_000,
  nesting: 32,
};

/** A complete descriptor set: every import and every type is present. */
export interface DescriptorSet {
  /** The decoded set; imports come before the files that import them, and source comments are removed. */
  readonly set: FileDescriptorSet;
  /** The linked set: types by full name, with features resolved. */
  readonly registry: FileRegistry;
  /** Approximate memory of the set, without the files shared with other sets. */
  readonly heap_bytes: number;
}

/** Measured bytes in memory: of the maps of a registry; of an element, decoded and linked; of a byte in texts. */
const REGISTRY_BYTES = 12_288;
const ELEMENT_BYTES = 768;
const TEXT_BYTES = 2;

const heapBytes = (files: readonly ScannedFile[]): number =>
  files.reduce(
    (sum, { bytes, elements }) => sum + elements * ELEMENT_BYTES + bytes.length * TEXT_BYTES,
    REGISTRY_BYTES,
  );

/** Decompresses `gzipped`: a FileDescriptorSet, or anything else. Throws SchemaError if it is no gzip or too large. */
export function unpackSet(
  gzipped: Uint8Array,
  limits: DescriptorLimits = DESCRIPTOR_LIMITS,
): Uint8Array {
  if (gzipped.length > limits.gzipped_bytes) {
    throw new SchemaError(
      `the gzipped descriptor set has ${gzipped.length} bytes; at most ${limits.gzipped_bytes}`,
    );
  }
  if (gzipped[0] !== 0x1f || gzipped[1] !== 0x8b) {
    throw new SchemaError("the descriptor set is not gzip; send a gzipped FileDescriptorSet");
  }
  try {
    // Stops inflating at the limit.
    return gunzipSync(gzipped, { maxOutputLength: limits.unpacked_bytes });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    throw new SchemaError(
      code === "ERR_BUFFER_TOO_LARGE"
        ? `the descriptor set unpacks to more than ${limits.unpacked_bytes} bytes`
        : "the gzip data of the descriptor set is cut off or damaged",
      { cause: error },
    );
  }
}

function decode(files: readonly ScannedFile[]): FileDescriptorProto[] {
  try {
    return files.map(({ bytes }) =>
      findShared(bytes) ?? fromBinary(FileDescriptorProtoSchema, bytes)
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SchemaError(`not a FileDescriptorSet: ${reason}`, { cause: error });
  }
}

function link({ file }: FileDescriptorSet): FileRegistry {
  try {
    return linkFiles(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SchemaError(`the descriptor set does not link: ${reason.slice(0, 300)}`, {
      cause: error,
    });
  }
}

/** As `readDescriptorSet`, for a FileDescriptorSet that is not gzipped. */
export function readUnpackedSet(
  bytes: Uint8Array,
  limits: DescriptorLimits = DESCRIPTOR_LIMITS,
): DescriptorSet {
  const encoded = scanDescriptorSet(bytes, limits);
  const decoded = decode(encoded);
  if (decoded.length === 0) throw new SchemaError("the descriptor set holds no file");
  const set = create(FileDescriptorSetSchema, { file: orderFiles(decoded) });
  checkFiles(set.file);
  fillJsonNames(set.file);
  encoded.forEach((file, at) => keepShared(file.bytes, decoded[at]!));
  const own = encoded.filter((_, at) => !isShared(decoded[at]!));
  const registry = link(set);
  checkDefaults(registry);
  return { set, registry, heap_bytes: heapBytes(own) };
}

/**
 * Reads, checks and links a gzipped set. Throws SchemaError, naming the fault and its place: not gzip, too large in any
 * way, cut off, a missing import or type, an import cycle, a duplicate name or number, a field without a type.
 */
export function readDescriptorSet(
  gzipped: Uint8Array,
  limits: DescriptorLimits = DESCRIPTOR_LIMITS,
): DescriptorSet {
  return readUnpackedSet(unpackSet(gzipped, limits), limits);
}
