/**
 * The price book of the bus for one Shield, which adds the prices of its configuration. It is in the usage bucket, so
 * that all Shields at all times have the same. `price_book.ts` has its content.
 */
import type { Env } from "../env.ts";
import type { Usage } from "../config/schema_usage.ts";
import { changeDocument } from "../spine/contract/compare_and_set.ts";
import type { KeyValue, KvKey } from "../spine/contract/spine.ts";
import { storeTimeOf } from "../spine/contract/store_time.ts";
import type { UsageStores } from "./usage_stores.ts";
import { decodeBook, encodeBook, type PriceBook, take } from "./price_book.ts";
import type { PriceList } from "./units.ts";

const KEY: KvKey = ["prices"];

interface PricesOptions extends Pick<Env, "log" | "now"> {
  readonly config: Pick<Usage, "prices" | "prices_from">;
  readonly place: Pick<UsageStores, "running" | "store">;
}

/** The prices of one Shield. */
export class Prices {
  readonly #options: PricesOptions;
  #book: PriceBook | undefined;
  /** Whether the configuration's prices are neither in the book nor refused. */
  #is_due = true;
  #is_change = false;
  #failed = false;
  #reading: Promise<PriceBook> | undefined;

  constructor(options: PricesOptions) {
    this.#options = options;
  }

  /** The book as last read; before that, the configuration's prices. */
  get book(): PriceBook {
    return this.#book ?? { lists: [{ from_ms: 0, prices: this.#given }], replaced: [] };
  }

  /** The configuration has changed its prices. */
  renew(): void {
    this.#is_due = this.#is_change = true;
    // They stay due: the next reader of prices adds them.
    this.read().catch(() => {});
  }

  /** Reads the book; while it cannot be read, that is logged once, and the book is as last read. Never rejects. */
  async known(): Promise<PriceBook> {
    try {
      await this.read();
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) {
        this.#options.log.warn("prices cannot be read; known ones hold", { error });
      }
      this.#failed = true;
    }
    return this.book;
  }

  /** Reads the book, and adds due prices. Rejects with `spine-unavailable`, and as `decodeBook` throws. */
  read(): Promise<PriceBook> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  get #given(): PriceList {
    return this.#options.config.prices as PriceList;
  }

  async #read(): Promise<PriceBook> {
    const { place, config, log } = this.#options;
    const bucket = await place.running();
    const prices = { ...this.#given };
    const from = config.prices_from;
    const is_given = Object.keys(prices).length > 0 || from !== undefined;
    const given = {
      prices,
      from_ms: from === undefined ? undefined : Date.parse(from),
      is_change: this.#is_change,
    };
    const is_due = this.#is_due && is_given;
    const now_ms = is_due ? await this.#now(bucket) : 0;
    const book = await changeDocument(async (mayLose) => {
      const entry = await bucket.get(KEY);
      // A recreated bucket gets the book that held until then: other prices must not begin with the past.
      const before = entry === undefined ? this.#book : decodeBook(entry.value);
      const taken = is_due ? take(before, given, now_ms) : undefined;
      if (taken !== undefined && "why" in taken) {
        log.warn(`[usage.prices] of this Shield do not hold: ${taken.why}`, { prices_from: from });
      }
      const next = taken !== undefined && "book" in taken ? taken.book : before;
      const is_stored = next === undefined || (next === before && entry !== undefined);
      if (!is_stored) await mayLose(bucket.update(KEY, encodeBook(next), entry?.revision ?? 0));
      return next;
    });
    if (is_due) this.#is_due = this.#is_change = false;
    this.#book = book ?? this.#book;
    return this.book;
  }

  /** Never before stored use: by a clock that is behind, new prices would hold for months that are over. */
  async #now(bucket: KeyValue): Promise<number> {
    const { place, now } = this.#options;
    const { newest_ms } = await (await place.store()).room();
    return Math.max(newest_ms, await storeTimeOf(bucket, now));
  }
}
