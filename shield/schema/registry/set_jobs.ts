/**
 * Jobs on whole descriptor sets: reading, comparing, cutting out messages, trying data. Pure functions of bytes, so
 * that small sets are handled on the message thread and others in a worker (`set_work.ts`).
 */
import type { CompatibilityMode } from "../../../shared/schema_id.ts";
import { gzipSync } from "node:zlib";
import { checkHistory } from "../../../shared/schema/compatibility/compat.ts";
import {
  DESCRIPTOR_LIMITS,
  type DescriptorSet,
  readDescriptorSet,
  readUnpackedSet,
  unpackSet,
} from "../../../shared/schema/descriptors/descriptor_set.ts";
import { scanDescriptorSet } from "../../../shared/schema/descriptors/descriptor_scan.ts";
import type { Finding } from "../../../shared/schema/compatibility/findings.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { findShared } from "../../../shared/schema/descriptors/shared_files.ts";
import { sha256Of } from "./schema_record.ts";
import { compileMessage, type Validation } from "../validation/message_schema.ts";
import { pruneTo } from "../validation/prune.ts";
import type { UnknownFields } from "../validation/message_schema.ts";

/** The name of a version without a number in findings. */
export const CANDIDATE = "candidate";

/** A message, cut out of its set and compiled once, or why it cannot be used. */
export type CutMessage = { readonly gzipped: Uint8Array } | { readonly problem: string };

/** The jobs; `gzipped` is a gzipped descriptor set. Each throws `SchemaError`. */
export interface SetJobs {
  /** Reads a set. Returns its unpacked bytes, and which of these messages it lacks. */
  read(
    gzipped: Uint8Array,
    type_names: readonly string[],
  ): { readonly unpacked_sha256: string; readonly missing: readonly string[] };
  compare(
    candidate: Uint8Array,
    earlier: Uint8Array,
    version: string,
    mode: CompatibilityMode,
  ): { readonly findings: readonly Finding[] } | { readonly stored_problem: string };
  /** Cuts out each message with what it needs of the set, of at most `parts_max` parts. */
  cut(
    gzipped: Uint8Array,
    type_names: readonly string[],
    parts_max: number,
  ): Record<string, CutMessage>;
  validate(
    gzipped: Uint8Array,
    type_name: string,
    data: Uint8Array,
    options: { readonly unknown_fields: UnknownFields; readonly is_json: boolean },
  ): Validation;
}

/**
 * The parts of an unpacked set that take memory, without files that all sets in this process share. Throws
 * `SchemaError` above `elements`, in which those files count.
 */
export function partsOf(unpacked: Uint8Array, elements: number): number {
  return scanDescriptorSet(unpacked, { ...DESCRIPTOR_LIMITS, elements })
    .filter(({ bytes }) => findShared(bytes) === undefined)
    .reduce((sum, file) => sum + file.elements, 0);
}

function cutOne(set: DescriptorSet, type_name: string, parts_max: number): CutMessage {
  try {
    const desc = set.registry.getMessage(type_name);
    // The call throws the error.
    if (desc === undefined) compileMessage(set.registry, type_name);
    const unpacked = pruneTo(set, desc!);
    const parts = partsOf(unpacked, DESCRIPTOR_LIMITS.elements);
    if (parts > parts_max) {
      const why = `${type_name} needs ${parts} parts of its schema; at most ${parts_max}`;
      return { problem: `${why} (platform.registry.message_parts)` };
    }
    compileMessage(readUnpackedSet(unpacked).registry, type_name);
    return { gzipped: gzipSync(unpacked) };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    return { problem: error.message };
  }
}

/** Makes the jobs. The last set is cached, since the next job is often about it. */
export function createSetJobs(): SetJobs {
  let last: { readonly sha256: string; readonly set: DescriptorSet } | undefined;
  const read = (gzipped: Uint8Array): DescriptorSet => {
    const sha256 = sha256Of(gzipped);
    if (last?.sha256 !== sha256) last = { sha256, set: readDescriptorSet(gzipped) };
    return last.set;
  };
  return {
    read(gzipped, type_names) {
      const { registry } = read(gzipped);
      const missing = type_names.filter((name) => registry.getMessage(name) === undefined);
      return { unpacked_sha256: sha256Of(unpackSet(gzipped)), missing };
    },
    compare(candidate, earlier, version, mode) {
      const to = read(candidate).registry;
      let from: DescriptorSet;
      try {
        from = readDescriptorSet(earlier);
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error;
        return { stored_problem: error.message };
      }
      const versions = [{ version, schema: from.registry }];
      return { findings: checkHistory(versions, { version: CANDIDATE, schema: to }, mode) };
    },
    cut(gzipped, type_names, parts_max) {
      const set = read(gzipped);
      return Object.fromEntries(type_names.map((name) => [name, cutOne(set, name, parts_max)]));
    },
    validate(gzipped, type_name, data, { unknown_fields, is_json }) {
      const message = compileMessage(read(gzipped).registry, type_name);
      const options = { unknown_fields };
      return is_json ? message.validateJson(data, options) : message.validate(data, options);
    },
  };
}
