/** What readers of stored messages report of themselves, as the path has it. Types only. */
import type { Identity } from "../auth/identity.ts";

/** Counts what they use, and asks their tenant's budgets before. */
export interface ReadMeter {
  /** A page of a room's log is read next; `pattern` is that of the room's class. Throws `budget-exhausted`. */
  page(identity: Identity, pattern: string): void;
  /** So many bytes of it are given. */
  give(identity: Identity, pattern: string, size_bytes: number): void;
}

/** What was read, and by whom. */
export interface ReadPage {
  readonly caller: {
    readonly identity: { readonly tenant_id: string; readonly user_id: string };
    readonly connection_id: string;
  };
  readonly room_id: string;
  readonly how: "history" | "stream";
  /** The offsets of its messages, in any order. */
  readonly offsets: readonly number[];
  /** Whether it has all messages of the room between the lowest and the highest of them. */
  readonly is_whole: boolean;
}

/** Takes note of a page that is about to be sent. */
export type NoteRead = (page: ReadPage) => void;
