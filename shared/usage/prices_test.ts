/** The price book of a bus, as its Shields keep it in the bucket. */
import assert from "node:assert/strict";
import type { Usage } from "../config/schema_usage.ts";
import { overriding } from "../testing/overriding.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { QUIET } from "../testing/logs.ts";
import { pricesAt } from "./price_book.ts";
import { Prices } from "./prices.ts";

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 2, 5);
const FEBRUARY_MS = Date.UTC(2026, 1, 10);

Deno.test("prices: a Shield whose clock is a month behind changes no price of the past", async () => {
  const spine = openEmbedded({ log: QUIET, now: () => START_MS });
  try {
    const storeTime = () => Promise.resolve(START_MS);
    const bucket = overriding(await spine.keyValue("ARQON_USAGE"), { storeTime });
    const place = { running: () => Promise.resolve(bucket) };
    const shield = (prices: Usage["prices"], now_ms: number) => {
      const config = { prices, prices_from: undefined };
      return new Prices({ config, place, log: QUIET, now: () => now_ms });
    };
    await shield({ messages_in: 1 }, START_MS).read();
    const book = await shield({ messages_in: 2 }, FEBRUARY_MS - 10 * DAY_MS).read();
    assert.deepEqual(pricesAt(book, FEBRUARY_MS), { messages_in: 1 });
    assert.deepEqual(pricesAt(book, START_MS), { messages_in: 2 });
  } finally {
    await spine.drain();
  }
});

Deno.test("prices: a recreated bucket gets the book in force, not the prices of the next process that starts", async () => {
  const spine = openEmbedded({ log: QUIET, now: () => START_MS });
  try {
    const bucket = await spine.keyValue("ARQON_USAGE");
    const place = { running: () => Promise.resolve(bucket) };
    const clock = { now_ms: START_MS };
    const shield = (prices: Usage["prices"]) => {
      const config = { prices, prices_from: undefined };
      return { config, prices: new Prices({ config, place, log: QUIET, now: () => clock.now_ms }) };
    };
    const one = shield({ messages_in: 1 });
    await one.prices.read();
    clock.now_ms += DAY_MS;
    one.config.prices = { messages_in: 2 };
    one.prices.renew();
    const held = await one.prices.read();
    for (const key of await bucket.keys()) await bucket.delete(key);
    assert.deepEqual(await one.prices.read(), held);
    const book = await shield({ messages_in: 3 }).prices.read();
    assert.deepEqual(pricesAt(book, START_MS), { messages_in: 1 });
    assert.deepEqual(book, await one.prices.read());
  } finally {
    await spine.drain();
  }
});
