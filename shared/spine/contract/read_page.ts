/**
 * Reads of a durable room: pages that must not miss an acknowledged message, and backward from the newest message, for
 * writers that must know whether a message that they may have published was stored.
 */
import { ArqonError, DecodeError, readEnvelope, readRouted, writeEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import type { DurableLog, LogMessage, LogPage, LogRead, LogReadBack } from "./durable_log.ts";

/** How often a page that ends early is read again. */
const LAGS = 5;

/**
 * A page that has every message up to `to` (an offset) that was acknowledged before the call, as far as the page is
 * long enough: a lagging replica ends a page early, without `more`. Rejects with `log-unavailable` if it still lags
 * after five more reads.
 */
export async function readPage(
  log: Pick<DurableLog, "read" | "head">,
  room_id: string,
  options: LogRead,
  to: number = Infinity,
): Promise<LogPage> {
  let end = to;
  for (let lags = 0; lags <= LAGS; lags++) {
    const page = await log.read(room_id, options);
    if (page.more) return page;
    // The newest may have been removed meanwhile, and others may have come, which need not be here.
    const { last } = await log.head(room_id);
    end = Math.min(end, last?.offset ?? 0);
    if ((page.messages.at(-1)?.offset ?? options.after) >= end) return page;
  }
  throw new ArqonError("log-unavailable", "a replica of the log lags");
}

/** Pages of a room, each older than the one before it, until the log has no more. Rejects as the log does. */
export async function* pagesBack(
  log: Pick<DurableLog, "readBack">,
  room_id: string,
  { before, ...bounds }: LogReadBack,
): AsyncGenerator<LogPage, void> {
  for (let end = before;;) {
    const page = await log.readBack(room_id, { before: end, ...bounds });
    yield page;
    const [oldest] = page.messages;
    if (!page.more || oldest === undefined) return;
    end = oldest.offset;
  }
}

/** The stored envelope in a readable form. One without a readable room is returned unchanged. */
export function readable(stored: Uint8Array): Uint8Array {
  try {
    readEnvelope(stored);
    return stored;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  try {
    return writeEnvelope(readRouted(stored));
  } catch (error) {
    if (error instanceof DecodeError) return stored;
    throw error;
  }
}

const PAGE = { limit: 256, max_bytes: 4_194_304 };

/** The part of a log that is needed. */
type ReadLog = Pick<DurableLog, "head" | "readBack">;

/** A stored message. */
export interface StoredMessage {
  readonly offset: number;
  /** Unix ms by the log's clock. */
  readonly time_ms: number;
  readonly envelope: PlainEnvelope;
}

/** One page; the next page is older. */
interface StoredPage {
  /** Newest first, without unreadable messages. */
  readonly messages: readonly StoredMessage[];
  /** When its oldest message was stored, Unix ms by the log's clock. */
  readonly oldest_ms: number;
}

/** Pages until the log has no more. Rejects as the log does. */
export async function* storedBack(log: ReadLog, room_id: string): AsyncGenerator<StoredPage, void> {
  const { last } = await log.head(room_id);
  if (last === undefined) return;
  const from = { before: last.offset + 1, ...PAGE };
  for await (const { messages } of pagesBack(log, room_id, from)) {
    const [oldest] = messages;
    if (oldest === undefined) return;
    yield { messages: messages.toReversed().flatMap(storedIn), oldest_ms: oldest.time_ms };
  }
}

/**
 * The newest message of the room that `isWanted` accepts; undefined if there is none stored at or after `since_ms`
 * (Unix ms, by the log's clock) among about the newest `most`. Rejects as the log does. A message id alone does not say
 * whose message it is: every client chooses its own.
 */
export async function findStored(
  log: ReadLog,
  room_id: string,
  isWanted: (envelope: PlainEnvelope) => boolean,
  since_ms: number,
  most = Infinity,
): Promise<StoredMessage | undefined> {
  let left = most;
  for await (const { messages, oldest_ms } of storedBack(log, room_id)) {
    const found = messages.find(({ envelope, time_ms }) =>
      time_ms >= since_ms && isWanted(envelope)
    );
    left -= messages.length;
    if (found !== undefined || oldest_ms < since_ms || left <= 0) return found;
  }
  return undefined;
}

function storedIn({ payload, offset, time_ms }: LogMessage): StoredMessage[] {
  try {
    return [{ offset, time_ms, envelope: readEnvelope(readable(payload)) }];
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}
