/**
 * Reads what a durable room stores, page by page, and retries reads while the bus restarts; finds positions in it, and
 * decides whether a position of an earlier epoch is still valid.
 */
import { ruleOf } from "@arqon/proto";
import { ArqonError, type Room } from "@arqon/sdk";
import { history, type RoomHistory } from "@arqon/sdk/history";
import { CommandError, failed } from "../terminal/exit.ts";
import { type Io, sleep } from "../terminal/io.ts";
import type { Flags } from "../program/flags.ts";

/** Which messages to read: those after one offset and before another; newest first with `reverse`. */
export interface HistoryQuery {
  readonly after?: number;
  readonly before?: number;
  readonly limit?: number;
  readonly reverse?: boolean;
}

/** A durable room that can be read: `storedIn`, or a test's. */
export interface HistorySource {
  history(query: HistoryQuery): Promise<RoomHistory>;
}

/** What a room of the SDK stores. */
export function storedIn(room: Pick<Room, "id" | "command">): HistorySource {
  return { history: (query) => history(room, query) };
}

/** A place in a durable room: everything after this offset is still unread. */
export interface Place {
  readonly offset: number;
  readonly epoch: string;
}

/** Messages of one request, unless the bus allows fewer. */
const PAGE_MESSAGES = 500;
const FEWER = /limit: \d+; at most (\d+)/;
/** Long enough for a bus that restarts meanwhile. */
const PATIENCE_MS = 30_000;
const RETRY_MS = 250;

/** The room began a new log while it was read, so earlier offsets are invalid. */
export class EpochChanged extends CommandError {
  readonly epoch: string;

  constructor(was: string, now: string) {
    super(`the room was recreated while it was read: its epoch was ${was} and is ${now}`);
    this.epoch = now;
  }
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof ArqonError)) return false;
  return ruleOf(error.reason).code === 503 || error.reason === "answer-timeout";
}

/** The same source, with reads retried for up to 30 s after a temporary failure. */
export function patient(
  source: HistorySource,
  io: Pick<Io, "monotonic_ms" | "signal">,
): HistorySource {
  return {
    async history(query) {
      const deadline_ms = io.monotonic_ms() + PATIENCE_MS;
      for (;;) {
        try {
          return await source.history(query);
        } catch (error) {
          if (!isPassing(error) || io.monotonic_ms() >= deadline_ms) throw error;
        }
        await sleep(RETRY_MS, io.signal);
      }
    },
  };
}

/** How many messages the bus allows in a page, from its refusal of `asked`. Throws any other refusal. */
function fewer(error: unknown, limit: number): number {
  const text = error instanceof ArqonError && error.code === 400 ? error.message : "";
  const most = Number(FEWER.exec(text)?.[1] ?? limit);
  if (most >= 1 && most < limit) return most;
  throw error;
}

interface PagesQuery extends Omit<HistoryQuery, "limit"> {
  /** Most messages. */
  readonly total: number;
  /** Epoch that the first page must have. */
  readonly epoch?: string;
  /** Whether a position is still valid although the room has another epoch; absent: it is not. */
  readonly isKnown?: (place: Place) => Promise<boolean>;
}

/**
 * Yields at least one page, then more until `total` messages have come or there are none left. Throws `EpochChanged`
 * for a page whose epoch differs from the previous page or from `query.epoch`, unless `isKnown` confirms that the last
 * read position is still valid.
 */
export async function* historyPages(
  source: HistorySource,
  query: PagesQuery,
): AsyncGenerator<RoomHistory, void> {
  const { total, epoch: wanted, reverse = false, isKnown, ...bounds } = query;
  let { after, before } = bounds;
  let epoch = wanted;
  // Highest offset read. Everything below it is from the same log.
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

/** Throws when the room's epoch is not the wanted one; undefined accepts any. */
export function checkEpoch(room_id: string, epoch: string, wanted: string | undefined): void {
  if (wanted === undefined || wanted === epoch) return;
  throw failed(
    `room ${room_id} was recreated: its epoch is ${epoch}, not ${wanted}; earlier offsets are invalid`,
    "--from 0 without --epoch begins with its oldest message",
  );
}

/**
 * False when the room has begun a new log, or when messages up to the position are trimmed. The connection must have no
 * subscription to the room. Rejects with the bus's refusal of the SUB.
 */
export async function isKnownPlace(room: Pick<Room, "subscribe">, place: Place): Promise<boolean> {
  using subscription = room.subscribe({ position: place, buffer: 1 });
  await subscription.ready;
  if (subscription.recovered !== false) return true;
  for await (const { signal, sender } of subscription) {
    // Other reasons, such as too many messages since, say nothing about the position itself.
    if (signal?.kind === "GAP" && sender === "") return signal.reason !== "epoch-changed";
  }
  return false;
}

/** The position where a subscription begins. */
export interface Start extends Place {
  /** Whether the user named this position. Then a missing message right after it is a loss. */
  readonly is_named: boolean;
  /** Whether the user named its epoch. Then a room that has begun a new log since is refused. */
  readonly is_epoch_named?: true;
}

/** Whether any of these options is given. */
export function hasStart({ from, since, last }: Flags): boolean {
  return from !== undefined || since !== undefined || last !== undefined;
}

/**
 * Finds the position of the options in a room. `now_ms` is by the clock of the bus, like the times of messages. Throws
 * when there is no such position, and with the refusal of the bus, for example `not-durable`.
 */
export async function startPlace(
  source: HistorySource,
  flags: Flags,
  now_ms: number,
): Promise<Start> {
  const { from, since, last = Infinity } = flags;
  if (from !== undefined) {
    const is_named = from > 0;
    // Only the answer to the SUB shows whether a former epoch continues in the present one.
    if (flags.epoch !== undefined) {
      return { offset: from, epoch: flags.epoch, is_named, is_epoch_named: true };
    }
    const { epoch } = await source.history({ after: from, limit: 1 });
    return { offset: from, epoch, is_named };
  }
  const oldest_ms = since === undefined ? -Infinity : now_ms - since * 1_000;
  let place: Place | undefined;
  for await (const page of historyPages(source, { reverse: true, total: last })) {
    const { epoch } = page;
    place ??= { offset: Number(page.offset), epoch };
    for (const { offset, timestamp_ms } of page.messages) {
      if (timestamp_ms < oldest_ms) return { ...place, is_named: false };
      place = { offset: Number(offset) - 1, epoch };
    }
  }
  return { ...(place ?? { offset: 0, epoch: "" }), is_named: false };
}
