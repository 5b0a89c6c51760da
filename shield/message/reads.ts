/** Reports of stored messages that were read. Types only. */
import type { Identity } from "../auth/identity.ts";

/** Counts reads, and checks their tenant's budgets before. */
export interface ReadMeter {
  /** A page of a room of that class is read next; `is_begun`: not the first of its answer. Throws `budget-exhausted`. */
  page(identity: Identity, pattern: string, is_begun?: boolean): void;
  /** That many bytes of it were sent. */
  give(identity: Identity, pattern: string, size_bytes: number): void;
}

interface ReadPage {
  readonly caller: {
    readonly identity: { readonly tenant_id: string; readonly user_id: string };
    readonly connection_id: string;
  };
  readonly room_id: string;
  readonly how: "history" | "stream";
  /** The offsets of its messages, in any order. */
  readonly offsets: readonly number[];
  /** Whether it has all messages of the room between its lowest and highest offset. */
  readonly is_whole: boolean;
}

/** Records a page that is about to be sent. */
export type NoteRead = (page: ReadPage) => void;
