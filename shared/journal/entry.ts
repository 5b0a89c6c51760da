/**
 * A Shield's decision before it becomes a record of the journal: like a record, but with bytes as bytes. Types only.
 */
import type { JournalRecord, PolicyRecord, Terms } from "./record.ts";

/** The payload of an operation, with its bytes if they are kept. */
export type EntryPayload =
  | { readonly form: "kept"; readonly data: Uint8Array }
  | { readonly form: "reference"; readonly bytes: number }
  | { readonly form: "hash"; readonly sha256: string; readonly bytes: number }
  | { readonly form: "none" };

/** One decision. Its values are copied when it is written. */
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
      | "is_command"
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
  /** The same object as long as the content is the same. Absent: not recorded. */
  readonly terms?: Readonly<Terms> | undefined;
}
