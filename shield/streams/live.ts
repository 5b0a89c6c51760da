/**
 * The event stream of a stream (`live=sse`): what there is, then what comes, each followed by a
 * `control` event that says where the reader stands. It reads the log only as fast as its reader takes
 * what was read.
 */
import { COMMON } from "./answers.ts";
import { eventData, eventText, isText } from "./content.ts";
import type { StreamContext } from "./context.ts";
import { nextCursor } from "./cursor.ts";
import { findStream, touch } from "./lifecycle.ts";
import { tokenOf } from "./offset.ts";
import { noteRead, readPage, requireReader } from "./reader.ts";
import type { Reading } from "./reader.ts";
import type { StreamRecord } from "./record.ts";
import { HEADER } from "./refusal.ts";
import type { Wake } from "./wakes.ts";

/** One event stream. */
interface Live {
  readonly reading: Reading;
  readonly first: StreamRecord;
  readonly wake: Wake;
  /** Monotonic ms. */
  readonly until_ms: number;
  after: number | undefined;
  /** Whether the reader learned where it stands. */
  told: boolean;
  /** Aborted when it has ended. */
  readonly ending: AbortController;
}

/** The answer. Rejects with 429 when the user has too many of them. */
export async function liveResponse(
  context: StreamContext,
  reading: Reading,
  first: StreamRecord,
  after: number | undefined,
): Promise<Response> {
  const { key, caller: { identity } } = reading;
  const entered = context.enterLive(identity);
  let wake: Wake;
  try {
    wake = await context.wakes.watch(key);
  } catch (error) {
    entered[Symbol.dispose]();
    throw error;
  }
  // Proxies fold readers onto one connection when all begin anew now and then.
  const until_ms = context.monotonic_ms() + context.sse_ms;
  const ending = new AbortController();
  const live: Live = { reading, first, wake, until_ms, after, told: false, ending };
  const end = () => {
    if (ending.signal.aborted) return;
    ending.abort();
    wake[Symbol.dispose]();
    entered[Symbol.dispose]();
  };
  // The runtime's own listener reports a reader that has gone no sooner than something is written.
  reading.gone().addEventListener("abort", end, { once: true });
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // The answer has begun, so it ends; asked again, the reader is notified. Failed reads are counted.
      const text = await nextEvents(context, live).catch(() => undefined);
      if (ending.signal.aborted) return;
      if (text !== undefined) controller.enqueue(encoder.encode(text.events));
      if (text === undefined || text.is_last) {
        end();
        controller.close();
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: {
      ...COMMON,
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      ...(isText(first.content_type) ? {} : { [HEADER.sse_encoding]: "base64" }),
    },
  });
}

/** The next events; undefined: the time is over, or there is nothing that may be read any longer. */
async function nextEvents(
  context: StreamContext,
  live: Live,
): Promise<{ events: string; is_last: boolean } | undefined> {
  const { reading, first, wake, until_ms, ending } = live;
  const { key, caller: { identity } } = reading;
  // A token names a time of day, what else ends it is a time that passes.
  const left_ms = Math.max(0, identity.expires_ms - context.now());
  const monotonic_ms = context.monotonic_ms();
  const beat_ms = Math.min(until_ms, monotonic_ms + left_ms, monotonic_ms + context.long_poll_ms);
  for (;;) {
    const seen = wake.count;
    const is_over = context.monotonic_ms() >= until_ms || context.now() >= identity.expires_ms;
    if (context.isDraining() || is_over) return undefined;
    const found = await findStream(context, key);
    if (found.record.id !== first.id) return undefined;
    requireReader(context, identity, key.room_id);
    await touch(context, key, found);
    const page = await readPage(context, reading, found.record, live.after);
    const closed = found.record.closed !== undefined && page.up_to_date;
    const is_due = page.messages.length > 0 || closed || !live.told ||
      context.monotonic_ms() >= beat_ms;
    if (page.next > 0) live.after = page.next;
    if (!is_due) {
      await wake.after(seen, beat_ms - context.monotonic_ms(), ending.signal);
      if (ending.signal.aborted) return undefined;
      continue;
    }
    live.told = true;
    noteRead(context, reading, page);
    const { lives } = await context.logs.of(key.tenant_id);
    const control = {
      streamNextOffset: tokenOf(lives, page.next),
      ...(closed ? { streamClosed: true } : {
        streamCursor: nextCursor(live.reading.request.cursor, context.now(), context.random()),
      }),
      ...(page.up_to_date ? { upToDate: true } : {}),
    };
    const data = page.messages.length === 0
      ? ""
      : eventText("data", eventData(page.messages, found.record.content_type));
    return { events: data + eventText("control", JSON.stringify(control)), is_last: closed };
  }
}
