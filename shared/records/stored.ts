/**
 * Records that processes of several versions read. A record that an older reader would misread has a higher `format`;
 * any other addition of a newer version is ignored by an older one, which may lose it when it writes. A record of an
 * unknown format is neither damaged nor absent: it is refused with `incompatible-version`, never overwritten, counted
 * in `arqon_newer_records_total`, and logged once for each kind.
 */
import { ArqonError } from "@arqon/proto";
import type { z } from "zod";
import { problemText } from "../problem.ts";

const RETRY_MS = 1_000;

type Listener = (record: string, error: ArqonError) => void;
const listeners = new Set<Listener>();

/** Throws `incompatible-version` if `format` (or `v`) is above `known`; `record` names the kind. */
export function requireFormat(value: unknown, record: string, known = 1): void {
  if (typeof value !== "object" || value === null) return;
  const { format, v } = value as { readonly format?: unknown; readonly v?: unknown };
  const found = format ?? v;
  if (typeof found !== "number" || found <= known) return;
  const detail = `a newer ArqonBus has stored this ${record} (format ${found}, here ${known})`;
  const error = new ArqonError("incompatible-version", detail, { retry_after_ms: RETRY_MS });
  for (const listener of listeners) listener(record, error);
  throw error;
}

/** Whether the error is that refusal. */
export const isIncompatible = (error: unknown): error is ArqonError =>
  error instanceof ArqonError && error.reason === "incompatible-version";

/** A decoded record: immutable. */
export type StoredAs<Schema extends z.ZodType> = Fixed<z.output<Schema>>;

type Fixed<Value> = Value extends readonly (infer Item)[] ? readonly Fixed<Item>[]
  : Value extends object ? { readonly [Name in keyof Value]: Fixed<Value[Name]> }
  : Value;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A record as bytes: JSON. */
export const storedBytes = (record: object): Uint8Array<ArrayBuffer> =>
  encoder.encode(JSON.stringify(record));

/**
 * A stored record in JSON. Throws TypeError, naming the fault, and `incompatible-version` for one of a newer ArqonBus.
 */
export function requireStored<Schema extends z.ZodType>(
  bytes: Uint8Array,
  schema: Schema,
  record: string,
  known = 1,
): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new TypeError(`not a ${record}: it is not JSON`, { cause });
  }
  requireFormat(value, record, known);
  return requireForm(value, schema, record);
}

/** The parsed value. Throws TypeError that names the fault. */
export function requireForm<Schema extends z.ZodType>(
  value: unknown,
  schema: Schema,
  record: string,
): z.output<Schema> {
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data as z.output<Schema>;
  const problems = error.issues.map(({ path, message }) => `${path.join(".") || "it"}: ${message}`);
  throw new TypeError(`not a ${record}: ${problems.join("; ")}`);
}

/** As `requireStored`; undefined for any other bytes. */
export function readStored<Schema extends z.ZodType>(
  ...read: [bytes: Uint8Array, schema: Schema, record: string, known?: number]
): z.output<Schema> | undefined {
  try {
    return requireStored(...read);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** A stored document, or what is wrong with its bytes, in words. */
export function parseStored<Schema extends z.ZodType>(
  bytes: Uint8Array,
  schema: Schema,
  record: string,
):
  | { readonly value: z.output<Schema> }
  | { readonly problem: string; readonly is_newer?: boolean } {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    requireFormat(value, record);
    const { data, error } = schema.safeParse(value);
    return error === undefined
      ? { value: data as z.output<Schema> }
      : { problem: problemText(error) };
  } catch (error) {
    if (!isIncompatible(error)) return { problem: "not JSON" };
    return { problem: error.message, is_newer: true };
  }
}

/** What `read` returns; "newer" for a record of a newer ArqonBus: for readers of many records that skip some. */
export function unlessNewer<Value>(read: () => Value): Value | "newer" {
  try {
    return read();
  } catch (error) {
    if (isIncompatible(error)) return "newer";
    throw error;
  }
}

/** Calls `listener` for every newer record that any part of this process reads, until it is disposed. */
export function onNewer(listener: Listener): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => void listeners.delete(listener) };
}
