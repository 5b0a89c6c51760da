/**
 * What an entry of the audit log says, how it is stored, and how it names the one before it: an entry is
 * one line of JSON, its hash is SHA-256 of exactly these bytes, and `previous` is the hash of the entry
 * before. Pure. Who writes entries is the Shield, who checks them `chain.ts`.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { AUDIT_OUTCOMES } from "./outcome.ts";

/** The stream, or the table of the embedded engine, that holds them. */
export const AUDIT_LEDGER = "ARQON_AUDIT";
/** `previous` of an entry that has none before it. */
export const NO_HASH = "0".repeat(64);
/** Longest entry in bytes; what writes them stays far below. */
export const ENTRY_BYTES_MAX = 8_192;

const Hash = z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" });

// Loose: a later version may say more.
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

/** One entry. `seq` is its place, 1 for the first; times are Unix ms. docs/security.md has each member. */
export type AuditEntry = z.output<typeof Entry>;

/** What a writer says; its place and time are added when it is appended. */
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

/** The entry, or what is wrong with the bytes. */
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
