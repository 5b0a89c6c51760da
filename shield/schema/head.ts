/**
 * The history of one schema as it is stored under its id: which versions there are and how they are
 * held to each other. Pure; reading and writing is `store.ts`. The descriptors themselves stand beside
 * it, under keys that name their bytes.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { COMPATIBILITY_MODES } from "../../shared/schema/findings.ts";
import type { CompatibilityMode } from "../../shared/schema/findings.ts";
import type { KvKey } from "../../shared/spine/spine.ts";

/** How a schema is held to its past unless somebody says otherwise. */
export const DEFAULT_COMPATIBILITY: CompatibilityMode = "BACKWARD";

const SCHEMA_ID = /^[A-Za-z0-9_.-]{1,128}$/;
/** What is wrong with an id that does not pass. */
export const SCHEMA_ID_RULE = "a schema id is 1 to 128 of [A-Za-z0-9_.-]";

/** Whether a text can name a schema. */
export function isSchemaId(text: string): boolean {
  return SCHEMA_ID.test(text);
}

const Version = z.looseObject({
  version: z.int().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  size_bytes: z.int().min(0),
  registered_ms: z.int().min(0),
  by: z.string(),
});
// Loose: what a later version has put beside it must survive a write of ours.
const Head = z.looseObject({
  format: z.literal(1),
  compatibility: z.enum(COMPATIBILITY_MODES),
  versions: z.array(Version).min(1),
});

/** One registered version; `sha256` and `size_bytes` are of the gzipped descriptor set. */
export type SchemaVersion = z.output<typeof Version>;
/** A schema's history, the oldest version first. */
export type SchemaHead = z.output<typeof Head>;

/** A head, and the descriptor set itself when that is all that is stored. */
export interface ReadHead {
  readonly head: SchemaHead;
  /** What another tool has put under the id: a gzipped descriptor set, which counts as version 1. */
  readonly bare: Uint8Array | undefined;
}

/** Hex sha256. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Where the bytes of a version are. */
export function versionKey(
  schema_id: string,
  { version, sha256 }: Pick<SchemaVersion, "version" | "sha256">,
): KvKey {
  return [schema_id, String(version), sha256];
}

/** The newest version. */
export function latestOf({ versions }: SchemaHead): SchemaVersion {
  const latest = versions.at(-1);
  if (latest === undefined) throw new TypeError("a head without versions");
  return latest;
}

/** The stored form. */
export function encodeHead(head: SchemaHead): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(head));
}

/** The history, or what is wrong with the bytes. */
export function decodeHead(bytes: Uint8Array): ReadHead | { readonly problem: string } {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    const size_bytes = bytes.length;
    const only = { version: 1, sha256: sha256Of(bytes), size_bytes, registered_ms: 0, by: "" };
    const head = { format: 1 as const, compatibility: DEFAULT_COMPATIBILITY, versions: [only] };
    return { head, bare: bytes };
  }
  try {
    const parsed = Head.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
    if (!parsed.success) return { problem: z.prettifyError(parsed.error) };
    const ascending = parsed.data.versions.every(({ version }, at, all) =>
      at === 0 || version > (all[at - 1]?.version ?? 0)
    );
    if (!ascending) return { problem: "its versions do not ascend" };
    return { head: parsed.data, bare: undefined };
  } catch {
    return { problem: "neither a history nor a gzipped descriptor set" };
  }
}
