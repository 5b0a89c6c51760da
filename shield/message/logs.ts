/** The logs of durable rooms for the kernel: a capability opens and reads them, and others record and meter reads. */
import { ArqonError } from "@arqon/proto";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { Appended, DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { Lives } from "../../shared/spine/contract/lives.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import type { Entry } from "../fanout/entry.ts";
import type { Identity } from "../auth/identity.ts";

/** A message for its room's log; the bytes of `envelope` are copied. */
export interface LogAppend {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly room_class: RoomClass;
  readonly envelope: Uint8Array;
  /** The message id; "" for none. */
  readonly message_id: string;
  readonly sender_id: string;
  readonly headers: SpineHeaders | undefined;
}

/** A place in a room's log. */
export interface LogPlace {
  /** The life of the log. */
  readonly stream: string;
  readonly offset: number;
}

/** A message of a log that is in memory. */
export interface RecentEntry extends Pick<Entry, "offset" | "envelope" | "text"> {
  /** When the log stored it, Unix ms by the log's clock. */
  readonly time_ms: number;
}

/** The logs of tenants. */
export interface Logs {
  /** A tenant's log. Rejects with `log-unavailable` or `spine-unavailable`. */
  of(tenant_id: string): Promise<DurableLog>;
  /** Whether a class of the tenant is durable: otherwise there is no log to open. */
  has(tenant_id: string): boolean;
  /** The incarnations of the tenant's log; none if no room of the tenant is durable. Rejects as `of` does. */
  livesOf(tenant_id: string): Promise<Lives>;
  /**
   * Stores a message; resolves when the log has acknowledged it. Rejects as `DurableLog.append` does.
   * Messages of one caller to one room are stored, and resolve, in the order of the calls.
   */
  append(append: LogAppend): Promise<Appended>;
  /**
   * The first messages of a room after a place in the newest life of its log, if this process has all of them in
   * memory: the room has subscribers. Empty: read the log.
   */
  recent(
    tenant_id: string,
    room_id: string,
    after: LogPlace,
    limit: number,
  ): readonly RecentEntry[];
}

const nothing = () => Promise.reject(new ArqonError("log-unavailable", "this node has no logs"));

/** Without durable rooms: a room of a durable class accepts no message. */
export const NO_LOGS: Logs = {
  of: nothing,
  has: () => false,
  livesOf: () => Promise.resolve([]),
  append: nothing,
  recent: () => [],
};

/** Counts reads, and checks their tenant's budgets before. */
export interface ReadMeter {
  /** A page of a room of that class is read next; `is_begun`: not the answer's first. Throws `budget-exhausted`. */
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
