/**
 * Finds the newest messages of a room below an offset in a stream that can only be read forward: counts the room's
 * messages above a position, narrows the position down, then reads from there. Independent of NATS.
 */
import type { LogMessage } from "../../contract/durable_log.ts";

interface Backward {
  /** The room's first message at or above `from`, and the number of messages from there on. */
  count(from: number): Promise<{ first: number; count: number } | undefined>;
  /** Messages at or above `from`, in order, at least one if there is one. */
  read(from: number): Promise<{ messages: LogMessage[]; more: boolean }>;
  /** Upper bound, exclusive. */
  readonly end: number;
  readonly limit: number;
  readonly max_bytes: number;
}

/** The newest messages in the order of their offsets, and whether there are older ones. */
export interface Newest {
  readonly messages: LogMessage[];
  readonly more: boolean;
}

/** The most queries for the position; each at least halves the distance. */
const PROBES = 64;
/** The most messages of a window, as a multiple of the wanted ones. */
const SLACK = 2;

/** The newest messages below `end`. `more` is determined from the room's oldest message. */
export async function newestBelow(backward: Backward): Promise<Newest> {
  const { end, limit } = backward;
  const [all, above] = await Promise.all([backward.count(1), backward.count(end)]);
  if (all === undefined || all.first >= end) return { messages: [], more: false };
  const beyond = above?.count ?? 0;
  let low = { from: all.first, count: all.count - beyond };
  let from = await place(backward, low, beyond);
  for (;;) {
    const window = await readWindow(backward, from);
    const enough = window.messages.length >= limit || window.dropped || from <= all.first;
    if (enough) {
      const messages = window.messages.slice(-limit);
      return { messages, more: (messages[0]?.offset ?? 0) > all.first };
    }
    // Replicas lag, or messages were removed: step further back.
    low = { from: all.first, count: Infinity };
    from = Math.max(low.from, from - Math.max(limit, (end - from) * 8));
  }
}

/** A position with at least `limit` messages between it and the end, and not many more. */
async function place(
  { count, end, limit }: Backward,
  start: { from: number; count: number },
  beyond: number,
): Promise<number> {
  let low = start;
  let high = { from: end, count: 0 };
  // The first guess assumes that the stream has only this room; later ones use the measured density.
  let guess = end - limit;
  for (let probe = 0; probe < PROBES && low.count > limit * SLACK; probe++) {
    if (high.from - low.from <= limit) break;
    const from = Math.min(high.from - 1, Math.max(low.from + 1, Math.floor(guess)));
    const found = await count(from);
    const here = { from, count: (found?.count ?? 0) - beyond };
    if (here.count >= limit) low = here;
    else high = here;
    guess = next(low, high, limit, probe);
  }
  return low.from;
}

/** The next guess: by density, every other time in the middle, so that bursts do not make it slow. */
function next(
  low: { from: number; count: number },
  high: { from: number; count: number },
  limit: number,
  probe: number,
): number {
  const middle = (low.from + high.from) / 2;
  if (probe % 2 === 1) return middle;
  const wanted = limit * (1 + SLACK) / 2 - high.count;
  const share = wanted / Math.max(1, low.count - high.count);
  return high.from - (high.from - low.from) * Math.min(1, share);
}

/** All messages between the position and the end; the oldest are dropped to fit the bounds. */
async function readWindow(
  { read, end, limit, max_bytes }: Backward,
  start: number,
): Promise<{ messages: LogMessage[]; dropped: boolean }> {
  let messages: LogMessage[] = [];
  let size_bytes = 0;
  let dropped = false;
  for (let from = start; from < end;) {
    const page = await read(from);
    const wanted = page.messages.filter(({ offset }) => offset < end);
    for (const { payload } of wanted) size_bytes += payload.length;
    messages.push(...wanted);
    let drop = 0;
    for (; drop < messages.length - 1; drop++) {
      const over = messages.length - drop > limit || size_bytes > max_bytes;
      if (!over) break;
      size_bytes -= messages[drop]?.payload.length ?? 0;
    }
    if (drop > 0) {
      messages = messages.slice(drop);
      dropped = true;
    }
    const last = page.messages.at(-1)?.offset;
    if (!page.more || last === undefined || wanted.length < page.messages.length) break;
    from = last + 1;
  }
  return { messages, dropped };
}
