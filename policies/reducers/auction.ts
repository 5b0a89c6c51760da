// An auction with a deadline. "open" by the seller with its duration in ms; "bid" with a whole number above
// the highest one; a bid in the last ten seconds leaves ten more. At the deadline the room closes it.
import {
  Command,
  emit,
  on,
  read,
  readNumber,
  reject,
  schedule,
  write,
  writeNumber,
} from "../reducer_sdk/mod.ts";

const GRACE_MS: i64 = 10_000;
const LONGEST_MS: i64 = 86_400_000;

function closeAt(atMs: i64): void {
  writeNumber("closes_ms", atMs);
  schedule("close", atMs, "close");
}

on("open", (c: Command) => {
  if (read("state") !== null) reject("the auction has been opened");
  const runsMs = c.number;
  if (runsMs < 1_000 || runsMs > LONGEST_MS) reject("it runs 1,000 to 86,400,000 ms", 400);
  write("state", "open");
  write("seller", c.user);
  closeAt(c.nowMs + runsMs);
  emit("opened", (c.nowMs + runsMs).toString());
});

on("bid", (c: Command) => {
  const state = read("state");
  if (state === null) reject("the auction is not open");
  if (state == "closed") reject("the auction is closed");
  if (c.user == read("seller")) reject("the seller does not bid", 403);
  const amount = c.number;
  const highest = readNumber("highest");
  if (amount <= highest) reject("the highest bid is " + highest.toString());
  writeNumber("highest", amount);
  write("bidder", c.user);
  if (readNumber("closes_ms") - c.nowMs < GRACE_MS) closeAt(c.nowMs + GRACE_MS);
  emit("bid", amount.toString());
  c.answer(amount.toString());
});

on("close", (c: Command) => {
  if (!c.isTimer) reject("the room closes it", 403);
  write("state", "closed");
  const bidder = read("bidder");
  if (bidder === null) {
    emit("closed", "");
    return;
  }
  emit("closed", bidder);
  emit("won", readNumber("highest").toString(), "user:" + bidder);
});
