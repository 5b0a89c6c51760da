/** The reader of a stream, for all ways of reading: authorization, charges, and records. */
import type { Caller } from "../message/caller.ts";
import type { StreamContext } from "./context.ts";
import { type Place, readStream, type StreamPage } from "./read.ts";
import type { StreamRecord } from "./record.ts";
import type { StreamKey } from "./records.ts";
import { StreamRefusal } from "./refusal.ts";
import type { ReadRequest } from "./request.ts";

/** One GET on its way. */
export interface Reading {
  readonly key: StreamKey;
  readonly caller: Caller;
  readonly request: ReadRequest;
  readonly if_none_match: string | null;
  /** As `ClientCall.gone`. */
  readonly gone: () => AbortSignal;
}

/** Whether the room's messages are a stream: a stream is read completely, which a filter does not allow. */
export function isStream(
  { classes }: Pick<StreamContext, "classes">,
  { tenant_id, room_id }: StreamKey,
): boolean {
  const { durable, filter } = classes.of(tenant_id, room_id);
  return durable && filter === undefined;
}

/** Throws if a long reader may no longer read. */
export function requireReader(
  context: Pick<StreamContext, "bans" | "requireNotRevoked" | "classes">,
  { key, caller: { identity } }: Pick<Reading, "key" | "caller">,
): void {
  context.bans.requireRoom(identity, key.room_id);
  context.requireNotRevoked(identity);
  if (!isStream(context, key)) throw new StreamRefusal("stream-not-found");
}

/** Like `requireReader`, but returns a boolean. */
export function mayRead(...args: Parameters<typeof requireReader>): boolean {
  try {
    requireReader(...args);
    return true;
  } catch {
    return false;
  }
}

/** Reads a page, charged to the reader. Rejects as `readStream`, and as a budget refuses. */
export function readPage(
  context: StreamContext,
  { key, caller: { identity } }: Pick<Reading, "key" | "caller">,
  record: StreamRecord,
  { after, erased }: Place,
): Promise<StreamPage> {
  context.reads?.page(identity, context.classes.of(key.tenant_id, key.room_id).pattern);
  return readStream(context, key, record, after, erased);
}

/** Records the messages that a reader is about to get. */
export function noteRead(
  { noteRead, reads, classes }: Pick<StreamContext, "noteRead" | "reads" | "classes">,
  { key: { tenant_id, room_id }, caller }: Pick<Reading, "key" | "caller">,
  { parts, messages }: Pick<StreamPage, "parts" | "messages">,
): void {
  for (const part of parts) noteRead?.({ ...part, caller, how: "stream", is_whole: true });
  const size_bytes = messages.reduce((sum, { length }) => sum + length, 0);
  reads?.give(caller.identity, classes.of(tenant_id, room_id).pattern, size_bytes);
}
