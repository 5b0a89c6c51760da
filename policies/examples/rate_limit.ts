// Refuses a user's messages beyond 20 in 10 seconds, with 429. It counts in two windows, and the
// older one counts as much as it still overlaps with the last 10 seconds.
//
// The clock is the Shield's (`x-arqon-now-ms`). The counts live in this instance: each worker of
// each Shield has its own, so a user with several connections may get several times as much, and a
// policy that is loaded anew starts at zero.
import { allow, Message, onMessage, reject, Verdict } from "../sdk/mod.ts";

const WINDOW_MS: i64 = 10_000;
const LIMIT: f64 = 20;
/** Users that are counted in a window; at one more, the window starts over. */
const USERS: i32 = 4_096;

let window: i64 = 0;
let current = new Map<string, i32>();
let previous = new Map<string, i32>();

function countOf(counts: Map<string, i32>, user: string): i32 {
  return counts.has(user) ? counts.get(user) : 0;
}

/** Goes to the window of `nowMs`; a clock that goes back stays in the window that it was in. */
function turnTo(nowMs: i64): void {
  const next = nowMs / WINDOW_MS;
  if (next <= window) return;
  previous = next == window + 1 ? current : new Map<string, i32>();
  current = new Map<string, i32>();
  window = next;
}

function judge(m: Message): Verdict {
  const nowMs = m.nowMs;
  if (nowMs == 0) return reject("the Shield gives no time", 503);
  turnTo(nowMs);
  const user = m.user;
  const gone = min<f64>(1, max<f64>(0, <f64> (nowMs - window * WINDOW_MS) / <f64> WINDOW_MS));
  const used = <f64> countOf(previous, user) * (1 - gone) + <f64> countOf(current, user);
  if (used >= LIMIT) return reject("at most 20 messages in 10 seconds", 429);
  if (current.size >= USERS && !current.has(user)) current.clear();
  current.set(user, countOf(current, user) + 1);
  return allow();
}

onMessage(judge);
