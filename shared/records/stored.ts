/**
 * Records that processes of several versions read. A record that an older reader would read wrongly carries a higher
 * `format`; whatever else a newer version adds is left out by an older one, which may lose it when it writes. A record of
 * a format that this process does not know is neither damaged nor absent: it is refused with `incompatible-version`,
 * never written over, counted in `arqon_newer_records_total`, and warned of once for each kind.
 */
import { ArqonError } from "@arqon/proto";
import type { z } from "zod";

const RETRY_MS = 1_000;

type Heard = (record: string, error: ArqonError) => void;
const listeners = new Set<Heard>();

/** Throws `incompatible-version` for what has a higher `format` (or `v`) than `known`; `record` names its kind. */
export function requireFormat(value: unknown, record: string, known = 1): void {
  if (typeof value !== "object" || value === null) return;
  const { format, v } = value as { readonly format?: unknown; readonly v?: unknown };
  const found = format ?? v;
  if (typeof found !== "number" || found <= known) return;
  const detail = `a newer ArqonBus has stored this ${record} (format ${found}, here ${known})`;
  const error = new ArqonError("incompatible-version", detail, { retry_after_ms: RETRY_MS });
  for (const heard of listeners) heard(record, error);
  throw error;
}

/** Whether it is such a refusal. */
export const isIncompatible = (error: unknown): error is ArqonError =>
  error instanceof ArqonError && error.reason === "incompatible-version";

/** A stored record in JSON; undefined for what is none. Throws `incompatible-version` for one of a newer ArqonBus. */
export function readStored<Schema extends z.ZodType>(
  bytes: Uint8Array,
  schema: Schema,
  record: string,
  known = 1,
): z.output<Schema> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  requireFormat(value, record, known);
  return schema.safeParse(value).data;
}

/** What `read` returns; "newer" where it is of a newer ArqonBus: for who follows many records and passes over some. */
export function unlessNewer<Value>(read: () => Value): Value | "newer" {
  try {
    return read();
  } catch (error) {
    if (isIncompatible(error)) return "newer";
    throw error;
  }
}

/** Calls `heard` for every such record that any part of this process reads, until it is disposed. */
export function onNewer(heard: Heard): Disposable {
  listeners.add(heard);
  return { [Symbol.dispose]: () => void listeners.delete(heard) };
}
