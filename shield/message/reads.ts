/** Reports of stored messages that were read. Types only. */
import type { Identity } from "../auth/identity.ts";

/** Counts reads, and checks their tenant's budgets before. */
export interface ReadMeter {
  /**
   * A page of a log is about to be read; `pattern` is that of the room's class. Throws `budget-exhausted` and
   * `tenant-quota`, but not for a further page of the same answer.
   */
  page(identity: Identity, pattern: string, is_further?: boolean): void;
  /** That many bytes of it were sent. */
  give(identity: Identity, pattern: string, size_bytes: number): void;
}

/** A page, and its reader. */
export interface ReadPage {
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
