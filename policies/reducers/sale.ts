// A sale of one lot after another. "offer" with {"title":"A cup","price":10,"seconds":30}: what it is, the least price,
// how long it runs; "bid" with more than the highest bid. A bid in the last five seconds leaves five more. The room says
// who has it.
import {
  Command,
  emit,
  on,
  quote,
  read,
  readNumber,
  reject,
  schedule,
  write,
  writeNumber,
} from "../reducer_sdk/mod.ts";

const GRACE_MS: i64 = 5_000;
const LONGEST_S: i64 = 86_400;
const MOST: i64 = 1_000_000_000;
const TITLE_BYTES = 200;

const orNull = (text: string | null): string => text === null ? "null" : quote(text);

/** The lot as all see it. */
function lot(): string {
  return '{"lot":' + readNumber("lot").toString() + ',"state":' + orNull(read("state")) +
    ',"title":' + orNull(read("title")) + ',"seller":' + orNull(read("seller")) +
    ',"price":' + readNumber("price").toString() + ',"bidder":' + orNull(read("bidder")) +
    ',"closes_ms":' + readNumber("closes_ms").toString() + "}";
}

function closeAt(atMs: i64): void {
  writeNumber("closes_ms", atMs);
  schedule("close", atMs, "close");
}

on("look", (c: Command) => c.answer(lot()));

on("offer", (c: Command) => {
  if (read("state") == "open") reject("one lot after another");
  const fields = c.fields;
  const runs = fields.number("seconds");
  const price = fields.number("price");
  if (runs < 1 || runs > LONGEST_S) reject("it runs 1 to 86,400 seconds", 400);
  if (price < 1 || price > MOST) reject("the least price is 1 to 1,000,000,000", 400);
  const title = fields.text("title").trim();
  const size = String.UTF8.byteLength(title);
  if (size < 1 || size > TITLE_BYTES) reject("the title has 1 to 200 bytes", 400);
  writeNumber("lot", readNumber("lot") + 1);
  write("state", "open");
  write("title", title);
  write("seller", c.user);
  writeNumber("price", price);
  // Nobody yet: the least price is a bid, too.
  write("bidder", "");
  closeAt(c.nowMs + runs * 1_000);
  emit("lot", lot());
});

on("bid", (c: Command) => {
  if (read("state") != "open") reject("nothing is offered");
  if (c.user == read("seller")) reject("the seller does not bid", 403);
  const amount = c.number;
  const price = readNumber("price");
  const isFirst = read("bidder") == "";
  if (amount > MOST) reject("at most 1,000,000,000", 400);
  if (isFirst ? amount < price : amount <= price) {
    reject((isFirst ? "the least price is " : "the highest bid is ") + price.toString());
  }
  writeNumber("price", amount);
  write("bidder", c.user);
  if (readNumber("closes_ms") - c.nowMs < GRACE_MS) closeAt(c.nowMs + GRACE_MS);
  emit("lot", lot());
});

on("close", (c: Command) => {
  if (!c.isTimer) reject("the room closes it", 403);
  write("state", read("bidder") == "" ? "unsold" : "sold");
  emit("lot", lot());
});
