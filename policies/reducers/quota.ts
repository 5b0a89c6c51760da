// A quota for each user: "take" with how much; 100 a minute, 1,000 for whom the claim `plan` is pro. It answers what
// is left, and rejects with 429 what is more. quota.rs is the same in Rust.
import {
  Command,
  emit,
  on,
  read,
  reject,
  remove,
  scan,
  schedule,
  wholeNumber,
  write,
} from "../reducer_sdk/mod.ts";

const MINUTE_MS: i64 = 60_000;
/** What is removed at once: each costs fuel. */
const SWEPT: i32 = 200;

const limitOf = (c: Command): i64 => c.claim("plan") == "pro" ? 1_000 : 100;

/** What a value "MINUTE USED" says of this minute: those of others count as nothing. */
function usedIn(minute: i64, value: string | null): i64 {
  if (value === null) return 0;
  const parts = value.split(" ");
  return wholeNumber(parts[0]) == minute ? wholeNumber(parts[1]) : 0;
}

/** Has the room check all users at the end of the minute; a timer is at least 10 ms after now. */
function sweepAfter(nowMs: i64): void {
  schedule("sweep", max((nowMs / MINUTE_MS + 1) * MINUTE_MS, nowMs + 10), "sweep");
}

on("take", (c: Command) => {
  const amount = c.number;
  if (amount < 1) reject("expected 1 or more", 400);
  const key = "used/" + c.user;
  const minute = c.nowMs / MINUTE_MS;
  const used = usedIn(minute, read(key));
  const limit = limitOf(c);
  if (used + amount > limit) {
    const left = limit > used ? limit - used : 0;
    reject(left.toString() + " of " + limit.toString() + " are left in this minute", 429);
  }
  write(key, minute.toString() + " " + (used + amount).toString());
  sweepAfter(c.nowMs);
  if (used + amount == limit) emit("used-up", c.user, "role:admin");
  c.answer((limit - used - amount).toString());
});

on("left", (c: Command) => {
  const used = usedIn(c.nowMs / MINUTE_MS, read("used/" + c.user));
  c.answer((limitOf(c) - used).toString());
});

// Whoever has taken nothing in this minute is forgotten.
on("sweep", (c: Command) => {
  if (!c.isTimer) reject("the room does that", 403);
  const minute = c.nowMs / MINUTE_MS;
  const after = c.text;
  const found = scan("used/", after, SWEPT);
  let kept = 0;
  for (let at = 0; at < found.length; at++) {
    if (usedIn(minute, found[at].value) > 0) kept++;
    else remove(found[at].key);
  }
  if (found.length == SWEPT) schedule("page", c.nowMs + 10, "sweep", found[SWEPT - 1].key);
  else if (kept > 0 || after != "") sweepAfter(c.nowMs);
});
