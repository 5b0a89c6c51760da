/**
 * The price book of the bus, as one Shield reads it and adds what its configuration has. It is in the bucket of
 * use, so that all Shields and all times have the same. What a book says is `price_book.ts`.
 */
import type { Usage } from "../config/schema_usage.ts";
import type { Logger } from "../logs/log.ts";
import { changeDocument } from "../spine/contract/compare_and_set.ts";
import type { KvKey } from "../spine/contract/spine.ts";
import type { UsageStores } from "./usage_stores.ts";
import { decodeBook, encodeBook, type PriceBook, take } from "./price_book.ts";
import type { PriceList } from "./units.ts";

const KEY: KvKey = ["prices"];

/** What prices need of the process. */
export interface PricesOptions {
  readonly config: Pick<Usage, "prices" | "prices_from">;
  readonly place: Pick<UsageStores, "running">;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** The prices of one Shield. */
export class Prices {
  readonly #options: PricesOptions;
  #book: PriceBook | undefined;
  /** What the configuration has is not in the book yet, nor refused. */
  #is_due = true;
  #is_change = false;
  #reading: Promise<PriceBook> | undefined;

  constructor(options: PricesOptions) {
    this.#options = options;
  }

  /** As it was read last; before, what the configuration has. */
  get book(): PriceBook {
    return this.#book ?? { lists: [{ from_ms: 0, prices: this.#given }], replaced: [] };
  }

  /** The configuration has other prices now. */
  renew(): void {
    this.#is_due = this.#is_change = true;
    // They stay due: whoever asks for prices next reads them.
    this.read().catch(() => {});
  }

  /** Reads the book, and adds to it what is due. Rejects with `spine-unavailable`. */
  read(): Promise<PriceBook> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  get #given(): PriceList {
    return this.#options.config.prices as PriceList;
  }

  async #read(): Promise<PriceBook> {
    const { place, config, log, now } = this.#options;
    const bucket = await place.running();
    const [prices, from] = [{ ...this.#given }, config.prices_from];
    const is_given = Object.keys(prices).length > 0 || from !== undefined;
    const given = {
      prices,
      from_ms: from === undefined ? undefined : Date.parse(from),
      is_change: this.#is_change,
    };
    const is_due = this.#is_due && is_given;
    const book = await changeDocument(async (mayLose) => {
      const entry = await bucket.get(KEY);
      const before = entry === undefined ? undefined : decodeBook(entry.value);
      if (!is_due) return before;
      const taken = take(before, given, now());
      if ("why" in taken) {
        log.warn(`[usage.prices] of this Shield do not hold: ${taken.why}`, { prices_from: from });
      }
      if (!("book" in taken)) return before;
      await mayLose(bucket.update(KEY, encodeBook(taken.book), entry?.revision ?? 0));
      return taken.book;
    });
    if (is_due) this.#is_due = this.#is_change = false;
    this.#book = book ?? this.#book;
    return this.book;
  }
}
