// A sale of one lot after another. "offer" with {"title":"A cup","price":10,"seconds":30}: what it is, the least price,
// how long it runs; "bid" with {"amount":11}, more than the highest bid. A bid in the last five seconds leaves five
// more. The room says who has it. What is no such command its schema refuses, before this runs: sale.schema.json, of
// which types/sale.ts is made.
import {
  Command,
  on,
  read,
  readNumber,
  reject,
  schedule,
  write,
  writeNumber,
} from "../reducer_sdk/mod.ts";
import { answerLook, BidData, emitLot, Lot, OfferData } from "./types/sale.ts";

const GRACE_MS: i64 = 5_000;

/** The lot as all see it. */
function lot(): Lot {
  const lot = new Lot();
  lot.lot = readNumber("lot");
  lot.state = read("state");
  lot.title = read("title");
  lot.seller = read("seller");
  lot.price = readNumber("price");
  lot.bidder = read("bidder");
  lot.closes_ms = readNumber("closes_ms");
  return lot;
}

function closeAt(atMs: i64): void {
  writeNumber("closes_ms", atMs);
  schedule("close", atMs, "close");
}

on("look", (c: Command) => answerLook(c, lot()));

on("offer", (c: Command) => {
  if (read("state") == "open") reject("one lot after another");
  const offer = new OfferData(c);
  const title = offer.title.trim();
  if (title == "") reject("the title is empty", 400);
  writeNumber("lot", readNumber("lot") + 1);
  write("state", "open");
  write("title", title);
  write("seller", c.user);
  writeNumber("price", offer.price);
  // Nobody yet: the least price is a bid, too.
  write("bidder", "");
  closeAt(c.nowMs + offer.seconds * 1_000);
  emitLot(lot());
});

on("bid", (c: Command) => {
  if (read("state") != "open") reject("nothing is offered");
  if (c.user == read("seller")) reject("the seller does not bid", 403);
  const amount = new BidData(c).amount;
  const price = readNumber("price");
  const isFirst = read("bidder") == "";
  if (isFirst ? amount < price : amount <= price) {
    reject((isFirst ? "the least price is " : "the highest bid is ") + price.toString());
  }
  writeNumber("price", amount);
  write("bidder", c.user);
  if (readNumber("closes_ms") - c.nowMs < GRACE_MS) closeAt(c.nowMs + GRACE_MS);
  emitLot(lot());
});

on("close", (c: Command) => {
  if (!c.isTimer) reject("the room closes it", 403);
  write("state", read("bidder") == "" ? "unsold" : "sold");
  emitLot(lot());
});
