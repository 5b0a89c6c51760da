// Refuses a user's messages beyond 20 in 10 seconds, with 429, over all connections. It
// counts in two windows, and the older one counts by its overlap with the last 10 seconds.
//
// The clock is the Shield's (`x-arqon-now-ms`). The counts are keyed state of one Shield: a user with
// connections at several Shields gets as much at each, and a Shield that starts begins at zero.
import { allow, Message, onMessage, reject, state, Verdict } from "../sdk/v2.ts";

const WINDOW_MS: i64 = 10_000;
const LIMIT: f64 = 20;

/** The positions of a value's parts: the window, its count, and the count of the previous one. */
const WINDOW: i32 = 0;
const CURRENT: i32 = 8;
const PREVIOUS: i32 = 12;
const VALUE_BYTES: i32 = 16;

/** A count is of interest for two windows after the last message. */
const counts = state("{user}", 20, VALUE_BYTES);

function judge(m: Message): Verdict {
  const nowMs = m.nowMs;
  if (nowMs == 0) return reject("the Shield gives no time", 503);
  const kept = counts.get();
  const value = kept === null ? new Uint8Array(VALUE_BYTES) : kept;
  const at = value.dataStart;
  // If the clock goes back, the window stays the same.
  const before = load<i64>(at + WINDOW);
  const window = max<i64>(before, nowMs / WINDOW_MS);
  const counted = load<i32>(at + CURRENT);
  const current = window == before ? counted : 0;
  const previous = window == before
    ? load<i32>(at + PREVIOUS)
    : window == before + 1
    ? counted
    : 0;
  const gone = min<f64>(1, max<f64>(0, <f64> (nowMs - window * WINDOW_MS) / <f64> WINDOW_MS));
  const used = <f64> previous * (1 - gone) + <f64> current;
  if (used >= LIMIT) return reject("at most 20 messages in 10 seconds", 429);
  store<i64>(at + WINDOW, window);
  store<i32>(at + CURRENT, current + 1);
  store<i32>(at + PREVIOUS, previous);
  counts.set(value);
  return allow();
}

onMessage(judge);
