/**
 * What a Shield says of one decision before it becomes a record of the journal: as a record, but with bytes as
 * bytes. Types only.
 */
import type { JournalRecord, PolicyRecord, Terms } from "./record.ts";

/** The payload of an operation, with its bytes where they are kept. */
export type EntryPayload =
  | { readonly form: "kept"; readonly data: Uint8Array }
  | { readonly form: "reference"; readonly bytes: number }
  | { readonly form: "hash"; readonly sha256: string; readonly bytes: number }
  | { readonly form: "none" };

/** One decision. What it says is copied when it is written. */
export interface JournalEntry extends
  Readonly<
    Pick<
      JournalRecord,
      | "time_ms"
      | "hook"
      | "room"
      | "trace"
      | "message_id"
      | "offset"
      | "type"
      | "content_type"
      | "is_signed"
      | "allowed"
      | "code"
      | "reason"
      | "message"
      | "schema"
      | "chain_version"
    >
  > {
  readonly sender: NonNullable<JournalRecord["sender"]>;
  readonly payload: EntryPayload;
  readonly policies: readonly Readonly<PolicyRecord>[];
  /** Absent: the message has another id, or none is known. */
  readonly twist?: string | undefined;
  /** Parts that say the same are one object. Absent: nobody took note of them. */
  readonly terms?: Readonly<Terms> | undefined;
}
