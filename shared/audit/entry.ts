/**
 * An entry of the audit log: one line of JSON. Its hash is SHA-256 of exactly these bytes, and `previous` is the
 * previous entry's hash. Pure. The Shield writes entries, `chain.ts` checks them.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { AUDIT_OUTCOMES } from "./outcome.ts";

/** `previous` of the first entry. */
export const NO_HASH = "0".repeat(64);
/** The longest entry in bytes; written ones are far shorter. */
export const ENTRY_BYTES_MAX = 8_192;

const Hash = z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" });

// Loose, because a later version may add members.
const Entry = z.looseObject({
  format: z.literal(1),
  seq: z.int().min(1),
  previous: Hash,
  at_ms: z.int().min(0),
  node: z.string(),
  request: z.string(),
  outcome: z.enum(AUDIT_OUTCOMES),
  action: z.string(),
  tenant: z.string().nullable(),
  by: z.string().nullable(),
  by_tenant: z.string().nullable(),
  operator: z.boolean(),
  from: z.string(),
  method: z.string(),
  path: z.string(),
  about: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  status: z.int().nullable(),
  reason: z.string().nullable(),
  count: z.int().min(1),
});

/** One entry. `seq` is its number, from 1; times are Unix ms. docs/security.md describes each member. */
export type AuditEntry = z.output<typeof Entry>;

/** The writer's part; number and time are added at the append. */
export type AuditFields = Omit<AuditEntry, "format" | "seq" | "previous" | "at_ms" | "node">;

/** An entry with the hash of its stored bytes. */
export interface HashedEntry {
  readonly entry: AuditEntry;
  readonly hash: string;
}

/** Hex SHA-256 of an entry's stored bytes. */
export function entryHash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The bytes to store. */
export function encodeEntry(
  place: Pick<AuditEntry, "seq" | "previous" | "at_ms" | "node">,
  fields: AuditFields,
): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: 1, ...place, ...fields }));
}

/** The entry, or the problem of the bytes. */
export function decodeEntry(
  bytes: Uint8Array,
): { readonly entry: AuditEntry } | { readonly problem: string } {
  if (bytes.length > ENTRY_BYTES_MAX) return { problem: `it has ${bytes.length} bytes` };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return { problem: "it is no JSON" };
  }
  const parsed = Entry.safeParse(value);
  if (parsed.success) return { entry: parsed.data };
  const [issue] = parsed.error.issues;
  return { problem: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "it is no entry"}` };
}
