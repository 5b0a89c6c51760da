/** Who reads a stream, for all ways of reading: may it go on, what does it pay, what is noted of it. */
import type { Identity } from "../auth/identity.ts";
import type { Caller } from "../message/caller.ts";
import type { StreamContext } from "./context.ts";
import { readStream } from "./read.ts";
import type { StreamPage } from "./read.ts";
import type { StreamRecord } from "./record.ts";
import type { StreamKey } from "./records.ts";
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

/** Throws when who reads for long may read no longer. `now_ms` is Unix ms. */
export function requireReader(
  { bans, requireNotRevoked }: Pick<StreamContext, "bans" | "requireNotRevoked">,
  identity: Identity,
  room_id: string,
): void {
  bans.requireRoom(identity, room_id);
  requireNotRevoked(identity);
}

/** Reads a page for a reader, who pays for it. Rejects as `readStream`, and as a budget refuses. */
export function readPage(
  context: StreamContext,
  { key, caller: { identity } }: Pick<Reading, "key" | "caller">,
  record: StreamRecord,
  after: number | undefined,
): Promise<StreamPage> {
  context.reads?.page(identity, context.classes.of(key.tenant_id, key.room_id).pattern);
  return readStream(context, key, record, after);
}

/** Takes note of what a reader is about to be given. */
export function noteRead(
  { noteRead, reads, classes }: Pick<StreamContext, "noteRead" | "reads" | "classes">,
  { key: { tenant_id, room_id }, caller }: Pick<Reading, "key" | "caller">,
  { parts, messages }: Pick<StreamPage, "parts" | "messages">,
): void {
  for (const part of parts) noteRead?.({ ...part, caller, how: "stream", is_whole: true });
  const size_bytes = messages.reduce((sum, { length }) => sum + length, 0);
  reads?.give(caller.identity, classes.of(tenant_id, room_id).pattern, size_bytes);
}
