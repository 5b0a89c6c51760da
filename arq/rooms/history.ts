/**
 * Reads what a durable room keeps, page by page, forward or backward, with patience for a bus that
 * restarts meanwhile. Prints nothing and subscribes to nothing.
 */
import { ArqonError } from "@arqon/sdk";
import type { Message, Uint64 } from "@arqon/sdk";
import { CommandError } from "../terminal/exit.ts";
import { pause } from "./flow.ts";
import type { Io } from "../terminal/io.ts";

/** Which messages: those after and before these offsets, the newest first with `reverse`. */
export interface HistoryQuery {
  readonly after?: number;
  readonly before?: number;
  readonly limit?: number;
  readonly reverse?: boolean;
}

/** Messages in a row, and where the room stands. */
export interface HistoryPage {
  readonly messages: readonly Message[];
  readonly offset: Uint64;
  readonly epoch: string;
  /** There are more in this direction. */
  readonly more: boolean;
}

/** A durable room as far as it can be read; `Room` of the SDK is one. */
export interface HistorySource {
  history(query: HistoryQuery): Promise<HistoryPage>;
}

/** A place in a room's sequence: what comes after this offset is what has not been read. */
export interface Place {
  readonly offset: number;
  readonly epoch: string;
}

/** Messages of one request, unless the bus says that it gives fewer. */
const PAGE_MESSAGES = 500;
const FEWER = /limit: \d+; at most (\d+)/;
/** Long enough for a bus that restarts under us. */
const PATIENCE_MS = 30_000;
const RETRY_MS = 250;

/** The room's log was replaced while it was read: offsets from before mean nothing now. */
export class EpochChanged extends CommandError {
  /** The new one. */
  readonly epoch: string;

  constructor(was: string, now: string) {
    super(`the room began anew while it was read: its epoch was ${was} and is ${now}`);
    this.epoch = now;
  }
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof ArqonError)) return false;
  return error.code === 503 || ["connection-lost", "answer-timeout"].includes(error.reason);
}

/** The same source; a read that failed for now is repeated for up to 30 s. Reads change nothing. */
export function patient(source: HistorySource, io: Pick<Io, "now" | "signal">): HistorySource {
  return {
    async history(query) {
      const deadline_ms = io.now() + PATIENCE_MS;
      for (;;) {
        try {
          return await source.history(query);
        } catch (error) {
          if (!isPassing(error) || io.now() >= deadline_ms) throw error;
        }
        await pause(RETRY_MS, io.signal);
        io.signal.throwIfAborted();
      }
    },
  };
}

/** How many the bus gives at a time, from its refusal of more; throws any other refusal. */
function fewer(error: unknown, asked: number): number {
  const text = error instanceof ArqonError && error.code === 400 ? error.message : "";
  const most = Number(FEWER.exec(text)?.[1] ?? asked);
  if (most >= 1 && most < asked) return most;
  throw error;
}

/** What `historyPages` reads. */
export interface PagesQuery extends Omit<HistoryQuery, "limit"> {
  /** Messages at most. */
  readonly total: number;
  /** That of the first page. */
  readonly epoch?: string;
  /** Whether a place still means what it meant, although the room has another epoch; absent: no. */
  readonly isKnown?: (place: Place) => Promise<boolean>;
}

/**
 * At least one page, then more until `total` messages have come or there are none. Throws
 * `EpochChanged` instead of a page of another epoch than the one before, or than `query.epoch`, unless
 * what was read is known there.
 */
export async function* historyPages(
  source: HistorySource,
  query: PagesQuery,
): AsyncGenerator<HistoryPage, void> {
  const { total, epoch: wanted, reverse = false, isKnown, ...bounds } = query;
  let { after, before } = bounds;
  let epoch = wanted;
  // Of what was read; whatever is below it is of the same log.
  let highest = after ?? 0;
  let most = PAGE_MESSAGES;
  for (let left = total; left > 0;) {
    const query = {
      ...(after === undefined ? {} : { after }),
      ...(before === undefined ? {} : { before }),
      limit: Math.min(left, most),
      reverse,
    };
    const page = await source.history(query).catch((error: unknown) => {
      most = fewer(error, query.limit);
    });
    if (page === undefined) continue;
    epoch ??= page.epoch;
    if (page.epoch !== epoch) {
      const is_known = await isKnown?.({ offset: highest, epoch }) ?? false;
      if (!is_known) throw new EpochChanged(epoch, page.epoch);
      epoch = page.epoch;
    }
    yield page;
    const last = page.messages.at(-1);
    if (last === undefined || !page.more) return;
    highest = Math.max(highest, ...page.messages.map(({ offset }) => Number(offset)));
    left -= page.messages.length;
    if (reverse) before = Number(last.offset);
    else after = Number(last.offset);
  }
}

/** Refuses an epoch that is not the room's; undefined is any. */
export function checkEpoch(room_id: string, epoch: string, wanted: string | undefined): void {
  if (wanted === undefined || wanted === epoch) return;
  throw new CommandError(
    `room ${room_id} began anew: its epoch is ${epoch}, not ${wanted}; offsets from before mean nothing`,
    undefined,
    "--from 0 without --epoch begins with the oldest message that it keeps",
  );
}
