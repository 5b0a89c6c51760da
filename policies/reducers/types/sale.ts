// Generated from sale.schema.json by `arq reducer types --guest`: change that and run it again.
import { Command, emit, quote } from "@arqon/reducer";

/** The data of `offer`. */
export class OfferData {
  readonly title: string;
  /** The least price. */
  readonly price: i64;
  readonly seconds: i64;

  constructor(c: Command) {
    const fields = c.fields;
    this.title = fields.text("title");
    this.price = fields.number("price");
    this.seconds = fields.number("seconds");
  }
}

/** The data of `bid`. */
export class BidData {
  readonly amount: i64;

  constructor(c: Command) {
    const fields = c.fields;
    this.amount = fields.number("amount");
  }
}

/** The lot as all see it. */
export class Lot {
  lot: i64 = 0;
  state: string | null = null;
  title: string | null = null;
  seller: string | null = null;
  price: i64 = 0;
  bidder: string | null = null;
  closes_ms: i64 = 0;

  get json(): string {
    let json = "";
    json += ',"lot":' + this.lot.toString();
    const state = this.state;
    if (state !== null) json += ',"state":' + quote(state); else json += ',"state":' + "null";
    const title = this.title;
    if (title !== null) json += ',"title":' + quote(title); else json += ',"title":' + "null";
    const seller = this.seller;
    if (seller !== null) json += ',"seller":' + quote(seller); else json += ',"seller":' + "null";
    json += ',"price":' + this.price.toString();
    const bidder = this.bidder;
    if (bidder !== null) json += ',"bidder":' + quote(bidder); else json += ',"bidder":' + "null";
    json += ',"closes_ms":' + this.closes_ms.toString();
    return "{" + (json == "" ? "" : json.substring(1)) + "}";
  }
}

/** Answers `look`. */
export function answerLook(c: Command, data: Lot): void {
  c.answer(data.json);
}

/** Publishes it to all subscribers, or to `user:ID` or `role:NAME`. */
export function emitLot(data: Lot, to: string = ""): void {
  emit("lot", data.json, to);
}
